package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/filetree"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// consumed is an image of a data set, as a consumer knows it.
type consumed struct {
	Path   string `json:"path"`
	File   string `json:"file"`
	ID     any    `json:"id"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

// drawnImages returns n images by name, of which one is broken and one too small for a box of side 4.
func drawnImages(n int, name func(i int) string) (tree, []consumed) {
	files, images := tree{}, []consumed{}
	for i := range n {
		width, height := 120+i%5, 90
		data := string(scene.Render(uint64(i), width, height, 5).JPEG(90))
		switch i {
		case 3:
			data = "broken"
		case 7:
			width, height = 3, 2
			data = string(scene.Render(uint64(i), width, height, 1).JPEG(90))
		}
		files[name(i)] = data
		images = append(images, consumed{File: filepath.Base(name(i)), Path: name(i), Width: width, Height: height})
	}
	return files, images
}

// cocoOfImages returns COCO annotations of n images, whose ids are not in order.
func cocoOfImages(t testing.TB, n int) (tree, []consumed) {
	t.Helper()
	id := func(i int) int { return (i*37)%n*1000 + 7 }
	files, images := drawnImages(n, func(i int) string { return fmt.Sprintf("train2017/%012d.jpg", id(i)) })
	var entries []map[string]any
	for i := range images {
		images[i].ID = id(i)
		entries = append(entries, map[string]any{
			"id": images[i].ID, "file_name": images[i].File, "width": images[i].Width, "height": images[i].Height,
		})
	}
	text, err := json.Marshal(map[string]any{"images": entries, "annotations": []any{}, "categories": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	files["annotations/instances_train2017.json"] = string(text)
	return files, images
}

// vocOfImages returns an image set of PASCAL VOC with n images.
func vocOfImages(n int) (tree, []consumed) {
	id := func(i int) string { return fmt.Sprintf("2008_%06d", 2*i+2) }
	files, images := drawnImages(n, func(i int) string { return "JPEGImages/" + id(i) + ".jpg" })
	set := ""
	for i := range images {
		images[i].ID = id(i)
		set += id(i) + "\n"
	}
	files["ImageSets/Main/train.txt"] = set
	return files, images
}

// What the consumers load with their own steps are the boxes and scores of jsonl.
func TestConsumersLoadFiles(t *testing.T) {
	e2e.Only(t, "searches 50 images for each format")
	python := e2e.Python(t, "import numpy, scipy.io, torch, torchvision, PIL", "NumPy, SciPy, PyTorch, torchvision and Pillow")
	files, images := cocoOfImages(t, 50)
	coco := files.write(t)
	files, vocImages := vocOfImages(50)
	vocDir := files.write(t)
	for _, set := range []struct {
		source, dir, folder string
		images              []consumed
		formats             []string
	}{
		{
			filepath.Join(coco, "annotations", "instances_train2017.json"), coco, "train2017", images, slices.DeleteFunc(
				formats(func(codec.Format) bool { return true }), func(name string) bool { return name == "jsonl" || name == "detectron-no-year" }),
		},
		{
			filepath.Join(vocDir, "ImageSets", "Main", "train.txt"), vocDir, "JPEGImages", vocImages,
			[]string{"detectron", "detectron-no-year", "detectron2", "mat", "npz", "parquet"},
		},
	} {
		for i := range set.images {
			set.images[i].Path = filepath.Join(set.dir, set.images[i].Path)
		}
		list := filepath.Join(t.TempDir(), "images.json")
		text, err := json.Marshal(set.images)
		if err != nil {
			t.Fatal(err)
		}
		write(t, list, text)
		run := func(t *testing.T, format string) string {
			out := t.TempDir()
			_, stderr, code := call(t, nil, "batch", set.source, "--out", out, "--format", format, "--mode", "single", "--min-side", "4", "--shard-size", "7")
			if code != exitOK || !strings.Contains(stderr, "is complete: 1 images failed") {
				t.Fatalf("%s: got exit code %d: %s", format, code, stderr)
			}
			return out
		}
		rows := rowsOf(t, run(t, "jsonl"))
		if len(rows) != 50 || len(rows[set.images[7].File].Boxes) > 0 || len(rows[set.images[0].File].Boxes) < 10 {
			t.Fatalf("got %d rows, want 50 and one without boxes", len(rows))
		}
		for _, format := range set.formats {
			t.Run(set.folder+"/"+format, func(t *testing.T) {
				out := run(t, format)
				var found map[string][]struct {
					Boxes  [][4]float64
					Scores []float32
				}
				text := e2e.Output(t, exec.CommandContext(t.Context(), python, "testdata/detectors.py", format, out, list))
				if err := json.Unmarshal(text, &found); err != nil || len(found) == 0 {
					t.Fatalf("%d consumers: %v", len(found), err)
				}
				for _, consumer := range slices.Sorted(maps.Keys(found)) {
					if len(found[consumer]) != len(set.images) {
						t.Fatalf("%s: got %d images, want %d", consumer, len(found[consumer]), len(set.images))
					}
					boxes := 0
					for i, got := range found[consumer] {
						row := rows[set.images[i].File]
						want := convention(consumer, row)
						if !slices.Equal(got.Boxes, want) || got.Scores != nil && !slices.Equal(got.Scores, row.Scores) {
							t.Errorf("%s: %s: got %d boxes or scores that differ from the %d wanted", consumer, set.images[i].File, len(got.Boxes), len(want))
						}
						boxes += len(got.Boxes)
					}
					t.Logf("%s: %d images, %d boxes are equal", consumer, len(found[consumer]), boxes)
				}
			})
		}
	}
}

// rowsOf returns the rows of a batch in format jsonl by file.
func rowsOf(t testing.TB, dir string) map[string]codec.Row {
	t.Helper()
	rows := map[string]codec.Row{}
	for name, text := range filetree.Read(t, dir) {
		if !strings.HasPrefix(name, "proposals-") {
			continue
		}
		for line, err := range codec.ReadJSONL(strings.NewReader(text)) {
			if err != nil {
				t.Fatal(err)
			}
			rows[line.Row.File] = line.Row
		}
	}
	return rows
}

// convention returns the boxes of a row as a consumer has them.
func convention(consumer string, row codec.Row) [][4]float64 {
	// What is added to the first and to the last coordinates of half-open boxes.
	shift := map[string][2]float64{
		"Detectron, PCL":   {0, -1},
		"wetectron":        {0, -1},
		"OD-WSCL, WeakSAM": {0, -1},
		"Fast R-CNN, OICR": {0, -1},
		"WSDDN.pytorch":    {0, -1},
		"wsddn.pytorch":    {1, 0}, // as the file has them
		"SoCo":             {0, -1},
	}[consumer]
	boxes := [][4]float64{}
	for _, b := range row.Boxes {
		boxes = append(boxes, [4]float64{float64(b.X0) + shift[0], float64(b.Y0) + shift[0], float64(b.X1) + shift[1], float64(b.Y1) + shift[1]})
	}
	if consumer == "ORL" && len(boxes) == 0 && row.Width > 0 {
		boxes = append(boxes, [4]float64{0, 0, float64(row.Width), float64(row.Height)})
	}
	return boxes
}

func TestDetectronNeedsNumericIDs(t *testing.T) {
	dir := tree{"a.jpg": images("x.jpg")["x.jpg"], "7.jpg": images("x.jpg")["x.jpg"]}.write(t)
	out := t.TempDir()
	_, stderr, code := call(t, nil, "batch", dir, "--out", out, "--mode", "single", "--format", "detectron")
	if code == exitOK || !strings.Contains(stderr, `"a.jpg" has the id "a": want a number`) {
		t.Errorf("got exit code %d, %s", code, stderr)
	}
	if names := slices.Sorted(maps.Keys(filetree.Read(t, out))); len(names) > 0 {
		t.Errorf("got files %q, want an error before the search", names)
	}
}

// The ids of a data set are of one type in each file, and the same in all.
func TestIDsOfDatasets(t *testing.T) {
	image := images("x.jpg")["x.jpg"]
	dir := tree{
		"ImageSets/Main/val.txt": "000001\n10\n", "JPEGImages/000001.jpg": image, "JPEGImages/10.jpg": image, "JPEGImages/7.jpg": image,
		"ImageSets/Main/both.txt": "000001\n2008_000002\n", "JPEGImages/2008_000002.jpg": image,
	}.write(t)
	run := func(source, format string) map[string]string {
		out := t.TempDir()
		if _, stderr, code := call(t, nil, "batch", filepath.Join(dir, source), "--out", out, "--mode", "single", "--format", format, "--max", "2"); code != exitOK {
			t.Fatalf("%s: got exit code %d: %s", format, code, stderr)
		}
		return filetree.Read(t, out)
	}
	for format, want := range map[string][]string{
		"jsonl":            {`{"file":"000001.jpg","id":"000001",`, `{"file":"10.jpg","id":"10",`},
		"detectron2":       {"\x8c\x06000001", "\x8c\x0210"},
		"detectron":        {"h\x05K\x01a0", "h\x05K\x0aa0"},
		"parquet":          {"000001", "10"},
		"npz":              {"0\x00\x00\x000\x00\x00\x000\x00\x00\x000\x00\x00\x000\x00\x00\x001\x00\x00\x001\x00\x00\x000\x00\x00\x00"},
		"mat":              {"000001", "10"},
		"coco":             {`"image_id":1,`, `"image_id":10,`},
		"coco-annotations": {`{"id":1,"file_name":"000001.jpg"`, `{"id":10,"file_name":"10.jpg"`},
	} {
		files := run("ImageSets/Main/val.txt", format)
		text := ""
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if strings.HasPrefix(name, "proposals") {
				text += files[name]
			}
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is missing", format, w)
			}
		}
	}
	for _, format := range []string{"coco", "coco-annotations"} {
		text := run("ImageSets/Main/both.txt", format)["proposals.json"]
		if !strings.Contains(text, `"image_id":"000001",`) || !strings.Contains(text, `"image_id":"2008_000002",`) {
			t.Errorf("%s, two years: got %.300s", format, text)
		}
	}
	if text := run("JPEGImages", "jsonl")["proposals-000000.jsonl"]; strings.Contains(text, `"id"`) {
		t.Errorf("a folder: got ids in %.100s", text)
	}
	if text := run("JPEGImages", "coco")["proposals.json"]; !strings.Contains(text, `"image_id":1,`) || !strings.Contains(text, `"image_id":7,`) {
		t.Errorf("a folder: got %.300s", text)
	}
}
