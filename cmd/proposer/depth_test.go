package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/scene"
)

// lowRange returns a scene as a PNG of 16-bit gray samples that use a number of bits.
func lowRange(t testing.TB, bits int) []byte {
	t.Helper()
	rendered, err := png.Decode(bytes.NewReader(scene.Render(3, 160, 120, 5).PNG()))
	if err != nil {
		t.Fatal(err)
	}
	gray := image.NewGray16(rendered.Bounds())
	for y := range 120 {
		for x := range 160 {
			gray.SetGray16(x, y, color.Gray16{Y: color.Gray16Model.Convert(rendered.At(x, y)).(color.Gray16).Y >> (16 - bits)})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, gray); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLowRange checks that 16-bit images that use few bits are reported, and searched as well as the full
// range with --depth.
func TestLowRange(t *testing.T) {
	dir := t.TempDir()
	name := map[int]string{}
	for _, bits := range []int{10, 12, 16} {
		name[bits] = filepath.Join(dir, string(rune('a'+bits-10))+".png")
		write(t, name[bits], lowRange(t, bits))
	}
	boxes := func(file string, args ...string) (n int, warning, msg string) {
		out, msg, code := call(t, nil, append([]string{"propose", file}, args...)...)
		var r struct {
			Boxes   [][4]int
			Warning string
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK {
			t.Fatalf("exit code %d, %v: %s", code, err, msg)
		}
		return len(r.Boxes), r.Warning, msg
	}
	full, _, msg := boxes(name[16])
	if msg != "" {
		t.Errorf("got %q about the full range", msg)
	}
	for bits, depth := range map[int]string{10: "10", 12: "12"} {
		n, warning, msg := boxes(name[bits])
		if n > full/2 || !strings.Contains(msg, ".png: warning: samples from ") || !strings.Contains(msg, "set the option depth to "+depth+" or auto") ||
			!strings.Contains(msg, warning) || warning == "" {
			t.Errorf("%d bits: got %d boxes of %d, %q, %q", bits, n, full, msg, warning)
		}
		for _, depth := range []string{depth, "auto"} {
			if n, warning, msg := boxes(name[bits], "--depth", depth); n < full*9/10 || n > full*11/10 || msg != "" || warning != "" {
				t.Errorf("%d bits, --depth %s: got %d boxes, want about %d, %q", bits, depth, n, full, msg)
			}
		}
	}
	if n, _, _ := boxes(name[16], "--depth", "auto"); n != full {
		t.Errorf("full range, --depth auto: got %d boxes, want %d", n, full)
	}
	if out, msg, code := call(t, nil, "propose", "--depth=10", name[12]); code != exitFailed || !strings.Contains(msg, "does not fit in 10 bits") || !strings.Contains(out, `"error"`) {
		t.Errorf("exit code %d, %q\n%s", code, msg, out)
	}

	t.Run("batch", func(t *testing.T) {
		out, msg, code := call(t, nil, "batch", "--json", dir, "--out", filepath.Join(t.TempDir(), "out"))
		if code != exitOK || !strings.Contains(out, `"warned":2`) || strings.Count(msg, ": warning: samples from ") != 1 ||
			!strings.Contains(msg, "2 images may lose detail") {
			t.Errorf("exit code %d, %q\n%s", code, msg, out)
		}
		out, msg, code = call(t, nil, "batch", "--json", dir, "--depth=auto", "--out", filepath.Join(t.TempDir(), "out"))
		if code != exitOK || !strings.Contains(out, `"warned":0`) || strings.Contains(msg, "warning") {
			t.Errorf("exit code %d, %q\n%s", code, msg, out)
		}
	})
	t.Run("eval", func(t *testing.T) {
		write(t, filepath.Join(dir, "instances.json"), []byte(`{"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "c.png"}, {"id": 3, "file_name": "g.png"}],
			"annotations": [{"image_id": 1, "category_id": 1, "bbox": [20, 15, 30, 20]}], "categories": [{"id": 1, "name": "red"}]}`))
		_, msg, code := call(t, nil, "eval", "--data", dir, "--images", dir)
		if code != exitOK || !strings.Contains(msg, "warning: 2 images may lose detail; the first is ") {
			t.Errorf("exit code %d, %q", code, msg)
		}
		if _, msg, code := call(t, nil, "eval", "--data", dir, "--images", dir, "--depth=auto"); code != exitOK || msg != "" {
			t.Errorf("--depth auto: exit code %d, %q", code, msg)
		}
	})
}
