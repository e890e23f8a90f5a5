package codec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// What is read is what was written, by id, with inclusive corners and without boxes of one pixel.
func TestDetectron(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRanked(t)
		ids := rapid.SliceOfNDistinct(rapid.Int64Min(0), len(rows), len(rows), rapid.ID).Draw(t, "ids")
		for i := range rows {
			rows[i].ID = strconv.FormatInt(ids[i], 10)
		}
		d := unpickled(t, "detectron", rows...).(*pyDict)
		if !reflect.DeepEqual(d.keys, []any{"boxes", "scores", "indexes"}) {
			t.Fatalf("%v", d.keys)
		}
		boxes, scores, indexes := d.values["boxes"].(*pyList).items, d.values["scores"].(*pyList).items, d.values["indexes"].(*pyList).items
		if len(boxes) != len(rows) || len(scores) != len(rows) || len(indexes) != len(rows) {
			t.Fatalf("%d arrays of boxes, %d of scores and %d indexes of %d images", len(boxes), len(scores), len(indexes), len(rows))
		}
		order := make([]int, len(rows))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
		for k, i := range order {
			want := Row{}
			for j, b := range rows[i].Boxes {
				if int64(b.X1)-int64(b.X0) >= 2 && int64(b.Y1)-int64(b.Y0) >= 2 {
					want.Boxes = append(want.Boxes, box.Box{X0: b.X0, Y0: b.Y0, X1: b.X1 - 1, Y1: b.Y1 - 1})
					want.Scores = append(want.Scores, rows[i].Scores[j])
				}
			}
			if err := errors.Join(holds(boxes[k], &want, 4), holdsScores(scores[k], &want)); err != nil {
				t.Fatal(err)
			}
			if indexes[k] != any(ids[i]) {
				t.Fatalf("image %d has the index %v, want %d", k, indexes[k], ids[i])
			}
		}
	})
}

func TestDetectronIDs(t *testing.T) {
	for _, c := range []struct {
		file, id, want, withoutYear string // empty: an error
	}{
		{"000005.jpg", "000005", "5", "5"},
		{"000005.jpg", "", "5", "5"},
		{"2008_000002.jpg", "2008_000002", "2008000002", "2"},
		{"JPEGImages/2008_000002.jpg", "", "2008000002", "2"},
		{"x.jpg", "139", "139", "139"},
		{"x.jpg", "0", "0", "0"},
		{"x.jpg", "9223372036854775807", "9223372036854775807", "9223372036854775807"},
		{"x.jpg", "9223372036854775808", "", ""},
		{"x.jpg", "1_2_3", "123", ""},
		{"x.jpg", "a_3", "", "3"},
		{"x.jpg", "1__2", "", ""},
		{"x.jpg", "_1", "", "1"},
		{"x.jpg", "1_", "", ""},
		{"x.jpg", "-1", "", ""},
		{"x.jpg", "+1", "", ""},
		{"x.jpg", "", "", ""},
		{"", "", "", ""},
		{"7 b.jpg", "", "", ""},
	} {
		for name, want := range map[string]string{"detectron": c.want, "detectron-no-year": c.withoutYear} {
			format, err := ParseFormat(name)
			if err != nil {
				t.Fatal(err)
			}
			r := Row{File: c.file, ID: c.id}
			got, keyErr := format.Key(&r)
			writeErr := format.NewWriter(io.Discard).Write(&r)
			if want == "" {
				if keyErr == nil || writeErr == nil || !strings.Contains(keyErr.Error(), "want a number") {
					t.Errorf("%s of %q, %q: %q, %v, %v, want errors", name, c.file, c.id, got, keyErr, writeErr)
				}
				continue
			}
			if got != want || keyErr != nil || writeErr != nil {
				t.Errorf("%s of %q, %q: %q, %v, %v, want %s", name, c.file, c.id, got, keyErr, writeErr, want)
				continue
			}
			indexes := unpickled(t, name, r).(*pyDict).values["indexes"].(*pyList).items
			if fmt.Sprint(indexes) != "["+want+"]" {
				t.Errorf("%s of %q, %q: indexes %v", name, c.file, c.id, indexes)
			}
		}
	}
}

func TestDetectronDuplicateID(t *testing.T) {
	var file bytes.Buffer
	w := newDetectron(wholeNumber)(&file)
	if err := w.Write(&Row{File: "a.jpg", ID: "005"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&Row{File: "b.jpg", ID: "5"}); err == nil || !strings.Contains(err.Error(), `"b.jpg" has the id 5 in the file, like "a.jpg"`) {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if want := fileOf(t, "detectron", Row{File: "a.jpg", ID: "5"}); !bytes.Equal(file.Bytes(), want) {
		t.Errorf("%q, want %q", file.Bytes(), want)
	}
}

func TestDetectronRemovesTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	for _, out := range []io.Writer{io.Discard, failing{}} {
		w := newDetectron(wholeNumber)(out)
		if err := w.Write(&many(1, 10)[0]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); (err == nil) != (out == io.Discard) {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("%q are left, %v", left, err)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	t.Setenv("TMP", filepath.Join(dir, "none"))
	if err := newDetectron(wholeNumber)(io.Discard).Write(&many(1, 1)[0]); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
}
