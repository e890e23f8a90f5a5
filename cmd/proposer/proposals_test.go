package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/scene"
)

// evalRecall evaluates proposals and returns the recall at IoU .5 of the best box and of all boxes.
func evalRecall(t *testing.T, data, proposals string) (best, all, msg string, code int) {
	t.Helper()
	out, msg, code := call(t, nil, "eval", "--data", data, "--proposals", proposals, "--budgets=1", "--format=csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 3 {
		return "", "", msg, code
	}
	column := 0
	for i, name := range rows[0] {
		if name == "R@0.5" {
			column = i
		}
	}
	return rows[1][column], rows[2][column], msg, code
}

// TestEvalProposalsOfOtherPrograms checks that boxes are sorted by score and may have fractions, that
// inverted boxes and images of other data sets are refused, and that a byte order mark is passed over.
func TestEvalProposalsOfOtherPrograms(t *testing.T) {
	dir := writeAnnotations(t, `[{"id": 1, "file_name": "1.jpg", "width": 160, "height": 120}, {"id": 2, "file_name": "2.jpg", "width": 160, "height": 120}]`,
		`[{"image_id": 1, "category_id": 1, "bbox": [20, 15, 60, 40]}, {"image_id": 2, "category_id": 1, "bbox": [90, 60, 50, 50]}]`)
	const one, none = "1.000000", "0.000000"
	for _, c := range []struct {
		name, text string
		best, all  string
		want       string // message
		code       int
	}{
		{"sorted", `{"file": "1.jpg", "boxes": [[20, 15, 80, 55], [0, 0, 5, 5]], "scores": [0.9, 0.1]}
{"file": "2.jpg", "boxes": [[90, 60, 140, 110], [0, 0, 5, 5]], "scores": [0.9, 0.1]}`, one, one, "", exitOK},
		{"unsorted", `{"file": "1.jpg", "boxes": [[0, 0, 5, 5], [20, 15, 80, 55]], "scores": [0.1, 0.9]}
{"file": "2.jpg", "boxes": [[0, 0, 5, 5], [90, 60, 140, 110]], "scores": [0.1, 0.9]}`, one, one, "", exitOK},
		{"without scores", `{"file": "1.jpg", "boxes": [[0, 0, 5, 5], [20, 15, 80, 55]]}
{"file": "2.jpg", "boxes": [[0, 0, 5, 5], [90, 60, 140, 110]]}`, none, one, "", exitOK},
		{"byte order mark", "\ufeff" + `{"file": "1.jpg", "boxes": [[20, 15, 80, 55]]}
{"file": "2.jpg", "boxes": [[90, 60, 140, 110]]}`, one, one, "", exitOK},
		{"fractions", `{"file": "1.jpg", "boxes": [[20.5, 15.25, 80, 55]]}
{"file": "2.jpg", "boxes": [[90, 60, 139.5, 110]]}`, one, one, "", exitOK},
		{"inverted", `{"file": "1.jpg", "boxes": [[80, 55, 20, 15]]}`, "", "", `line 1: image "1.jpg": box 0: corners (80, 55) and (20, 15): want`, exitFailed},
		{"COCO results", `[{"image_id": 1, "category_id": 1, "bbox": [20, 15, 60, 40], "score": 0.9},
{"image_id": 2, "category_id": 1, "bbox": [90, 60, 50, 50], "score": 0.9}]`, one, one, "", exitOK},
		{"CSV by id", "image_id,x,y,w,h,score\n1,0,0,5,5,.1\n2,90,60,50,50,.9\n1,20,15,60,40,.9\n", one, one, "", exitOK},
		{
			"missing image", `[{"image_id": 1, "category_id": 1, "bbox": [20, 15, 60, 40], "score": 0.9}]`,
			"0.500000", "0.500000", `no proposals for 1 images of the data set, which count as without boxes; the first is "2.jpg"`, exitFailed,
		},
		{
			"other data set", `{"file": "9.jpg", "boxes": []}`, "", "",
			`none of its 1 images is in the data set: the first is "9.jpg", that of the data set is "1.jpg" with the id "1"`, exitFailed,
		},
		{
			"corners for sizes", `{"1": [[20, 15, 60, 40]], "2": [[90, 60, 140, 110]]}`, "0.500000", "0.500000",
			"1 images have boxes that reach outside of the image, the first is 2, box 0 [90 60 230 170] of an image of 160 × 120 pixels", exitOK,
		},
		{
			"fractions of the sides", `[{"image_id": 1, "bbox": [0.125, 0.125, 0.375, 0.34], "score": 1}, {"image_id": 2, "bbox": [0.56, 0.5, 0.31, 0.42], "score": 1}]`,
			"", "", "all coordinates are between 0 and 1: want pixels, not fractions of the width and height", exitFailed,
		},
		{"one small box", `{"file": "1.jpg", "boxes": [[0.5, 0, 1, 1]]}` + "\n" + `{"file": "2.jpg", "boxes": [[90, 60, 140, 110]]}`, "0.500000", "0.500000", "", exitOK},
		{"positions", `{"bbox": [[[20, 15, 60, 40]], [[90, 60, 50, 50]]]}`, one, one, "", exitOK},
		{"too few positions", `{"bbox": [[[20, 15, 60, 40]]]}`, "", "", "1 images without names: want the 2 of the data set, in its order", exitFailed},
		{"too many positions", `{"bbox": [[], [], []]}`, "", "", "3 images without names: want the 2 of the data set", exitFailed},
		{"duplicate under two names", `{"file": "1.jpg", "boxes": []}` + "\n" + `{"file": "images/1.jpg", "boxes": []}`, "", "", `line 2: duplicate image "images/1.jpg"`, exitFailed},
		{"not proposals", "hello\n", "", "", "text of an unknown form: want JSON Lines, COCO results, CSV", exitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "p")
			write(t, file, []byte(c.text))
			best, all, msg, code := evalRecall(t, dir, file)
			if best != c.best || all != c.all || !strings.Contains(msg, c.want) || c.want == "" && msg != "" || code != c.code {
				t.Errorf("recall %s and %s, exit code %d, messages %q; want %s and %s, %d, %q", best, all, code, msg, c.best, c.all, c.code, c.want)
			}
		})
	}
}

// TestEvalSameNamesInFolders checks that images of equal names in different folders are told apart.
func TestEvalSameNamesInFolders(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var entries, annotations []string
	for i, folder := range []string{"a", "b"} {
		s := scene.Render(uint64(i), 96, 64, 1)
		if err := os.MkdirAll(filepath.Join("images", folder), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join("images", folder, "1.jpg"), s.JPEG(90))
		b := s.Boxes[0]
		entries = append(entries, fmt.Sprintf(`{"id": %d, "file_name": "%s/1.jpg", "width": 96, "height": 64}`, i, folder))
		annotations = append(annotations, fmt.Sprintf(`{"image_id": %d, "category_id": 1, "bbox": [%d, %d, %d, %d]}`, i, b.X0, b.Y0, b.Width(), b.Height()))
	}
	write(t, "instances.json", fmt.Appendf(nil, `{"images": [%s], "annotations": [%s], "categories": [{"id": 1, "name": "x"}]}`,
		strings.Join(entries, ","), strings.Join(annotations, ",")))
	proposals := filepath.Join(dir, "p.jsonl")

	out, msg, code := call(t, nil, "propose", "images/a/1.jpg", "images/b/1.jpg")
	if code != exitOK {
		t.Fatal(msg)
	}
	write(t, proposals, []byte(out))
	if _, all, msg, code := evalRecall(t, dir, proposals); code != exitOK || msg != "" || all != "1.000000" {
		t.Errorf("recall %s, exit code %d, messages %q; want 1", all, code, msg)
	}
	write(t, proposals, []byte(strings.ReplaceAll(out, "images/a/", "")))
	if _, _, msg, code := evalRecall(t, dir, proposals); code != exitFailed || !strings.Contains(msg, `"1.jpg" may be "a/1.jpg" or "b/1.jpg": want a path that tells them apart`) {
		t.Errorf("name of two images: exit code %d, messages %q", code, msg)
	}
}

// TestEvalReadsWhatBatchWrites checks that the files of batch have the result of the search, in each
// format, as a file and as a folder.
func TestEvalReadsWhatBatchWrites(t *testing.T) {
	dir, _ := writeDataset(t, 4)
	eval := func(t *testing.T, args ...string) string {
		t.Helper()
		out, msg, code := call(t, nil, append([]string{"eval", "--data", dir, "--budgets=10,100", "--format=csv"}, args...)...)
		if code != exitOK || msg != "" {
			t.Fatalf("exit code %d, %s", code, msg)
		}
		var lines []string
		for line := range strings.Lines(out) {
			fields := strings.Split(line, ",")
			fields[0], fields[15] = "", "" // name and seconds
			lines = append(lines, strings.Join(fields, ","))
		}
		return strings.Join(lines, "")
	}
	want := eval(t, "--mode=single", "--min-side=2")
	for format, file := range map[string]string{
		"jsonl": "proposals-000000.jsonl", "csv": "proposals-000000.csv", "npz": "proposals-000000.npz", "parquet": "proposals-000000.parquet",
		"coco": "proposals.json", "coco-annotations": "proposals.json", "soco": "proposals.json", "orl": "proposals.json",
		"detectron": "proposals.pkl", "detectron2": "proposals.pkl", "mmdet": "proposals.pkl", "mmdet2": "proposals.pkl", "mat": "proposals.mat",
		"npy": "", "detreg": "", "siamese-detr": "", "hosang": "",
	} {
		t.Run(format, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			_, msg, code := call(t, nil, "batch", filepath.Join(dir, "instances.json"), "--out", out, "--format", format, "--mode=single", "--min-side=2")
			if code != exitOK {
				t.Fatal(msg)
			}
			if got := eval(t, "--proposals", out); got != want {
				t.Errorf("folder: got\n%s\nwant\n%s", got, want)
			}
			if file == "" {
				return
			}
			if got := eval(t, "--proposals", filepath.Join(out, file)); got != want {
				t.Errorf("file: got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
