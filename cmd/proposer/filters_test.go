package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
)

// searchCommands are the commands that search images, with arguments.
func searchCommands(t testing.TB) map[string][]string {
	dir, files := writeDataset(t, 2)
	out := t.TempDir()
	return map[string][]string{
		"propose": {files[0]},
		"batch":   {dir, "--out", filepath.Join(out, "batch")},
		"rois":    {dir, "--out", filepath.Join(out, "rois")},
		"eval":    {"--data", dir},
		"train":   {"--data", dir, "--out", filepath.Join(out, "ranker.json"), "--trees=2", "--epochs=1"},
	}
}

// Every command that searches images takes the filters and mode rcnn, and refuses the same values.
func TestFiltersOfCommands(t *testing.T) {
	for command, args := range searchCommands(t) {
		t.Run(command, func(t *testing.T) {
			for flags, want := range map[string]string{
				"--min-area=0.5 --max-area=0.25":     `--min-area "0.5": want at most max-area, 0.25`,
				"--max-aspect -3":                    `--max-aspect "-3": want 0, or a number from 1`,
				"--mode=rcnn --max-side=400":         `--max-side "400": want 0, as images are resized to a width of 500`,
				"--resize-width=9999999":             `--resize-width "9999999": want a whole number from 0 to 1048576`,
				"--min-side=-4 --min-resized-side=x": `--min-side "-4": want a whole number from 0 to 2147483647`,
			} {
				_, msg, code := call(t, nil, slices.Concat([]string{command}, args, strings.Fields(flags))...)
				if code != exitUsage || !strings.Contains(msg, want) {
					t.Errorf("%s: exit code %d, %q, want %q", flags, code, msg, want)
				}
			}
			flags := "--mode=rcnn --resize-width=150 --min-resized-side=9 --min-side=4 --max-aspect=3 --min-area=0.01 --max-area=0.9"
			if _, msg, code := call(t, nil, slices.Concat([]string{command}, args, strings.Fields(flags))...); code != exitOK {
				t.Errorf("exit code %d, %q", code, msg)
			}
		})
	}
}

// batch writes the boxes that propose prints, and repeats the flags in its settings.
func TestFilteredBatch(t *testing.T) {
	dir, files := writeDataset(t, 1)
	flags := []string{"--mode=rcnn", "--max-aspect=2", "--max-area=0.5", "--max=20"}
	jsonl, msg, code := call(t, nil, slices.Concat([]string{"propose", files[0]}, flags)...)
	if code != exitOK {
		t.Fatal(msg)
	}
	type row struct {
		Width, Height int
		Boxes         []box.Box
	}
	var want, got row
	if err := json.Unmarshal([]byte(jsonl), &want); err != nil {
		t.Fatal(err)
	}
	f := box.Filter{MaxAspect: 2, MaxArea: .5}
	for _, b := range want.Boxes {
		// 20 pixels of an image of 500 are 3.84 of 96.
		if !f.Keep(b, want.Width, want.Height) || min(b.Width(), b.Height()) < 3 {
			t.Errorf("box %v", b)
		}
	}
	if len(want.Boxes) != 20 {
		t.Errorf("got %d boxes, want 20", len(want.Boxes))
	}

	out := t.TempDir()
	if _, msg, code := call(t, nil, slices.Concat([]string{"batch", dir, "--out", out}, flags)...); code != exitOK {
		t.Fatal(msg)
	}
	shard, err := os.ReadFile(filepath.Join(out, "proposals-000000.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(shard, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("batch: got %v\npropose: %v", got, want)
	}
	plan, err := os.ReadFile(filepath.Join(out, "job.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{`"mode":"rcnn"`, `"resize-width":"500"`, `"min-resized-side":"20"`, `"max-aspect":"2"`, `"min-area":"0"`, `"max-area":"0.5"`} {
		if !strings.Contains(string(plan), setting) {
			t.Errorf("%s is not in %s", setting, plan)
		}
	}
	_, msg, code = call(t, nil, slices.Concat([]string{"batch", dir, "--out", out}, flags, []string{"--max-aspect=3"})...)
	if code != exitUsage || !strings.Contains(msg, `max-aspect was "2" and is "3"`) {
		t.Errorf("other settings: exit code %d, %q", code, msg)
	}
}

// An image that would become too large fails alone.
func TestEnlargedImageFails(t *testing.T) {
	dir, files := writeDataset(t, 2)
	write(t, files[0], scene.Render(1, 2, 60, 1).PNG())
	out := t.TempDir()
	_, msg, code := call(t, nil, "batch", dir, "--out", out, "--resize-width=200", "--max-pixels=1000000")
	if code != exitOK || !strings.Contains(msg, "1 failed") {
		t.Errorf("exit code %d, %q", code, msg)
	}
	failures, err := os.ReadFile(filepath.Join(out, "failures.jsonl"))
	if want := "too large: got 1200000 pixels when resized, want at most 1000000 pixels when resized"; err != nil || !strings.Contains(string(failures), want) {
		t.Errorf("%v, %s", err, failures)
	}
}

func TestSearchedObjects(t *testing.T) {
	objects := []dataset.Object{{X0: 10, Y0: 20, X1: 30.5, Y1: 40, Class: "a"}}
	decoded := func(width, height int) *imageio.Decoded {
		return &imageio.Decoded{Image: raster.New(raster.Gray, width, height), Width: 100, Height: 80}
	}
	if got := searchedObjects(objects, decoded(100, 80)); !reflect.DeepEqual(got, objects) {
		t.Errorf("own size: got %v", got)
	}
	got := searchedObjects(objects, decoded(200, 40))
	if want := []dataset.Object{{X0: 20, Y0: 10, X1: 61, Y1: 20, Class: "a"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if fmt.Sprint(objects[0].X0) != "10" {
		t.Error("the objects of the data set change")
	}
}
