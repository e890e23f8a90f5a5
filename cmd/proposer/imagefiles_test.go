package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/faultfs"
	"github.com/proposer/proposer/internal/testutil/filetree"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// imageNames creates a folder of n images, of which one is broken and one too small for a box of side
// 20, and returns it with their names.
func imageNames(t testing.TB, n int) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "train"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		data := scene.Render(uint64(i), 120+i%5, 90, 5).JPEG(90)
		switch i {
		case 3:
			data = []byte("broken")
		case 7:
			data = scene.Render(uint64(i), 16, 12, 1).JPEG(90)
		}
		name := fmt.Sprintf("train/%06d.jpg", i)
		write(t, filepath.Join(dir, name), data)
		names = append(names, name)
	}
	return dir, names
}

// What the consumers load from files of one image each are the boxes of jsonl, and the initial
// regions.
func TestConsumersLoadImageFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python for each format")
	}
	python := e2e.Python(t, "import numpy, scipy.io, torch, PIL", "NumPy, SciPy, PyTorch and Pillow")
	src, names := imageNames(t, 50)
	options := []string{"--mode", "single", "--k", "1000", "--min-size", "60", "--min-side", "20"}
	run := func(format string) string {
		out := t.TempDir()
		args := append([]string{"batch", src, "--out", out, "--format", format, "--shard-size", "7"}, options...)
		if _, stderr, code := call(t, nil, args...); code != exitOK || !strings.Contains(stderr, "is complete: 1 images failed") {
			t.Fatalf("%s: got exit code %d: %s", format, code, stderr)
		}
		return out
	}

	rows := map[string]*codec.Row{}
	for _, text := range filetree.Read(t, run("jsonl")) {
		for line, err := range codec.ReadJSONL(strings.NewReader(text)) {
			if err == nil && line.Row.Width > 0 {
				rows[line.Row.File] = &line.Row
			}
		}
	}
	labels := map[string]string{}
	opts, err := propose.ParseOptions(map[string]string{"mode": "single", "k": "1000", "min-size": "60"})
	if err != nil {
		t.Fatal(err)
	}
	opts.Search.KeepRegions = true
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := propose.Run(t.Context(), data, opts); err == nil {
			pix, err := r.Labels(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			labels[name] = labelDigest(pix)
		}
	}
	if len(rows) != 49 || len(labels) != 49 || len(rows["train/000007.jpg"].Boxes) > 0 || len(rows["train/000000.jpg"].Boxes) < 2 {
		t.Fatalf("got %d rows and %d label images, want 49 and one without boxes", len(rows), len(labels))
	}

	for _, f := range codec.ImageFormats() {
		t.Run(f.Name, func(t *testing.T) {
			out := run(f.Name)
			folder := "proposals"
			if f.Labels {
				folder = "labels"
			}
			var found map[string]struct {
				Boxes   [][4]float64
				Scores  []float32
				Labels  string
				Missing bool
			}
			text := e2e.Output(t, exec.CommandContext(t.Context(), python, "testdata/imagefiles.py", f.Name, filepath.Join(out, folder), src))
			if err := json.Unmarshal(text, &found); err != nil || len(found) != len(names) {
				t.Fatalf("got %d images (%v), want %d", len(found), err, len(names))
			}
			for name, got := range found {
				row := rows[name]
				if f.Labels {
					if got.Labels != labels[name] || got.Missing != (row == nil) {
						t.Errorf("%s: got labels %.8s, missing %t, want %.8s", name, got.Labels, got.Missing, labels[name])
					}
					continue
				}
				var want [][4]float64
				var scores []float32
				if row != nil {
					for _, b := range row.Boxes {
						want = append(want, [4]float64{float64(b.X0), float64(b.Y0), float64(b.X1), float64(b.Y1)})
					}
					scores = row.Scores
				}
				if got.Missing || !slices.Equal(got.Boxes, want) || f.Name != "detreg" && !slices.Equal(got.Scores, scores) {
					t.Errorf("%s: got %d other boxes or %d other scores than the %d wanted", name, len(got.Boxes), len(got.Scores), len(want))
				}
			}
		})
	}
}

// labelDigest returns the SHA-256 of labels as int32.
func labelDigest(labels []int32) string {
	var data []byte
	for _, label := range labels {
		data = binary.LittleEndian.AppendUint32(data, uint32(label))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func TestBatchRejectsEqualFileNames(t *testing.T) {
	src := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(src, name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(src, name, "x.jpg"), scene.Render(1, 64, 48, 3).JPEG(90))
	}
	for format, want := range map[string]string{
		"detreg":       `"a/x.jpg" and "b/x.jpg" would both be named "proposals/x.npy"`,
		"hosang":       `"a/x.jpg" and "b/x.jpg" would both be named "proposals/x/x.mat"`,
		"wsod2":        `"a/x.jpg" and "b/x.jpg" would both be named "labels/x.jpg"`,
		"siamese-detr": "",
		"labels-png":   "",
	} {
		_, stderr, code := call(t, nil, "batch", src, "--out", t.TempDir(), "--mode", "single", "--format", format)
		if (code != exitOK) != (want != "") || !strings.Contains(stderr, want) {
			t.Errorf("%s: got exit code %d, %s, want %s", format, code, stderr, want)
		}
	}
	if _, stderr, code := call(t, nil, "batch", src, "--out", t.TempDir(), "--format", "detreg", "--masks"); code != exitUsage {
		t.Errorf("--masks: got exit code %d, %s, want a usage error", code, stderr)
	}
}

// Machines that divide a batch write the files of one, also to different locations.
func TestShardsOfImageFiles(t *testing.T) {
	src, _ := imageNames(t, 12)
	args := func(out string, more ...string) []string {
		return append([]string{"batch", src, "--out", out, "--mode", "single", "--format", "labels-png", "--shard-size", "2"}, more...)
	}
	one, merged, other := t.TempDir(), t.TempDir(), t.TempDir()
	for _, a := range [][]string{
		args(one), args(merged, "--shard", "0/2"), args(other, "--shard", "1/2"), {"merge", merged, other},
	} {
		if _, stderr, code := call(t, nil, a...); code != exitOK {
			t.Fatalf("%q: got exit code %d: %s", a, code, stderr)
		}
	}
	filetree.Equal(t, "merged", files(t, merged), files(t, one))
}

// A full disk stops a run among the files of a shard; the run can be resumed.
func TestImageFilesOnFullDisk(t *testing.T) {
	src, _ := imageNames(t, 40)
	args := []string{"batch", src, "--mode", "single", "--format", "labels-npy", "--shard-size", "5", "--out"}
	want := t.TempDir()
	if _, stderr, code := call(t, nil, append(args, want)...); code != exitOK {
		t.Fatal(stderr)
	}
	out := t.TempDir()
	disk := faultfs.MountTmpfs(t, out, "512k")
	if _, stderr, code := call(t, nil, append(args, out)...); code != exitFailed || !strings.Contains(stderr, "run the same command to resume") {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
	disk.Resize("8m")
	if _, stderr, code := call(t, nil, append(args, out)...); code != exitOK {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
	filetree.Equal(t, "after the disk was enlarged", files(t, out), files(t, want))
}
