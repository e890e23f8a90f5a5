package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// segmented returns the files of labels of a scene as package codec writes them.
func segmented(t testing.TB, data []byte, options map[string]string) (s *propose.Segmentation, png, npy []byte) {
	t.Helper()
	o, err := propose.ParseSegmentOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = propose.Segment(t.Context(), data, o); err != nil {
		t.Fatal(err)
	}
	if png, err = codec.EncodeLabelsPNG(s.Width, s.Height, s.Labels); err != nil {
		t.Fatal(err)
	}
	return s, png, codec.AppendLabelsNPY(nil, s.Width, s.Height, s.Labels)
}

func readBytes(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSegment(t *testing.T) {
	image := scene.Render(3, 96, 64, 5).PNG()
	options := map[string]string{"color": "Lab", "k": "30", "sigma": "0.5", "min-size": "10", "connectivity": "4"}
	flags := []string{"segment", "--color", "Lab", "--k=30", "--sigma", "0.5", "--min-size=10", "--connectivity", "4"}
	s, wantPNG, wantNPY := segmented(t, image, options)
	if s.Regions < 5 {
		t.Fatalf("the scene has %d regions", s.Regions)
	}
	for _, c := range []struct {
		name, flags string
		out         string // the file of the labels; empty for standard output
		want        []byte
	}{
		{"standard output", "a.png", "", wantPNG},
		{"named standard output", "a.png --out -", "", wantPNG},
		{"npy on standard output", "a.png --format npy", "", wantNPY},
		{"standard input", "-", "", wantPNG},
		{"standard input to a file", "- --out b.npy", "b.npy", wantNPY},
		{"png", "a.png --out b.png", "b.png", wantPNG},
		{"upper case", "a.png --out b.NPY", "b.NPY", wantNPY},
		{"folder", "a.png --out new/labels", "new/labels/a.png", wantPNG},
		{"folder with a dot", "a.png --out new.v2/ --format npy", "new.v2/a.npy", wantNPY},
		{"existing folder with a dot", "a.png --out old.v1", "old.v1/a.png", wantPNG},
		{"existing file", "a.png --out old.png", "old.png", wantPNG},
		{"link", "a.png --out link.png", "old.png", wantPNG},
		{"threads", "a.png --threads 1 --out b.png", "b.png", wantPNG},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			write(t, "a.png", image)
			write(t, "old.png", []byte("old"))
			if err := errors.Join(os.Mkdir("old.v1", 0o700), os.Symlink("old.png", "link.png")); err != nil {
				t.Fatal(err)
			}
			out, msg, code := call(t, bytes.NewReader(image), append(slices.Clone(flags), strings.Fields(c.flags)...)...)
			if code != exitOK || msg != "" {
				t.Fatalf("exit code %d, %q", code, msg)
			}
			got := []byte(out)
			if c.out != "" {
				got = readBytes(t, c.out)
				var line struct {
					File, Out              string
					Width, Height, Regions int
				}
				if err := json.Unmarshal([]byte(out), &line); err != nil || line.Width != 96 || line.Height != 64 || line.Regions != s.Regions {
					t.Errorf("got line %q, %v, want %d regions", out, err, s.Regions)
				}
				if at, err := os.Readlink(line.Out); err == nil {
					line.Out = at
				}
				if line.Out != c.out || line.File != strings.Fields(c.flags)[0] {
					t.Errorf("got line %q, want out %s", out, c.out)
				}
			}
			if !bytes.Equal(got, c.want) {
				t.Error("got other labels")
			}
			err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
				if strings.HasSuffix(name, ".tmp") {
					t.Errorf("%s is left", name)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// All images are segmented, whatever happens to the others.
func TestSegmentSeveralImages(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("in", 0o700); err != nil {
		t.Fatal(err)
	}
	good, other := scene.Render(1, 80, 60, 3).JPEG(90), scene.Render(2, 50, 70, 3).PNG()
	write(t, "a.jpg", good)
	write(t, "in/text.jpg", []byte("not an image"))
	write(t, "in/b.tar.png", other)
	if err := syscall.Mkfifo("fifo.png", 0o600); err != nil {
		t.Fatal(err)
	}
	out, msg, code := call(t, nil, "segment", "a.jpg", "in/text.jpg", "missing.jpg", "in", "fifo.png", "in/b.tar.png", "--out", "labels", "--overlay", "drawn")
	if code != exitFailed || strings.Count(msg, "\n") != 4 || !strings.Contains(msg, "proposer: missing.jpg: no such file or directory\n") ||
		!strings.Contains(msg, "proposer: fifo.png: a pipe: want a regular file, or - for standard input\n") {
		t.Errorf("exit code %d, standard error:\n%s", code, msg)
	}
	lines := strings.Split(timeless(out), "\n")
	if len(lines) != 7 || !strings.Contains(lines[0], `{"file":"a.jpg","width":80,"height":60,"regions":`) ||
		!strings.HasSuffix(lines[0], `,"out":"labels/a.png","overlay":"drawn/a.png"}`) ||
		!strings.HasPrefix(lines[1], `{"file":"in/text.jpg","error":"`) || lines[2] != `{"file":"missing.jpg","error":"no such file or directory"}` ||
		!strings.HasSuffix(lines[5], `,"out":"labels/b.tar.png","overlay":"drawn/b.tar.png"}`) {
		t.Errorf("got lines\n%s", out)
	}
	for _, c := range []struct {
		name  string
		image []byte
	}{{"a", good}, {"b.tar", other}} {
		if _, want, _ := segmented(t, c.image, nil); !bytes.Equal(readBytes(t, "labels/"+c.name+".png"), want) {
			t.Errorf("%s: got other labels", c.name)
		}
	}
	for _, dir := range []string{"labels", "drawn"} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("got %v in %s, %v", entries, dir, err)
		}
	}
}

// The overlay has the image's own pixels but at the boundaries.
func TestSegmentOverlay(t *testing.T) {
	t.Chdir(t.TempDir())
	data := scene.Render(3, 96, 64, 5).PNG()
	write(t, "a.png", data)
	original, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flags, name, out string }{
		{"--overlay o.png", "o.png", ""},
		{"--overlay o.jpg", "o.jpg", ""},
		{"--overlay drawn --max-side 40", "drawn/a.png", ""},
		{"--overlay o.png --out labels.npy", "o.png", "labels.npy"},
	} {
		t.Run(c.flags, func(t *testing.T) {
			stdout, msg, code := call(t, nil, append([]string{"segment", "a.png"}, strings.Fields(c.flags)...)...)
			if code != exitOK || msg != "" || !strings.HasSuffix(stdout, `"overlay":"`+c.name+"\"}\n") || strings.Contains(stdout, `"out"`) != (c.out != "") {
				t.Fatalf("exit code %d, %q, %q", code, msg, stdout)
			}
			m, format, err := image.Decode(bytes.NewReader(readBytes(t, c.name)))
			if err != nil || m.Bounds().Size() != image.Pt(96, 64) {
				t.Fatalf("got an image in %v, %v", m.Bounds(), err)
			}
			if format != "png" {
				return
			}
			options := map[string]string{}
			if strings.Contains(c.flags, "max-side") {
				options["max-side"] = "40"
			}
			s, _, _ := segmented(t, data, options)
			for i, label := range s.Labels {
				x, y := i%96, i/96
				want := color.RGBAModel.Convert(original.At(x, y))
				if x < 95 && s.Labels[i+1] != label || y < 63 && s.Labels[i+96] != label {
					want = color.RGBA{255, 255, 0, 255}
				}
				if got := color.RGBAModel.Convert(m.At(x, y)); got != want {
					t.Fatalf("got %v at %d, %d, want %v", got, x, y, want)
				}
			}
		})
	}
}

// batch writes the same labels for the strategy that has the same options.
func TestSegmentEqualsBatch(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("in", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "in/a.jpg", scene.Render(3, 96, 64, 5).JPEG(90))
	for _, c := range []struct{ name, batch, segment string }{
		{"own size", "--mode single", ""},
		{"shrunken", "--mode single --max-side 50", "--max-side 50"},
		{"opencv", "--mode opencv-single", "--connectivity 4 --min-size 100"},
		{"min size", "--mode quality --min-size 15", "--min-size 15"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := t.TempDir()
			args := append(strings.Fields("batch in --format labels-npy --colors Lab --k 60 --out"), out)
			if _, msg, code := call(t, nil, append(args, strings.Fields(c.batch)...)...); code != exitOK {
				t.Fatal(msg)
			}
			args = strings.Fields("segment in/a.jpg --format npy --color Lab --k 60 " + c.segment)
			got, msg, code := call(t, nil, args...)
			if code != exitOK || got != string(readBytes(t, filepath.Join(out, "labels", "a.npy"))) {
				t.Errorf("exit code %d, %q, or other labels", code, msg)
			}
		})
	}
}

func TestSegmentTooManyRegions(t *testing.T) {
	t.Chdir(t.TempDir())
	noise := image.NewGray(image.Rect(0, 0, 300, 300))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(i * i >> 3 * 37)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, noise); err != nil {
		t.Fatal(err)
	}
	write(t, "noise.png", file.Bytes())
	args := []string{"segment", "noise.png", "--k=.001", "--min-size=1", "--sigma=0"}
	out, msg, code := call(t, nil, append(args, "--out=labels.png")...)
	if code != exitFailed || !strings.Contains(msg, " regions: a PNG has at most 65536: want --format npy, or a larger --k or --min-size\n") || !strings.HasPrefix(out, `{"file":"noise.png","error":"`) {
		t.Errorf("exit code %d, %q, %q", code, msg, out)
	}
	if _, err := os.Stat("labels.png"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("labels.png: got %v, want no file", err)
	}
	if _, msg, code = call(t, nil, append(args, "--out=labels.npy")...); code != exitOK {
		t.Errorf("npy: exit code %d, %q", code, msg)
	}
}

func TestSegmentUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.png", scene.Render(3, 96, 64, 5).PNG())
	write(t, "file", nil)
	before := readBytes(t, "a.png")
	if err := errors.Join(os.Mkdir("links", 0o700), os.Symlink("a.png", "link.jpg"), os.Symlink("../a.png", "links/link.png"),
		os.Mkdir("l", 0o700), os.Symlink("l", "alias")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"", "<image>"},
		{"a.png b.png", "2 images: want --out FOLDER"},
		{"a.png b.png --out -", "2 images: want --out FOLDER"},
		{"a.png b.png --out l.png", "--out l.png: want a folder for 2 images"},
		{"a.png b.png --out l --overlay o.jpg", "--overlay o.jpg: want a folder for 2 images"},
		{"a.png --out l.tif", "--out l.tif: want a name that ends in .png or .npy or, for a folder, in /"},
		{"a.png --overlay o.gif", "--overlay o.gif: want a name that ends in .png, .jpg or .jpeg or, for a folder, in /"},
		{"a.png --overlay -", "--overlay -: want a name that ends in .png, .jpg or .jpeg, or a folder"},
		{"a.png --out l.png --format npy", "--format npy --out l.png: want a name that ends in .npy"},
		{"a.png --format tiff", `--format "tiff": want png or npy`},
		{"a.png --out file", "--out file: want a name that ends in .png or .npy or, for a folder, in /"},
		{"a.png b.png --out file", "--out file: want a name that ends in .png or .npy or, for a folder, in /"},
		{"a.png --overlay file", "--overlay file: want a name that ends in .png, .jpg or .jpeg or, for a folder, in /"},
		{"x.jpg --out l --overlay other/../alias", "alias/x.png of x.jpg and of x.jpg: want images of different base names and different folders"},
		{"x.jpg --out l/l.png --overlay alias/l.png", "alias/l.png of x.jpg and of x.jpg"},
		{"- --out l", "-: standard input has no name"},
		{"d/a.jpg e/a.jpg --out l", "l/a.png of d/a.jpg and of e/a.jpg: want images of different base names"},
		{"x.jpg --out l --overlay l", "l/x.png of x.jpg and of x.jpg: want images of different base names and different folders for --out and --overlay"},
		{"a.png --out a.png", "a.png: would be overwritten: want another --out or --overlay"},
		{"a.png --out .", "a.png: would be overwritten"},
		{"./a.png --out l --overlay ./", "./a.png: would be overwritten"},
		{"link.jpg --out a.png", "link.jpg: would be overwritten"},
		{"a.png --out links/link.png", "a.png: would be overwritten"},
		{"a.png --k 0 --color x", "--color \"x\": want one of RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I\nproposer: --k \"0\": want a number above 0, at most 1000000\n"},
		{"a.png --max-side 5 --resize-width 6", `--max-side "5": want 0, as images are resized to a width of 6`},
	} {
		t.Run(c.args, func(t *testing.T) {
			out, msg, code := call(t, nil, append([]string{"segment"}, strings.Fields(c.args)...)...)
			if code != exitUsage || out != "" || !strings.Contains(msg, c.want) || !strings.HasPrefix(msg, "proposer: ") {
				t.Errorf("got exit code %d, standard output %q, error %q; want error %q", code, out, msg, c.want)
			}
		})
	}
	if !bytes.Equal(readBytes(t, "a.png"), before) {
		t.Error("a.png was overwritten")
	}
}

func TestSegmentUnwritable(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.jpg", scene.Render(3, 96, 64, 5).JPEG(90))
	write(t, "file", nil)
	if err := os.Mkdir("folder.png", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, want string }{
		{"--out=file/labels.png", "proposer: stat file/labels.png: not a directory\n"},
		{"--overlay=folder.png", "proposer: write folder.png: a folder: want a regular file\n"},
	} {
		out, msg, code := call(t, nil, "segment", "a.jpg", c.flag)
		if code != exitFailed || out != "" || msg != c.want {
			t.Errorf("%s: exit code %d, %q, %q, want %q", c.flag, code, out, msg, c.want)
		}
	}
	if err := os.Symlink(os.DevNull, "null.png"); err != nil {
		t.Fatal(err)
	}
	if _, msg, code := call(t, nil, "segment", "a.jpg", "--overlay=null.png"); code != exitOK {
		t.Errorf("%s: exit code %d, %q", os.DevNull, code, msg)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a device, but not a terminal
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var msg bytes.Buffer
	if code := run(t.Context(), []string{"segment", "a.jpg"}, streams{nil, null, &msg}); code != exitOK || msg.Len() != 0 {
		t.Errorf("%s: exit code %d, %q", os.DevNull, code, msg.String())
	}
	if code := run(t.Context(), []string{"segment", "a.jpg"}, streams{nil, brokenPipe{}, &msg}); code != exitFailed || msg.Len() != 0 {
		t.Errorf("closed pipe: exit code %d, %q", code, msg.String())
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(canceled, []string{"segment", "a.jpg", "--out=c.png"}, streams{nil, &msg, &msg}); code != exitInterrupted {
		t.Errorf("canceled: exit code %d", code)
	}
	if _, err := os.Stat("c.png"); err == nil {
		t.Error("canceled: the labels are written")
	}
}

// The flags have the names of the options of package propose.
func TestSegmentFlags(t *testing.T) {
	var c struct{ segmentFlags }
	checkFlags(t, &c, c.segmentFlags, propose.SegmentOptionNames(), c.values)
}
