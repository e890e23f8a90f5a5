package imageio

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/raster"
)

// TestPillow compares the pixels of each kind of file with those that Pillow reads, and those of files
// that Pillow writes: the mean absolute difference is at most 1. It logs a table of all.
func TestPillow(t *testing.T) {
	e2e.Only(t, "compares the pixels of many files with Pillow's")
	const python = "/usr/bin/python3" // of Debian, whose modules make e2e installs
	dir := t.TempDir()
	ours := map[string]kind{}
	for i, k := range kinds(t) {
		name := fmt.Sprintf("%04d", i)
		if err := os.WriteFile(filepath.Join(dir, name), k.data, 0o600); err != nil {
			t.Fatal(err)
		}
		ours[name] = k
	}
	if out, err := exec.CommandContext(t.Context(), python, "testdata/pillow.py", dir).CombinedOutput(); err != nil {
		e2e.Missing(t, fmt.Sprintf("Pillow: %v: %s", err, out))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	counts := map[string]int{}
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, ".rgb") || strings.HasSuffix(name, ".err") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		k, known := ours[name]
		refused := known && k.want == nil || strings.HasPrefix(name, "python refused")
		if !known {
			k = kind{name: name}
		}
		d, err := Decode(t.Context(), data, Options{})
		width, height, pixels, pillow := readPillow(t, filepath.Join(dir, name))
		result := ""
		switch {
		case err != nil && !refused:
			t.Errorf("%s: %v", k.name, err)
			continue
		case err != nil:
			result = "refused"
			if !known && !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s: got %v, want ErrUnsupported", k.name, err)
			}
		case refused:
			t.Errorf("%s: read", k.name)
			continue
		case pixels == nil && known:
			result = "right, refused by Pillow"
		case pixels == nil:
			t.Errorf("%s: Pillow: %s", k.name, pillow)
			continue
		default:
			mean := meanDifference(d.Image, width, height, pixels)
			switch {
			case mean <= 1:
				result = "right"
			case k.pillow != "":
				result = "right, differs from Pillow"
			default:
				t.Errorf("%s: %d×%d, a mean difference of %.2f from Pillow's %d×%d", k.name, d.Image.Width, d.Image.Height, mean, width, height)
				continue
			}
			pillow = fmt.Sprintf("%.2f", mean)
		}
		if k.pillow != "" && strings.HasSuffix(result, "Pillow") {
			pillow += ": it " + k.pillow
		}
		counts[result]++
		if err != nil {
			pillow = errorClass(err)
		}
		fmt.Fprintf(&table, "%-26s %-100s %s\n", result, k.name, pillow)
	}
	lines := strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n")
	slices.Sort(lines)
	t.Logf("decoder %s: %v\n%s", Decoder(), counts, strings.Join(lines, "\n"))
}

// readPillow returns what Pillow has read of a file: RGB pixels, or its error.
func readPillow(t *testing.T, path string) (width, height int, pixels []byte, msg string) {
	t.Helper()
	if b, err := os.ReadFile(path + ".err"); err == nil {
		return 0, 0, nil, string(b)
	}
	b, err := os.ReadFile(path + ".rgb")
	if err != nil {
		t.Fatal(err)
	}
	head, pixels, _ := bytes.Cut(b, []byte("\n"))
	if _, err := fmt.Sscan(string(head), &width, &height); err != nil {
		t.Fatal(err)
	}
	return width, height, pixels, ""
}

// meanDifference returns the mean absolute difference of an image and RGB pixels, 255 if the sizes differ.
func meanDifference(img *raster.Image, width, height int, pixels []byte) float64 {
	if img.Width != width || img.Height != height || len(pixels) != 3*width*height {
		return 255
	}
	sum := 0
	for i, v := range pixels {
		d := int(v) - int(img.Plane(min(i%3, img.Space.Planes()-1))[i/3])
		sum += max(d, -d)
	}
	return float64(sum) / float64(len(pixels))
}
