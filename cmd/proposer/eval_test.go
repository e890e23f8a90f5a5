package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/scene"
)

// writeDataset writes scenes and their boxes as a COCO data set and returns the paths of the images.
func writeDataset(t testing.TB, images int) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	var entries, annotations []string
	for i := range images {
		s := scene.Render(uint64(i), 96, 64, 4)
		file := filepath.Join(dir, "images", fmt.Sprint(i, ".jpg"))
		write(t, file, s.JPEG(90))
		files = append(files, file)
		entries = append(entries, fmt.Sprintf(`{"id": %d, "file_name": "%d.jpg", "width": 96, "height": 64}`, i, i))
		for j, b := range s.Boxes {
			annotations = append(annotations, fmt.Sprintf(`{"image_id": %d, "category_id": %d, "bbox": [%d, %d, %d, %d], "iscrowd": %d}`,
				i, 1+j%2, b.X0, b.Y0, b.Width(), b.Height(), j/3))
		}
	}
	write(t, filepath.Join(dir, "instances.json"), fmt.Appendf(nil,
		`{"images": [%s], "annotations": [%s], "categories": [{"id": 1, "name": "odd"}, {"id": 2, "name": "even"}]}`,
		strings.Join(entries, ", "), strings.Join(annotations, ", ")))
	return dir, files
}

// duration matches the search time: the last column of the first table, the column of csv after the number of
// boxes, and a field of json.
var duration = regexp.MustCompile(`("seconds":|\.[0-9],|  )0\.0[0-9]+(\n|,)`)

// TestEvalSearchMatchesFile checks that a search and a file with its proposals give the same output, in each
// format and with any number of threads.
func TestEvalSearchMatchesFile(t *testing.T) {
	dir, files := writeDataset(t, 5)
	jsonl, _, _ := call(t, nil, append([]string{"propose", "--mode=single"}, files...)...)
	name := filepath.Join(t.TempDir(), "single.jsonl")
	write(t, name, []byte(jsonl))
	for _, format := range []string{"--format=table --classes", "--format=csv --budgets=5,50", "--format=json --difficult"} {
		args := append([]string{"eval", "--data", dir}, strings.Fields(format)...)
		eval := func(t *testing.T, stdin io.Reader, more ...string) string {
			t.Helper()
			out, msg, code := call(t, stdin, slices.Concat(args, more)...)
			if code != exitOK || msg != "" {
				t.Fatalf("exit code %d, %s", code, msg)
			}
			return duration.ReplaceAllString(out, "$1 $2")
		}
		want := eval(t, nil, "--proposals", name)
		for _, search := range []string{"--mode=single", "--mode=single --threads=1", "--mode=single --threads=3"} {
			t.Run(format+" "+search, func(t *testing.T) {
				if got := eval(t, nil, strings.Fields(search)...); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
		t.Run(format+" standard input", func(t *testing.T) {
			if got := eval(t, strings.NewReader(jsonl), "--proposals", "single=-"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestEvalComparesFiles(t *testing.T) {
	dir := writeAnnotations(t, `[{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]`,
		`[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}, {"image_id": 2, "category_id": 2, "bbox": [5, 5, 100, 100]},
		  {"image_id": 2, "category_id": 1, "bbox": [5, 5, 100, 100], "iscrowd": 1}]`)
	good, bad := filepath.Join(dir, "good.jsonl"), filepath.Join(dir, "bad.jsonl")
	write(t, good, []byte(`{"file": "b.jpg", "seconds": 0.25, "boxes": [[0, 0, 5, 5], [5, 5, 105, 105]]}
{"file": "a.jpg", "seconds": 0.75, "boxes": [[0, 0, 10, 8]]}`))
	write(t, bad, []byte(`{"file": "a.jpg", "boxes": []}
{"file": "b.jpg", "boxes": []}`))
	out, msg, code := call(t, nil, "eval", "--data", dir, "--proposals", "good one="+good, "--proposals", bad, "--budgets=1", "--classes")
	want := `proposals  images  objects  boxes  seconds
good one        2        2    1.5   0.5000
bad             2        2    0.0        -

proposals    n    MABO     ABO   R@0.5   R@0.7   R@0.8
good one     1  0.4000  0.4000  0.5000  0.5000  0.5000
good one   all  0.9000  0.9000  1.0000  1.0000  1.0000
bad          1  0.0000  0.0000  0.0000  0.0000  0.0000
bad        all  0.0000  0.0000  0.0000  0.0000  0.0000

proposals    n      AR  AR_small  AR_medium  AR_large  AR_COCO  AR_COCO_small  AR_COCO_medium  AR_COCO_large
good one     1  0.3000    0.6000          -    0.0000   0.3500         0.7000               -         0.0000
good one   all  0.8000    0.6000          -    1.0000   0.8500         0.7000               -         1.0000
bad          1  0.0000    0.0000          -    0.0000   0.0000         0.0000               -         0.0000
bad        all  0.0000    0.0000          -    0.0000   0.0000         0.0000               -         0.0000

ABO of all boxes  objects  good one     bad
cat                     1    0.8000  0.0000
dog                     1    1.0000  0.0000
`
	if code != exitOK || msg != "" || out != want {
		t.Errorf("exit code %d, %s, got\n%s\nwant\n%s", code, msg, out, want)
	}
	out, _, _ = call(t, nil, "eval", "--data", dir, "--proposals", good, "--format=csv", "--pictures=1", "--difficult", "--budgets=7")
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(lines) != 3 || strings.Join(lines[2], " ") != "good 0 0.800000 0.800000 0.600000 0.700000 1.000000 1.000000 1.000000 0.600000   1 1 1.0 0.750000 0.700000  " {
		t.Errorf("%v, %s", err, out)
	}
}

// writeAnnotations writes a COCO data set of two classes without image files.
func writeAnnotations(t testing.TB, images, annotations string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "instances.json"), fmt.Appendf(nil,
		`{"images": %s, "annotations": %s, "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}`, images, annotations))
	return dir
}

func TestEvalReportsFailedImages(t *testing.T) {
	dir, files := writeDataset(t, 4)
	write(t, files[1], []byte("not an image"))
	if err := os.Remove(files[2]); err != nil {
		t.Fatal(err)
	}
	out, msg, code := call(t, nil, "eval", "--data", dir, "--mode=single", "--format=json", "--repeatability")
	if code != exitFailed || strings.Count(msg, "\n") != 2 || !strings.HasPrefix(msg, "proposer: 1.jpg: ") ||
		!strings.Contains(msg, "proposer: 2.jpg: no such file or directory") {
		t.Errorf("exit code %d, %s", code, msg)
	}
	var got []struct {
		Name          string
		Images        int
		Repeatability map[string]float64
		Levels        []struct{ MABO float64 }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 || got[0].Images != 4 || got[0].Name != "single" ||
		got[0].Repeatability["none"] != 1 || got[0].Repeatability["blur 2"] == 0 || got[0].Levels[5].MABO == 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestEvalProposalsOfOtherImages(t *testing.T) {
	dir := writeAnnotations(t, `[{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}, {"id": 3, "file_name": "c.jpg"}]`, "[]")
	const whole = `{"file":"a.jpg","boxes":[]}` + "\n" + `{"file":"b.jpg","boxes":[]}` + "\n"
	for _, c := range []struct {
		name, args, in, want string
		code                 int
		table                bool
	}{
		{"missing image", "", whole, `-: no proposals for 1 images of the data set, which count as without boxes; the first is "c.jpg"`, exitFailed, true},
		{"missing image beyond --pictures", "--pictures=2", whole, "", exitOK, true},
		{"unknown image", "--pictures=1", whole + `{"file":"z.jpg","boxes":[]}`, `-: ignored 1 images that are not in the data set, the first is "z.jpg"`, exitOK, true},
		{"failed image", "--pictures=2", `{"file":"a.jpg","boxes":[]}` + "\n" + `{"file":"b.jpg","error":"ill"}`, "-: line 2: b.jpg: ill", exitFailed, true},
		{"duplicate image", "", whole + whole, `-: line 3: duplicate image "a.jpg"`, exitFailed, false},
		{"invalid line", "", whole + "x", "line 3: invalid character", exitFailed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"eval", "--data", dir, "--proposals=-"}, strings.Fields(c.args)...)
			out, msg, code := call(t, strings.NewReader(c.in), args...)
			if code != c.code || !strings.Contains(msg, c.want) || c.want == "" && msg != "" || c.table != (out != "") {
				t.Errorf("exit code %d, output %q, messages %q; want %d, table %v, %q", code, out, msg, c.code, c.table, c.want)
			}
		})
	}
}

func TestEvalMissingFiles(t *testing.T) {
	dir := writeAnnotations(t, `[{"id": 1, "file_name": "a.jpg"}]`, "[]")
	for _, c := range []struct{ name, data, proposals, want string }{
		{"data set", filepath.Join(dir, "none"), "", "no such file or directory"},
		{"images", dir, "", "images were not found"},
		{"proposals", dir, filepath.Join(dir, "none.jsonl"), "none.jsonl: no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"eval", "--data", c.data}
			if c.proposals != "" {
				args = append(args, "--proposals", c.proposals)
			}
			if out, msg, code := call(t, nil, args...); code != exitFailed || out != "" || !strings.Contains(msg, c.want) {
				t.Errorf("exit code %d, output %q, messages %q; want %d and %q", code, out, msg, exitFailed, c.want)
			}
		})
	}
}

func TestEvalUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "--data"},
		{"--data=x --budgets=0", "--budgets \"0\": want a whole number of at least 1"},
		{"--data=x --budgets=ten", "--budgets"},
		{"--data=x --budgets=10,all", "--budgets"},
		{"--data=x --mode=medium", `--mode "medium": want one of`},
		{"--data=x --max-bytes=0", `--max-bytes "0": want a number of bytes of at least 1`},
		{"--data=x --pictures=-1", `--pictures "-1": want a whole number of at least 0`},
		{"--data=x --plot=p.gif", "--plot p.gif: want a file name that ends in .png"},
		{"--data=x --format=csv --classes", "--format csv: does not include"},
		{"--data=x --proposals=p --mode=fast", "--mode: cannot be used with --proposals"},
		{"--data=x --proposals=p --repeatability", "--repeatability: cannot be used with --proposals"},
		{"--data=x --proposals=- --proposals=a=-", "standard input can be read only once"},
		{"--data=x --format=xml", "table"},
	} {
		t.Run(c.args, func(t *testing.T) {
			out, msg, code := call(t, nil, append([]string{"eval"}, strings.Fields(c.args)...)...)
			if code != exitUsage || out != "" || !strings.Contains(msg, c.want) {
				t.Errorf("exit code %d, output %q, messages %q; want %d and %q", code, out, msg, exitUsage, c.want)
			}
		})
	}
}

func TestProposalsFlag(t *testing.T) {
	for arg, want := range map[string][2]string{
		"x/fast.jsonl": {"fast", "x/fast.jsonl"}, "ours=x/a=b.jsonl": {"ours", "x/a=b.jsonl"}, "./a=b.jsonl": {"a=b", "./a=b.jsonl"},
		"-": {"-", "-"}, "in=-": {"in", "-"}, "=x": {"=x", "=x"}, "a\x1b=f": {`"a\x1b"`, "f"},
	} {
		t.Run(arg, func(t *testing.T) {
			if got := [2]string{proposalsName(arg), proposalsPath(arg)}; got != want {
				t.Errorf("name and path are %q, want %q", got, want)
			}
		})
	}
}

func TestEvalPlot(t *testing.T) {
	dir, _ := writeDataset(t, 2)
	name := filepath.Join(t.TempDir(), "p.png")
	if _, msg, code := call(t, nil, "eval", "--data", dir, "--mode=single", "--plot", name); code != exitOK {
		t.Fatal(msg)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
	_, msg, code := call(t, nil, "eval", "--data", dir, "--mode=single", "--plot", filepath.Join(name, "p.svg"))
	if code != exitFailed || !strings.Contains(msg, "p.svg") {
		t.Errorf("plot below a file: exit code %d, %s; want %d and the path", code, msg, exitFailed)
	}
}

func TestEvalInterrupted(t *testing.T) {
	dir, _ := writeDataset(t, 3)
	interrupted := func(t *testing.T, ctx context.Context, stdin io.Reader, args ...string) {
		t.Helper()
		var out, msg bytes.Buffer
		code := run(ctx, append([]string{"eval", "--data", dir}, args...), streams{stdin, &out, &msg})
		if code != exitInterrupted || out.Len() != 0 {
			t.Errorf("exit code %d, output %q, messages %q; want %d and no output", code, &out, &msg, exitInterrupted)
		}
	}
	t.Run("before the search", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		interrupted(t, ctx, nil)
	})
	t.Run("while reading", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stdin, end := io.Pipe()
		defer end.Close() // ends the goroutine that reads
		interrupted(t, ctx, readerFunc(func(p []byte) (int, error) {
			cancel()
			return stdin.Read(p)
		}), "--proposals=-")
	})
}

// readerFunc is a function that implements io.Reader.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
