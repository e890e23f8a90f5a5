package proposalfile

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/npy"
)

// readAll returns all images, and the error that ended them.
func readAll(r io.Reader) (images []*Image, err error) {
	for img, err := range Read(context.Background(), r) {
		if err != nil {
			return images, err
		}
		images = append(images, img)
	}
	return images, nil
}

// drawRows draws images of a data set. Their boxes have at least two pixels in width and height, because
// Detectron takes smaller ones for empty, and each image has one.
func drawRows(t *rapid.T) []*codec.Row {
	var rows []*codec.Row
	for i := range rapid.IntRange(1, 5).Draw(t, "images") {
		r := &codec.Row{
			File: fmt.Sprintf("set/%06d.jpg", 7*i), ID: fmt.Sprintf("%06d", 7*i), Folder: "images",
			Width: 4000, Height: 3000,
		}
		score := float32(1)
		for range rapid.IntRange(1, 30).Draw(t, "boxes") {
			x0, y0 := rapid.Int32Range(0, 3000).Draw(t, "x0"), rapid.Int32Range(0, 2000).Draw(t, "y0")
			r.Boxes = append(r.Boxes, box.Box{
				X0: x0, Y0: y0,
				X1: x0 + rapid.Int32Range(2, 1000).Draw(t, "width"), Y1: y0 + rapid.Int32Range(2, 1000).Draw(t, "height"),
			})
			score *= rapid.Float32Range(.5, .99).Draw(t, "factor")
			r.Scores = append(r.Scores, score)
		}
		rows = append(rows, r)
	}
	return rows
}

func exact(boxes []box.Box) []evaluate.Box {
	var exact []evaluate.Box
	for _, b := range boxes {
		exact = append(exact, newBox(float64(b.X0), float64(b.Y0), float64(b.X1), float64(b.Y1)))
	}
	return exact
}

// TestReadsWhatCodecWrites checks that each format is recognized, its boxes are those that were written,
// and its images are found in the data set. Reading from a pipe and from a file has the same result.
func TestReadsWhatCodecWrites(t *testing.T) {
	for _, f := range codec.Formats() {
		t.Run(f.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				rows := drawRows(t)
				var file bytes.Buffer
				w := f.NewWriter(&file)
				for _, r := range rows {
					if err := w.Write(r); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				got, err := readAll(bytes.NewReader(file.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				checkRows(t, got, rows)
				piped, err := readAll(struct{ io.Reader }{&file})
				if err != nil || !reflect.DeepEqual(piped, got) {
					t.Fatalf("from a pipe: %v, %v, want %v", err, piped, got)
				}
			})
		})
	}
}

func checkRows(t *rapid.T, got []*Image, rows []*codec.Row) {
	t.Helper()
	if len(got) != len(rows) {
		t.Fatalf("%d images, want %d", len(got), len(rows))
	}
	index := NewIndex(dataSet(rows))
	for i, img := range got {
		found := i // by position
		if img.File != "" || img.ID != "" {
			var err error
			if found, err = index.Find(img); err != nil || found < 0 {
				t.Fatalf("image %d, %q with id %q, is not found: %v", i, img.File, img.ID, err)
			}
		}
		want := exact(rows[found].Boxes)
		if !reflect.DeepEqual(img.Boxes, want) {
			t.Fatalf("image %d: boxes %v, want %v", i, img.Boxes, want)
		}
	}
}

func TestReadFolder(t *testing.T) {
	for _, f := range codec.ImageFormats() {
		if f.Labels {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				rows := drawRows(t)
				folder, err := os.MkdirTemp("", "proposals")
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(folder)
				for _, r := range rows {
					data, err := f.Encode(r)
					if err != nil {
						t.Fatal(err)
					}
					name := filepath.Join(folder, "proposals", f.FileName(r))
					if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(name, data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				got, err := readFolder(folder)
				if err != nil {
					t.Fatal(err)
				}
				checkRows(t, got, rows)
			})
		})
	}
}

func readFolder(folder string) (images []*Image, err error) {
	for img, err := range ReadFolder(context.Background(), folder) {
		if err != nil {
			return images, err
		}
		images = append(images, img)
	}
	return images, nil
}

func TestReadFolderOfFiles(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // names of the images, or the error
	}{
		{"shards", map[string]string{
			"proposals-000001.jsonl": `{"file":"b","boxes":[]}`, "proposals-000000.jsonl": `{"file":"a","boxes":[]}`,
			"manifest.json": "{}", "shards/000000.jsonl": "x",
		}, "a b"},
		{"other files", map[string]string{"a.csv": "file,x,y,w,h\na,1,1,1,1", "b/c.jsonl": `{"file":"b","boxes":[]}`, ".hidden": "x"}, "a b"},
		{"positions", map[string]string{"a.json": `{"bbox":[[[1,1,1,1]]]}`}, ""},
		{"positions in several files", map[string]string{"a.json": `{"bbox":[[[1,1,1,1]]]}`, "b.json": `{"bbox":[[[1,1,1,1]]]}`}, "a.json: images without names in one of several files"},
		{"invalid file", map[string]string{"a.csv": "file,x,y,w,h\na,1,1,1,1", "b.txt": "hello"}, "b.txt: text of an unknown form: want JSON Lines"},
		{"no files", nil, "no proposals files in the folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(folder, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			images, err := readFolder(folder)
			var names []string
			for _, img := range images {
				names = append(names, img.File)
			}
			got := strings.Join(names, " ")
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestReadTexts checks formats that are texts, as other programs write them.
func TestReadTexts(t *testing.T) {
	one := []evaluate.Box{newBox(1, 2, 4, 6.5)}
	two := []evaluate.Box{newBox(5, 5, 6, 6), newBox(1, 2, 4, 6.5)}
	for _, c := range []struct {
		name, text string
		want       []Image
	}{
		{"lines", `{"file":"a","boxes":[[1,2,4,6.5]]}` + "\n\n" + `{"id":7,"boxes":[]}`, []Image{{File: "a", Boxes: one}, {ID: "7"}}},
		{"byte order mark", "\ufeff" + `{"file":"a","boxes":[[1,2,4,6.5]]}` + "\r\n", []Image{{File: "a", Boxes: one}}},
		{"unsorted scores", `{"file":"a","boxes":[[1,2,4,6.5],[5,5,6,6]],"scores":[0.1,0.9]}`, []Image{{File: "a", Boxes: two}}},
		{"equal scores", `{"file":"a","boxes":[[5,5,6,6],[1,2,4,6.5]],"scores":[1,1]}`, []Image{{File: "a", Boxes: two}}},
		{
			"all fields", `{"file":"a","id":"007","width":640,"height":480.0,"orientation":6,"seconds":0.5,"boxes":[],"scores":null,"x":{"boxes":[1]}}`,
			[]Image{{File: "a", ID: "007", Width: 640, Height: 480, Orientation: 6, SearchTime: 5e8}},
		},
		{"failed image", `{"file":"a","error":""}`, []Image{{File: "a", Error: "unknown error"}}},
		{"list", `[{"file":"a","boxes":[[1,2,4,6.5]]}]`, []Image{{File: "a", Boxes: one}}},
		{"empty", "\n", nil},
		{"empty list", "[]", nil},
		{"COCO results", `[{"image_id":1,"category_id":9,"bbox":[1,2,3,4.5],"score":0.1}, {"image_id":2.0,"bbox":[1,2,3,4.5],"score":1},
			{"image_id":1,"bbox":[5,5,1,1],"score":1e2}]`, []Image{{ID: "1", Boxes: two}, {ID: "2", Boxes: one}}},
		{
			"COCO results in lines", `{"image_id":1,"bbox":[1,2,3,4.5]}` + "\n" + `{"image_id":"1","bbox":[5,5,1,1]}`,
			[]Image{{ID: "1", Boxes: []evaluate.Box{two[1], two[0]}}},
		},
		{
			"COCO annotations", `{"info":{},"annotations":[{"id":5,"image_id":2,"bbox":[1,2,3,4.5]}],"images":[{"id":1,"file_name":"a"},{"id":2,"file_name":"b"}]}`,
			[]Image{{File: "a", ID: "1"}, {File: "b", ID: "2", Boxes: one}},
		},
		{"names", `{"a.b": [[1,2,3,4.5]], "c": []}`, []Image{{File: "a.b", Boxes: one}, {File: "c"}}},
		{"positions", `{"bbox": [ [[1,2,3,4.5]], []]}`, []Image{{Boxes: one}, {}}},
		{
			"CSV", "file,width,height,rank,x0,y0,x1,y1,score\na,8,9,1,1,2,4,6.5,0.5\n\"b,c\",8,9,1,5,5,6,6,1\na,8,9,2,5,5,6,6,0.9\n",
			[]Image{{File: "a", Width: 8, Height: 9, Boxes: two}, {File: "b,c", Width: 8, Height: 9, Boxes: two[:1]}},
		},
		{"CSV by rank", "x1,y1,x2,y2,image_id,rank\n1,2,4,6.5,7,2\n5,5,6,6,7,1\n", []Image{{ID: "7", Boxes: two}}},
		{"CSV with semicolons and sizes", "\ufeffName;Image;X;Y;Width;Height\r\n;a;1;2;3;4.5\r\n;b;;;;\r\n", []Image{{File: "a", Boxes: one}, {File: "b"}}},
		{"CSV with tabs", "filename\txmin\tymin\txmax\tymax\tconfidence\na\t1\t2\t4\t6.5\t1\n", []Image{{File: "a", Boxes: one}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(strings.NewReader(c.text))
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("%d images, %v; want %d", len(got), err, len(c.want))
			}
			for i, img := range got {
				want := c.want[i]
				if len(img.Boxes) == 0 {
					img.Boxes = nil
				}
				if img.File != want.File || img.ID != want.ID || img.Error != want.Error || img.Position != i || img.Width != want.Width ||
					img.Height != want.Height || img.Orientation != want.Orientation || img.SearchTime != want.SearchTime || !reflect.DeepEqual(img.Boxes, want.Boxes) {
					t.Errorf("image %d is %+v, want %+v", i, img, want)
				}
			}
		})
	}
}

// zipOf returns an archive of one member.
func zipOf(name, text string) string {
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	w, err := z.Create(name)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err)
	}
	return file.String()
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"JPEG", "\xff\xd8\xff\xe0\x00\x10JFIF", "an image (image/jpeg): want JSON Lines, COCO results, CSV"},
		{"HTML", "<html><body>404", "an HTML page: want"},
		{"text", "a b c\n", "text of an unknown form: want"},
		{"UTF-16", "\xff\xfe{\x00", "text in UTF-16: want"},
		{"gzip", "\x1f\x8b\x08\x00", "compressed with gzip: want"},
		{"Git LFS", "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer (git lfs pull fetches the file): want"},
		{"Octave", "# Created by Octave 6.4.0\n", "Octave's text format (save with -v7): want"},
		{"unknown", "\x00\x01\x02", "unknown format: want"},
		{"torch.save", zipOf("archive/data.pkl", "\x80\x02"), "a file of torch.save: want NumPy arrays"},
		{"other archive", zipOf("a.txt", "x"), `member "a.txt": want arrays of unique names`},
		{"archive of objects", zipOf("a.npy", string(npy.AppendHeader(nil, "|O", 1))), "a: Python objects: want numbers or strings"},
		{"archive of other arrays", zipOf("a.npy", string(npy.AppendHeader(nil, "|u1", 2))+"xx"), "or the arrays files, ids, offsets, boxes and scores"},
		{"cut array", zipOf("a.npy", string(npy.AppendHeader(nil, "<f4", 9, 4))), "shape [9 4] needs 144 bytes"},
		{"CSV without names", "1,2,3,4\n", "text of an unknown form: want"},
		{"CSV without images", "x,y,w,h\n1,2,3,4\n", "text of an unknown form: want"},
		{"HDF5", "MATLAB 7.3 MAT-file, Platform: GLNXA64", "HDF5, as MATLAB writes with -v7.3: want version 7"},
		{"line", `{"file":"a","boxes":[]}` + "\nx", "JSON Lines: line 2: invalid character 'x'"},
		{"NaN", `{"file":"a","boxes":[[1,2,3,4]],"scores":[NaN]}`, "line 1: invalid character 'N' looking for beginning of value: JSON has neither NaN nor Infinity"},
		{"NaN in a list", `[{"image_id":1,"bbox":[1,2,NaN,4]}]`, "JSON has neither NaN nor Infinity"},
		{"no file", `{"boxes":[]}`, `line 1: no file: want the name of the image as "file"`},
		{"no boxes", `{"file":"a"}`, `line 1: image "a": neither boxes nor an error`},
		{"box and boxes", `{"file":"a","boxes":[],"bbox":[1,2,3,4]}`, `both "bbox" and "boxes"`},
		{"error and boxes", `{"file":"a","boxes":[],"error":"x"}`, "both an error and boxes"},
		{"duplicate field", `{"file":"a","file":"b","boxes":[]}`, `field "file" is there twice`},
		{"three corners", `{"file":"a","boxes":[[1,2,3]]}`, `box 0: want [x0,y0,x1,y1]`},
		{"null corner", `{"file":"a","boxes":[[1,2,3,null]]}`, `box 0: want [x0,y0,x1,y1]`},
		{"boxes that are no list", `{"file":"a","boxes":7}`, "boxes: want a list"},
		{"inverted", `{"file":"a","boxes":[[1,1,2,2],[80,55,20,15]]}`, `line 1: image "a": box 1: corners (80, 55) and (20, 15): want the upper left corner first`},
		{"far", `{"file":"a","boxes":[[0,0,1,1e300]]}`, `box 0: coordinate 1e+300: want a number of pixels`},
		{"scores", `{"file":"a","boxes":[[1,1,2,2]],"scores":[]}`, "1 boxes and 0 scores: want equal numbers"},
		{"orientation", `{"file":"a","boxes":[],"orientation":9}`, "orientation 9: want 0 to 8"},
		{"width", `{"file":"a","boxes":[],"width":1.5}`, "width 1.5: want a whole number"},
		{"seconds", `{"file":"a","boxes":[],"seconds":-1}`, "search of -1 seconds"},
		{"cut list", `[{"file":"a","boxes":[]}`, "JSON: the file ends within a value"},
		{"two lists", `[] []`, "want nothing after the end"},
		{"list of numbers", `[1]`, "object 0: 1: want an object"},
		{"negative size", `[{"image_id":1,"bbox":[1,2,-3,4]}]`, `object 0: image "1": box 0: -3 × 4 pixels: want a width`},
		{"some scores", `[{"image_id":1,"bbox":[1,2,3,4]},{"image_id":1,"bbox":[1,2,3,4],"score":1}]`, "scores of all or none"},
		{"annotation without image", `{"images":[],"annotations":[{"bbox":[1,2,3,4]}]}`, "annotation 0: want an image_id and a bbox"},
		{"images of equal id", `{"images":[{"id":1},{"id":1}]}`, `image 1: id "1": want a unique id`},
		{"CSV row", "file,x0,y0,x1,y1\na,1,2,3\n", "CSV: record on line 2: wrong number of fields"},
		{"CSV cell", "file,x0,y0,x1,y1\na,1,2,3,x\n", `line 2: image "a": coordinate "x": want a number`},
		{"CSV coordinates", "file,x0,y0,x1,y1\na,1,2,,4\n", "3 of four coordinates"},
		{"CSV without image", "file,x0,y0,x1,y1\n,1,2,3,4\n", "line 2: no image"},
		{"CSV inverted", "file,x0,y0,x1,y1\na,9,2,3,4\n", `line 2: image "a": box 0: corners (9, 2) and (3, 4)`},
		{"CSV score", "file,x0,y0,x1,y1,score\na,1,2,3,4,nan\n", `image "a": box 0: score NaN`},
		{"CSV of one long line", "file,x,y,w,h\n" + strings.Repeat("a", maxCSVLine+2), "a line of more than"},
		{"npz", "PK\x03\x04", "NumPy archive: "},
		{"npy", "\x93NUMPY\x01\x00\xff\xff", "NumPy array: not a .npy file"},
		{"parquet", "PAR1PAR1", "Parquet: the file ends early"},
		{"parquet footer", "PAR1\xff\xff\xff\x7fPAR1", "Parquet: no footer"},
		{"pickle", "\x80\x04]", "pickle: at byte 3: the file ends early"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if images, err := readAll(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d images, %v; want %q", len(images), err, c.want)
			}
		})
	}
}

func TestReadStopsWhenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range Read(ctx, strings.NewReader(strings.Repeat(`{"file":"a","boxes":[]}`+"\n", 10))) {
		n++
		last = err
		cancel()
	}
	if n != 2 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d images, %v; want one and the error of the context", n, last)
	}
	for range Read(t.Context(), strings.NewReader(strings.Repeat(`{"file":"a","boxes":[]}`+"\n", 10))) {
		break // the iteration ends without a panic
	}
}

// valid checks what every image that was read has to satisfy.
func valid(t *testing.T, img *Image) {
	t.Helper()
	for i, b := range img.Boxes {
		if !(b.X0 <= b.X1 && b.Y0 <= b.Y1) || math.IsInf(b.X0+b.Y0+b.X1+b.Y1, 0) {
			t.Fatalf("box %d is %v", i, b)
		}
	}
	for i := 1; i < len(img.scores); i++ {
		if !(img.scores[i-1] >= img.scores[i]) {
			t.Fatalf("score %d is %v after %v", i, img.scores[i], img.scores[i-1])
		}
	}
}

// TestReadDamagedFiles sets each byte of valid files to several values: the result is an error or valid.
func TestReadDamagedFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "codec", "testdata", "rows.*"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range []string{"image.hosang", "image.siamese-detr"} {
		files = append(files, filepath.Join("..", "codec", "testdata", name))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range data {
				for _, damaged := range []byte{0, 0xff} {
					data[i] = damaged
					images, _ := readAll(bytes.NewReader(data))
					for _, img := range images {
						valid(t, img)
					}
				}
				data[i] = b
			}
		})
	}
}

// fuzz reads inputs as the format named by want, and others as they are recognized. Seeds are files that
// package codec writes, and texts.
func fuzz(f *testing.F, seeds []string, texts ...string) {
	for _, name := range seeds {
		data, err := os.ReadFile(filepath.Join("..", "codec", "testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		images, err := readAll(bytes.NewReader(data))
		boxes := 0
		for _, img := range images {
			valid(t, img)
			boxes += len(img.Boxes)
		}
		if boxes > 1<<20 {
			return // a compressed file
		}
		piped, err2 := readAll(struct{ io.Reader }{bytes.NewReader(data)})
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(images, piped) {
			t.Fatalf("from a file %v, %v; from a pipe %v, %v", images, err, piped, err2)
		}
	})
}

func FuzzJSON(f *testing.F) {
	fuzz(f, []string{"rows.jsonl", "rows.coco", "rows.coco-annotations", "rows.soco", "rows.orl"}, `[{"file":"a","boxes":[[1,2,3,4]]}]`)
}
func FuzzCSV(f *testing.F) { fuzz(f, []string{"rows.csv"}, "x;y;w;h;id;score\n1;2;3;4;5;6\n") }
func FuzzNPZ(f *testing.F) { fuzz(f, []string{"rows.npz"}) }
func FuzzNPY(f *testing.F) { fuzz(f, []string{"image.detreg", "image.siamese-detr"}) }
func FuzzMAT(f *testing.F) { fuzz(f, []string{"rows.mat", "image.hosang"}) }
func FuzzPickle(f *testing.F) {
	fuzz(f, []string{"rows.detectron", "rows.detectron2", "rows.mmdet", "rows.mmdet2"})
}
func FuzzParquet(f *testing.F) { fuzz(f, []string{"rows.parquet"}) }
