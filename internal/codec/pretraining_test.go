package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// sides returns boxes as [x,y,w,h].
func sides(boxes []box.Box) [][4]int64 {
	all := [][4]int64{}
	for _, b := range boxes {
		all = append(all, [4]int64{int64(b.X0), int64(b.Y0), int64(b.X1) - int64(b.X0), int64(b.Y1) - int64(b.Y0)})
	}
	return all
}

func TestSoCo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		want := map[string][][4]int64{}
		for i := range rows {
			if _, taken := want[socoKey(&rows[i])]; taken {
				t.Skip("equal keys")
			}
			want[socoKey(&rows[i])] = sides(rows[i].Boxes)
		}
		var got map[string][][4]int64
		if err := json.Unmarshal(fileOf(t, "soco", rows...), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, %v\nwant %v", got, err, want)
		}
	})
}

func TestSoCoKeys(t *testing.T) {
	for file, want := range map[string]string{
		"n01440764/n01440764_18.JPEG": "n01440764_18", "a/b.c.jpg": "b", "b.d/x": "x", ".jpg": "", "\xff.png": "\ufffd",
	} {
		if got := socoKey(&Row{File: file, ID: "7"}); got != want {
			t.Errorf("%q: got %q, want %q", file, got, want)
		}
	}
}

func TestORL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		want := [][][4]int64{}
		for i := range rows {
			if r := &rows[i]; len(r.Boxes) == 0 && r.Width > 0 {
				want = append(want, [][4]int64{{0, 0, int64(r.Width), int64(r.Height)}})
				continue
			}
			want = append(want, sides(rows[i].Boxes))
		}
		var got map[string][][][4]int64
		err := json.Unmarshal(fileOf(t, "orl", rows...), &got)
		if err != nil || !reflect.DeepEqual(got, map[string][][][4]int64{"bbox": want}) {
			t.Fatalf("got %v, %v\nwant %v", got, err, want)
		}
	})
}

func TestCOCOAnnotations(t *testing.T) {
	type image struct {
		ID       any    `json:"id"`
		FileName string `json:"file_name"`
		Width    int    `json:"width"`
		Height   int    `json:"height"`
	}
	type segmentation struct {
		Size   [2]int `json:"size"`
		Counts string `json:"counts"`
	}
	type annotation struct {
		ID           int           `json:"id"`
		ImageID      any           `json:"image_id"`
		CategoryID   int           `json:"category_id"`
		BBox         [4]int64      `json:"bbox"`
		Area         int64         `json:"area"`
		IsCrowd      int           `json:"iscrowd"`
		Score        float32       `json:"score"`
		Segmentation *segmentation `json:"segmentation"`
	}
	type category struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	type content struct {
		Images      []image      `json:"images"`
		Annotations []annotation `json:"annotations"`
		Categories  []category   `json:"categories"`
	}
	rapid.Check(t, func(t *rapid.T) {
		rows := append(drawRows(t), rich())
		want := content{[]image{}, []annotation{}, []category{{1, "selective_search"}}}
		for i := range rows {
			r := &rows[i]
			want.Images = append(want.Images, image{imageID(r), validUTF8(r.File), r.Width, r.Height})
			for k, b := range sides(r.Boxes) {
				a := annotation{
					ID: len(want.Annotations) + 1, ImageID: imageID(r), CategoryID: 1, BBox: b, Area: r.Boxes[k].Area(), Score: r.Scores[k],
				}
				if r.Masks != nil {
					a.Segmentation = &segmentation{[2]int{r.Height, r.Width}, r.Masks[k].String()}
				}
				want.Annotations = append(want.Annotations, a)
			}
		}
		in := json.NewDecoder(bytes.NewReader(fileOf(t, "coco-annotations", rows...)))
		in.UseNumber()
		var got content
		if err := in.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestCOCOAnnotationsRemovesTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	for _, out := range []io.Writer{io.Discard, failing{}} {
		w := &annotationsWriter{w: out}
		if err := errors.Join(w.Write(&many(1, 10)[0]), w.Close()); (err == nil) != (out == io.Discard) {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("%q are left, %v", left, err)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	t.Setenv("TMP", filepath.Join(dir, "none"))
	if err := (&annotationsWriter{w: io.Discard}).Write(&many(1, 1)[0]); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
}
