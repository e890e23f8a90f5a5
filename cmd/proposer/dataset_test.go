package main

import (
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// The size of the drawn images of data sets.
const drawnWidth, drawnHeight = 96, 64

// drawn returns the drawn image of a number.
func drawn(number int) *scene.Scene {
	return scene.Render(uint64(number), drawnWidth, drawnHeight, 4)
}

// tree is the content of files by their path.
type tree map[string]string

// with returns a tree with more files, or other content.
func (f tree) with(more tree) tree {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

// write writes the files to a new folder.
func (f tree) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range f {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, []byte(text))
	}
	return dir
}

// images returns the drawn images 1 to 3 under names such as val/1.jpg, in which % stands for the number.
func images(pattern string) tree {
	files := tree{}
	for i := 1; i <= 3; i++ {
		files[strings.ReplaceAll(pattern, "%", fmt.Sprint(i))] = string(drawn(i).JPEG(90))
	}
	return files
}

// instances returns a COCO file of the drawn images 1 to 3. Its images, annotations and categories
// are changed by edit, which may be nil.
func instances(t testing.TB, edit func(content map[string][]any)) string {
	t.Helper()
	content := map[string][]any{"categories": {map[string]any{"id": 1, "name": "thing"}}}
	for i := 1; i <= 3; i++ {
		content["images"] = append(content["images"], map[string]any{"id": i, "file_name": fmt.Sprint(i, ".jpg"), "width": drawnWidth, "height": drawnHeight})
		for _, b := range drawn(i).Boxes {
			content["annotations"] = append(content["annotations"], map[string]any{
				"id": len(content["annotations"]) + 1, "image_id": i, "category_id": 1, "iscrowd": 0,
				"bbox": []int32{b.X0, b.Y0, b.Width(), b.Height()}, "area": b.Area(),
			})
		}
	}
	if edit != nil {
		edit(content)
	}
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// annotation returns a VOC file of a drawn image.
func annotation(number int, filename string) string {
	text := fmt.Sprintf("<annotation><filename>%s</filename><size><width>%d</width><height>%d</height></size>", filename, drawnWidth, drawnHeight)
	for _, b := range drawn(number).Boxes {
		text += fmt.Sprintf("<object><name>thing</name><bndbox><xmin>%d</xmin><ymin>%d</ymin><xmax>%d</xmax><ymax>%d</ymax></bndbox></object>",
			b.X0+1, b.Y0+1, b.X1, b.Y1)
	}
	return text + "</annotation>"
}

// voc returns a VOC data set of the drawn images 1 to 3 whose image set consists of lines. Images and
// annotations have names in which % stands for the number.
func voc(image, name string, lines ...string) tree {
	files := images(image)
	files["ImageSets/Main/val.txt"] = strings.Join(lines, "\n") + "\n"
	for i := 1; i <= 3; i++ {
		name := strings.ReplaceAll(name, "%", fmt.Sprint(i))
		files["Annotations/"+name+".xml"] = annotation(i, filepath.Base(name)+".jpg")
	}
	return files
}

// result is what a command printed.
type result struct {
	out, msg string
	code     int
}

// runDataset runs the four commands on a data set. The result of eval is its line for all boxes
// without the time, that of batch the file and id of each image.
func runDataset(t testing.TB, path string, flags ...string) map[string]result {
	t.Helper()
	results := map[string]result{}
	for name, args := range map[string][]string{
		"batch": {"batch", path},
		"rois":  {"rois", path},
		"eval":  {"eval", "--data", path, "--format", "csv", "--budgets", "10"},
		"train": {"train", "--data", path, "--model", "trees", "--trees", "1"},
	} {
		out := filepath.Join(t.TempDir(), name)
		if name != "eval" {
			args = append(args, "--out", out)
		}
		r := result{}
		r.out, r.msg, r.code = call(t, nil, slices.Concat(args, []string{"--mode", "single"}, flags)...)
		switch name {
		case "eval":
			r.out = allBoxes(r.out)
		case "batch":
			r.out = listed(t, out)
		}
		results[name] = r
	}
	return results
}

// allBoxes returns the line of eval's CSV for all boxes, without the time.
func allBoxes(text string) string {
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	if seconds := slices.Index(lines[0], "seconds"); seconds >= 0 {
		last[seconds] = ""
	}
	return strings.Join(last, ",")
}

// listed returns the files and ids of the images of a batch, in order.
func listed(t testing.TB, out string) string {
	t.Helper()
	f, err := os.Open(filepath.Join(out, "proposals-000000.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for line, err := range codec.ReadJSONL(f) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, line.Row.File+" "+line.Row.ID)
	}
	return strings.Join(names, ", ")
}

// wantCodes checks the exit codes of all commands.
func wantCodes(t testing.TB, got map[string]result, want int) {
	t.Helper()
	for name, r := range got {
		if r.code != want {
			t.Errorf("%s: exit code %d, want %d: %s", name, r.code, want, r.msg)
		}
	}
}

const (
	cocoImages = "1.jpg 1, 2.jpg 2, 3.jpg 3"
	vocImages  = "1.jpg 1, 2.jpg 2, 3.jpg 3"
)

// Invalid annotations never concern batch; the other commands leave them out and count them.
func TestInvalidAnnotations(t *testing.T) {
	good := runDataset(t, images("%.jpg").with(tree{"instances.json": instances(t, nil)}).write(t))
	wantCodes(t, good, exitOK)
	add := func(key string, value any) func(map[string][]any) {
		return func(content map[string][]any) {
			a := map[string]any{"id": 99, "image_id": 1, "category_id": 1, "bbox": []int{1, 2, 3, 4}}
			a[key] = value
			content["annotations"] = append(content["annotations"], a)
		}
	}
	for name, file := range map[string]string{
		"negative width":   instances(t, add("bbox", []int{1, 2, -3, 4})),
		"unknown image":    instances(t, add("image_id", 77)),
		"unknown category": instances(t, add("category_id", 77)),
		"no bbox":          instances(t, add("bbox", nil)),
		"empty bbox":       instances(t, add("bbox", []int{})),
		"NaN":              strings.Replace(instances(t, add("bbox", []int{1, 2, 777, 4})), "777", "NaN", 1),
		"infinity":         strings.Replace(instances(t, add("bbox", []int{1, 2, 777, 4})), "777", "-Infinity", 1),
		"text":             instances(t, add("bbox", "1,2,3,4")),
	} {
		t.Run(name, func(t *testing.T) {
			dir := images("%.jpg").with(tree{"instances.json": file}).write(t)
			got := runDataset(t, dir)
			wantCodes(t, got, exitOK)
			for name, r := range got {
				skipped := strings.Count(r.msg, "skipped annotations ")
				if want := 1; name == "batch" && skipped != 0 || name != "batch" && (skipped != want || !strings.Contains(r.msg, ": 1, the first is annotation ")) {
					t.Errorf("%s: %s", name, r.msg)
				}
			}
			if got["eval"].out != good["eval"].out || got["batch"].out != cocoImages {
				t.Errorf("eval: %s, want %s; batch: %s", got["eval"].out, good["eval"].out, got["batch"].out)
			}
			for name, r := range runDataset(t, dir, "--strict") {
				if want := exitFailed; name == "batch" && r.code != exitOK || name != "batch" && (r.code != want || !strings.Contains(r.msg, "annotation ")) {
					t.Errorf("%s --strict: exit code %d, %s", name, r.code, r.msg)
				}
			}
		})
	}
}

// All commands find the images where people put them.
func TestFolderOfImages(t *testing.T) {
	coco := instances(t, nil)
	for _, c := range []struct{ annotations, images string }{
		{"annotations/instances_val2017.json", "val2017/%.jpg"},
		{"annotations/train.json", "train/%.jpg"},
		{"annotations/train.json", "images/train/%.jpg"},
		{"train.json", "train/%.jpg"},
		{"annotations/instances_minival2014.json", "val2014/%.jpg"},
		{"annotations/instances_valminusminival2014.json", "val2014/%.jpg"},
		{"annotations/person_keypoints_val2017.json", "val2017/%.jpg"},
		{"annotations/instances_train2017_1shot.json", "train2017/%.jpg"},
		{"annotations/image_info_test-dev2017.json", "test2017/%.jpg"},
		{"data/_annotations.coco.json", "data/%.jpg"},
	} {
		t.Run(c.annotations+" "+c.images, func(t *testing.T) {
			dir := images(c.images).with(tree{c.annotations: coco}).write(t)
			got := runDataset(t, filepath.Join(dir, c.annotations))
			wantCodes(t, got, exitOK)
			if got["batch"].out != cocoImages {
				t.Errorf("got %s", got["batch"].out)
			}
		})
	}
	t.Run("elsewhere", func(t *testing.T) {
		dir := images("photos/%.jpg").with(tree{"a/b/annotations/instances_val.json": coco}).write(t)
		file, photos := filepath.Join(dir, "a/b/annotations/instances_val.json"), filepath.Join(dir, "photos")
		got := runDataset(t, file)
		wantCodes(t, got, exitFailed)
		for name, r := range got {
			if !strings.Contains(r.msg, `"1.jpg": use --images`) {
				t.Errorf("%s: %s", name, r.msg)
			}
		}
		wantCodes(t, runDataset(t, file, "--images", photos), exitOK)
		for name, r := range runDataset(t, file, "--images", photos+"x") {
			if r.code == exitOK || !strings.Contains(r.msg, photos+"x") {
				t.Errorf("%s: exit code %d, %s", name, r.code, r.msg)
			}
		}
	})
	t.Run("not a data set", func(t *testing.T) {
		dir := images("%.jpg").with(tree{"list.txt": "1.jpg\n"}).write(t)
		for _, src := range []string{dir, filepath.Join(dir, "list.txt")} {
			_, msg, code := call(t, nil, "batch", src, "--out", t.TempDir(), "--images", dir)
			if code != exitUsage || !strings.Contains(msg, "--images "+dir) || !strings.Contains(msg, src+" is not a COCO or PASCAL VOC data set") {
				t.Errorf("exit code %d, %s", code, msg)
			}
		}
	})
	t.Run("other images", func(t *testing.T) {
		dir := images("val/%.jpg").with(images("other/%.jpg")).with(tree{"annotations/val.json": coco}).write(t)
		args := []string{"batch", filepath.Join(dir, "annotations/val.json"), "--mode", "single", "--out", t.TempDir()}
		if _, msg, code := call(t, nil, args...); code != exitOK {
			t.Fatal(msg)
		}
		_, msg, code := call(t, nil, append(args, "--images", filepath.Join(dir, "other"))...)
		if code != exitUsage || !strings.Contains(msg, "different settings") {
			t.Errorf("exit code %d, %s", code, msg)
		}
	})
}

// batch needs images alone.
func TestDatasetOfImagesAlone(t *testing.T) {
	without := func(keys ...string) string {
		return instances(t, func(content map[string][]any) {
			for _, key := range keys {
				delete(content, key)
			}
		})
	}
	for name, c := range map[string]struct {
		file    string
		objects bool
	}{
		"image info":     {without("annotations"), false},
		"images":         {without("annotations", "categories"), false},
		"no categories":  {without("categories"), true},
		"no annotations": {instances(t, func(content map[string][]any) { content["annotations"] = []any{} }), false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := images("test2017/%.jpg").with(tree{"annotations/image_info_test-dev2017.json": c.file}).write(t)
			file := filepath.Join(dir, "annotations/image_info_test-dev2017.json")
			got := runDataset(t, file)
			if r := got["batch"]; r.code != exitOK || r.out != cocoImages {
				t.Errorf("batch: exit code %d, %s, %s", r.code, r.out, r.msg)
			}
			if r := got["eval"]; c.objects && (r.code != exitOK || !strings.Contains(r.out, ",3,12,")) {
				t.Errorf("eval: exit code %d, %s, %s", r.code, r.out, r.msg)
			}
		})
	}
}

// The name of an annotation decides which image it is of, not its file name.
func TestPairingOfAnnotations(t *testing.T) {
	right := voc("JPEGImages/%.jpg", "%", "1", "2", "3")
	stale := right.with(tree{"Annotations/1.xml": annotation(1, "2.jpg"), "Annotations/2.xml": annotation(2, "1.jpg")})
	want := runDataset(t, filepath.Join(right.write(t), "ImageSets/Main/val.txt"))
	wantCodes(t, want, exitOK)
	dir := stale.write(t)
	for _, path := range []string{dir, filepath.Join(dir, "ImageSets/Main/val.txt")} {
		got := runDataset(t, path)
		wantCodes(t, got, exitOK)
		if got["eval"].out != want["eval"].out || got["batch"].out != vocImages {
			t.Errorf("eval: %s, want %s; batch: %s", got["eval"].out, want["eval"].out, got["batch"].out)
		}
		for _, name := range []string{"eval", "rois", "train"} {
			if !strings.Contains(got[name].msg, "filename") {
				t.Errorf("%s does not report the other file names: %q", name, got[name].msg)
			}
		}
	}
	// Without an image of its name, the file name says which it is.
	other := images("JPEGImages/photo %.jpg").with(tree{"Annotations/a.xml": annotation(2, "photo 2.jpg"), "ImageSets/Main/val.txt": "a\n"})
	got := runDataset(t, filepath.Join(other.write(t), "ImageSets/Main/val.txt"))
	wantCodes(t, got, exitOK)
	if got["batch"].out != "photo 2.jpg a" {
		t.Errorf("got %s", got["batch"].out)
	}
}

// All commands read the variants of image sets.
func TestImageSets(t *testing.T) {
	want := runDataset(t, filepath.Join(voc("JPEGImages/%.jpg", "%", "1", "2", "3").write(t), "ImageSets/Main/val.txt"))
	for name, c := range map[string]struct {
		files tree
		want  string
	}{
		"images":     {voc("images/00000%.jpg", "00000%", "000001", "000002", "000003"), "000001.jpg 000001, 000002.jpg 000002, 000003.jpg 000003"},
		"extensions": {voc("JPEGImages/%.jpg", "%", "1.jpg", "2.jpg", "3.jpg"), "1.jpg 1, 2.jpg 2, 3.jpg 3"},
		"spaces":     {voc("JPEGImages/my photo %.jpg", "my photo %", "my photo 1", "my photo 2", "my photo 3"), "my photo 1.jpg my photo 1, my photo 2.jpg my photo 2, my photo 3.jpg my photo 3"},
		"classes":    {voc("JPEGImages/%.jpg", "%", "1  1", "2 -1", "3  0"), vocImages},
		"folders":    {voc("JPEGImages/%/a.jpg", "%/a", "1/a", "2/a", "3/a"), "1/a.jpg 1/a, 2/a.jpg 2/a, 3/a.jpg 3/a"},
		"ILSVRC":     {voc("JPEGImages/%.jpg", "%", "1 1", "2 2", "3 3"), vocImages},
		"upper case": {voc("JPEGImages/%.JPEG", "%", "1", "2", "3"), "1.JPEG 1, 2.JPEG 2, 3.JPEG 3"},
		"BOM":        {voc("JPEGImages/%.jpg", "%", "\ufeff1\r", "2\r", "", "3"), vocImages},
	} {
		t.Run(name, func(t *testing.T) {
			got := runDataset(t, filepath.Join(c.files.write(t), "ImageSets/Main/val.txt"))
			wantCodes(t, got, exitOK)
			if got["eval"].out != want["eval"].out || got["batch"].out != c.want {
				t.Errorf("eval: %s, want %s\nbatch: %s, want %s", got["eval"].out, want["eval"].out, got["batch"].out, c.want)
			}
		})
	}
}

// rotated returns a JPEG with an EXIF orientation.
func rotated(jpeg []byte, orientation uint16) string {
	exif := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")
	binary.BigEndian.PutUint16(exif[28:], orientation)
	return string(slices.Concat(jpeg[:2], exif, jpeg[2:]))
}

// Annotations of the stored image are turned with it, and an image of another size fails, in all commands.
func TestSizesOfImages(t *testing.T) {
	turned := tree{"instances.json": instances(t, nil), "1.jpg": string(drawn(1).JPEG(90))}
	for i := 2; i <= 3; i++ {
		turned[fmt.Sprint(i, ".jpg")] = rotated(drawn(i).JPEG(90), uint16(4+i)) // orientations 6 and 7
	}
	resized := tree{"instances.json": turned["instances.json"], "3.jpg": string(scene.Render(3, 90, 60, 4).JPEG(90))}
	resized = images("%.jpg").with(resized)
	const turnedLine = "the annotations of 2 images are for the stored orientation, so their boxes were turned; the first is 2.jpg"
	const resizedLine = "the annotations of 1 image are for another size; the first is 3.jpg"
	mirrored := images("%.jpg").with(tree{"instances.json": turned["instances.json"], "2.jpg": rotated(drawn(2).JPEG(90), 2)})
	noSize := images("%.jpg").with(tree{"1.jpg": rotated(drawn(1).JPEG(90), 6), "instances.json": instances(t, func(content map[string][]any) {
		delete(content["images"][0].(map[string]any), "width")
		delete(content["images"][0].(map[string]any), "height")
	})})
	outside := images("%.jpg").with(tree{"instances.json": instances(t, func(content map[string][]any) {
		content["annotations"][0].(map[string]any)["bbox"] = []int{drawnWidth, 0, 10, 10}
	})})
	fractions := images("%.jpg").with(tree{"instances.json": instances(t, func(content map[string][]any) {
		for _, e := range content["annotations"] {
			a := e.(map[string]any)
			b := a["bbox"].([]int32)
			a["bbox"] = []float64{float64(b[0]) / drawnWidth, float64(b[1]) / drawnHeight, float64(b[2]) / drawnWidth, float64(b[3]) / drawnHeight}
		}
	})})
	const fractionsLine = "the coordinates of all annotations are between 0 and 1: want pixels"
	const unsureLine = "the annotations of 1 image are taken to be for the upright orientation, the size does not tell it from the stored one; the first is "
	const outsideLine = "the annotations of 1 image have boxes outside of the image; the first is 1.jpg"
	const resizedImage = "3.jpg: the image has 90 × 60 pixels, its annotations are for 96 × 64"
	for name, c := range map[string]struct {
		files tree
		want  []string // messages
		code  int      // of eval and train
	}{
		"turned":    {turned, []string{turnedLine}, exitOK},
		"resized":   {resized, []string{resizedLine, resizedImage}, exitFailed},
		"mirrored":  {mirrored, []string{unsureLine + "2.jpg"}, exitOK},
		"no size":   {noSize, []string{unsureLine + "1.jpg"}, exitOK},
		"fractions": {fractions, []string{fractionsLine}, exitOK},
		"outside":   {outside, []string{outsideLine}, exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.files.write(t)
			got := runDataset(t, dir)
			proposals := proposalsOf(t, dir)
			out, msg, code := call(t, nil, "eval", "--data", dir, "--format", "csv", "--budgets", "10", "--proposals", proposals)
			got["eval --proposals"] = result{allBoxes(out), msg, code}
			// Without sizes, those of the files count.
			out, msg, code = call(t, nil, "eval", "--data", dir, "--format", "csv", "--budgets", "10", "--proposals", withoutSizes(t, proposals))
			got["eval --proposals without sizes"] = result{allBoxes(out), msg, code}
			for name, r := range got {
				wantCode := c.code
				if name == "batch" || name == "rois" {
					wantCode = exitOK // not all images failed
				}
				if name == "train" && c.want[0] == fractionsLine {
					wantCode = exitFailed // no box overlaps such objects
				}
				if r.code != wantCode {
					t.Errorf("%s: exit code %d, want %d", name, r.code, wantCode)
				}
				for _, want := range c.want {
					if name == "eval --proposals without sizes" && strings.HasSuffix(want, unsureLine+"1.jpg") {
						continue // no size is known, and the files are not read
					}
					if strings.Contains(r.msg, want) == (name == "batch") {
						t.Errorf("%s: %s\nwant %s", name, r.msg, want)
					}
				}
			}
			if code := runDataset(t, dir, "--strict")["rois"].code; code != c.code {
				t.Errorf("rois --strict: exit code %d, want %d", code, c.code)
			}
		})
	}
	t.Run("recall", func(t *testing.T) {
		dir := turned.write(t)
		find := func(flags ...string) string {
			out, _, code := call(t, nil, append([]string{"eval", "--data", dir, "--format", "csv", "--budgets", "10", "--mode", "single"}, flags...)...)
			if code != exitOK {
				t.Errorf("%s: exit code %d", flags, code)
			}
			_, results, _ := strings.Cut(allBoxes(out), ",") // without the name
			return results
		}
		stored := find("--orientation", "ignore")
		if upright := find(); upright != stored {
			t.Errorf("got %s, of the stored images %s", upright, stored)
		}
		// The boxes of stored images are told from those of upright ones.
		out, _, _ := call(t, nil, "propose", "--mode", "single", "--orientation", "ignore", filepath.Join(dir, "1.jpg"), filepath.Join(dir, "2.jpg"), filepath.Join(dir, "3.jpg"))
		name := filepath.Join(t.TempDir(), "p.jsonl")
		write(t, name, []byte(out))
		out, msg, code := call(t, nil, "eval", "--data", dir, "--format", "csv", "--budgets", "10", "--proposals", name)
		if _, results, _ := strings.Cut(allBoxes(out), ","); results != stored || code != exitOK || msg != "" {
			t.Errorf("got %s, want %s; %d, %s", results, stored, code, msg)
		}
	})
	t.Run("no images", func(t *testing.T) {
		dir := turned.write(t)
		proposals := proposalsOf(t, dir)
		for i := 1; i <= 3; i++ {
			if err := os.Remove(filepath.Join(dir, fmt.Sprint(i, ".jpg"))); err != nil {
				t.Fatal(err)
			}
		}
		_, msg, code := call(t, nil, "eval", "--data", dir, "--proposals", proposals)
		if code != exitOK || !strings.Contains(msg, turnedLine) {
			t.Errorf("exit code %d, %s", code, msg)
		}
		// Without sizes and images only the boxes show that they are of upright images.
		_, msg, code = call(t, nil, "eval", "--data", dir, "--proposals", withoutSizes(t, proposals))
		if code != exitOK || !strings.Contains(msg, "2 images have boxes that reach outside") {
			t.Errorf("exit code %d, %s", code, msg)
		}
	})
}

// proposalsOf writes the proposals of the images in a folder to a file.
func proposalsOf(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	out, msg, code := call(t, nil, append([]string{"propose", "--mode", "single"}, names...)...)
	if code != exitOK {
		t.Fatal(msg)
	}
	name := filepath.Join(t.TempDir(), "p.jsonl")
	write(t, name, []byte(out))
	return name
}

// withoutSizes writes a file of proposals as a program does that tells the boxes alone.
func withoutSizes(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out strings.Builder
	for line, err := range codec.ReadJSONL(f) {
		if err != nil {
			t.Fatal(err)
		}
		var boxes [][4]int32
		for _, b := range line.Row.Boxes {
			boxes = append(boxes, [4]int32{b.X0, b.Y0, b.X1, b.Y1})
		}
		text, err := json.Marshal(map[string]any{"file": line.Row.File, "boxes": boxes})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(text, '\n'))
	}
	name = filepath.Join(t.TempDir(), "p.jsonl")
	write(t, name, []byte(out.String()))
	return name
}

// Annotations are read in the encodings that people's programs write.
func TestEncodingsOfAnnotations(t *testing.T) {
	want := runDataset(t, voc("JPEGImages/%.jpg", "%", "1", "2", "3").write(t))
	for name, c := range map[string]struct {
		declaration, class string // of the file
		valid              bool
	}{
		"ISO-8859-1":   {`<?xml version="1.0" encoding="ISO-8859-1"?>`, "caf\xe9", true},
		"windows-1252": {`<?xml version="1.0" encoding="windows-1252"?>`, "caf\xe9 \x80", true},
		"us-ascii":     {`<?xml version="1.0" encoding="us-ascii"?>`, "cafe", true},
		"UTF8":         {`<?xml version="1.0" encoding="UTF8"?>`, "café", true},
		"BOM":          {"\ufeff" + `<?xml version="1.0" encoding="utf-8"?>`, "café", true},
		"GB2312":       {`<?xml version="1.0" encoding="GB2312"?>`, "cafe", false},
	} {
		t.Run(name, func(t *testing.T) {
			files := voc("JPEGImages/%.jpg", "%", "1", "2", "3")
			for i := 1; i <= 3; i++ {
				name := fmt.Sprintf("Annotations/%d.xml", i)
				files[name] = c.declaration + strings.ReplaceAll(files[name], "thing", c.class)
			}
			got := runDataset(t, files.write(t))
			if got["batch"].code != exitOK || got["batch"].out != vocImages {
				t.Errorf("batch: %s, %s", got["batch"].out, got["batch"].msg)
			}
			if c.valid {
				wantCodes(t, got, exitOK)
				if got["eval"].out != want["eval"].out {
					t.Errorf("eval: %s, want %s", got["eval"].out, want["eval"].out)
				}
				return
			}
			if r := got["eval"]; r.code != exitFailed || !strings.Contains(r.msg, "GB2312") {
				t.Errorf("eval: exit code %d, %s", r.code, r.msg)
			}
		})
	}
	t.Run("COCO with a BOM", func(t *testing.T) {
		got := runDataset(t, images("%.jpg").with(tree{"instances.json": "\ufeff" + instances(t, nil)}).write(t))
		wantCodes(t, got, exitOK)
	})
}

// Links have one rule in all commands.
func TestLinksInDatasets(t *testing.T) {
	disk := images("%.jpg").write(t)
	dir := tree{"annotations/instances_val.json": instances(t, nil), "val/notes.txt": "", "store/1.jpg": string(drawn(1).JPEG(90))}.write(t)
	for i := 1; i <= 3; i++ {
		if err := os.Symlink(filepath.Join(disk, fmt.Sprint(i, ".jpg")), filepath.Join(dir, "val", fmt.Sprint(i, ".jpg"))); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "annotations/instances_val.json")
	got := runDataset(t, file)
	for name, r := range got {
		if name != "train" && r.code != exitFailed || !strings.Contains(r.msg, "2.jpg: a symbolic link that leads out of the folder: use --follow-links") {
			t.Errorf("%s: exit code %d, %s", name, r.code, r.msg)
		}
	}
	wantCodes(t, runDataset(t, file, "--follow-links"), exitOK)

	// A folder of images that is a link itself leads nowhere else.
	dir = tree{"annotations/instances_val.json": instances(t, nil)}.write(t)
	if err := os.Symlink(disk, filepath.Join(dir, "val")); err != nil {
		t.Fatal(err)
	}
	wantCodes(t, runDataset(t, dir), exitOK)

	// In a folder, links that lead out are left out and counted.
	dir = images("%.jpg").write(t)
	if err := errors.Join(os.Symlink(disk, filepath.Join(dir, "disk")), os.Symlink(filepath.Join(disk, "1.jpg"), filepath.Join(dir, "4.jpg")),
		os.Symlink("1.jpg", filepath.Join(dir, "5.jpg")), os.Symlink("..", filepath.Join(disk, "up"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags     []string
		want, msg string
	}{
		{nil, "1.jpg , 2.jpg , 3.jpg , 5.jpg ", "left out 2 links that lead out of the folder, the first is 4.jpg: use --follow-links to include them"},
		{[]string{"--follow-links"}, "1.jpg , 2.jpg , 3.jpg , 4.jpg , 5.jpg , disk/1.jpg , disk/2.jpg , disk/3.jpg ", ""},
	} {
		out := t.TempDir()
		_, msg, code := call(t, nil, append([]string{"batch", dir, "--mode", "single", "--out", out}, c.flags...)...)
		if got := listed(t, out); got != c.want || code != exitOK || !strings.Contains(msg, c.msg) || c.msg == "" && strings.Contains(msg, "left out") {
			t.Errorf("%s: exit code %d, %q\n%s", c.flags, code, got, msg)
		}
		// The list of images is made once, so that the flag has to stay the same.
		if len(c.flags) == 0 {
			_, msg, code = call(t, nil, "batch", dir, "--mode", "single", "--out", out, "--follow-links")
			if code != exitUsage || !strings.Contains(msg, `different settings (follow-links was "" and is "true")`) {
				t.Errorf("exit code %d, %s", code, msg)
			}
		}
	}
}

// Absolute file names need a flag.
func TestAbsolutePathsInDatasets(t *testing.T) {
	disk := images("%.jpg").write(t)
	file := instances(t, func(content map[string][]any) {
		for _, img := range content["images"] {
			img := img.(map[string]any)
			img["file_name"] = filepath.Join(disk, img["file_name"].(string))
		}
	})
	dir := tree{"instances.json": file}.write(t)
	for name, r := range runDataset(t, dir) {
		if r.code != exitFailed || !strings.Contains(r.msg, "--absolute-paths") {
			t.Errorf("%s: exit code %d, %s", name, r.code, r.msg)
		}
	}
	wantCodes(t, runDataset(t, dir, "--absolute-paths"), exitOK)
}

// pycocotools refuses results whose ids are not those of the instances file: "007" is not 7 in Python.
func TestIDsInCOCOFormats(t *testing.T) {
	idsOf := func(ids ...any) string {
		return instances(t, func(content map[string][]any) {
			for i, e := range content["images"] {
				e.(map[string]any)["id"] = ids[i]
			}
			for _, e := range content["annotations"] {
				a := e.(map[string]any)
				a["image_id"] = ids[a["image_id"].(int)-1]
			}
		})
	}
	for name, c := range map[string]struct {
		files tree
		path  string
		want  []string // as JSON
	}{
		"numbers":          {images("%.jpg").with(tree{"instances.json": idsOf(7, 8, 139)}), "instances.json", []string{"7", "8", "139"}},
		"texts":            {images("%.jpg").with(tree{"instances.json": idsOf("000139", "8", "a")}), "instances.json", []string{`"000139"`, `"8"`, `"a"`}},
		"numbers as texts": {images("%.jpg").with(tree{"instances.json": idsOf("7", "8", "9")}), "instances.json", []string{`"7"`, `"8"`, `"9"`}},
		"both":             {images("%.jpg").with(tree{"instances.json": idsOf(7, "007", "8")}), "instances.json", []string{"7", `"007"`, `"8"`}},
		"PASCAL VOC":       {voc("JPEGImages/00%.jpg", "00%", "001", "002", "003"), "ImageSets/Main/val.txt", []string{"1", "2", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(c.files.write(t), c.path)
			for _, format := range []string{"coco", "coco-annotations"} {
				out := t.TempDir()
				if _, msg, code := call(t, nil, "batch", path, "--out", out, "--format", format, "--mode", "single", "--max", "1"); code != exitOK {
					t.Fatal(msg)
				}
				text, err := os.ReadFile(filepath.Join(out, "proposals.json"))
				if err != nil {
					t.Fatal(err)
				}
				type entry struct {
					ID json.RawMessage `json:"image_id"`
				}
				var file struct{ Annotations []entry }
				if format == "coco" {
					err = json.Unmarshal(text, &file.Annotations)
				} else {
					err = json.Unmarshal(text, &file)
				}
				var got []string
				for _, e := range file.Annotations {
					got = append(got, string(e.ID))
				}
				if err != nil || !slices.Equal(got, c.want) {
					t.Errorf("%s: got ids %v (%v), want %v", format, got, err, c.want)
				}
			}
		})
	}
}
