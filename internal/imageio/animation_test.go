package imageio

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/e2e"
)

// writeAnimations writes animations with Pillow, and the pixels of their first frames over white as
// Pillow reads them: NAME.rgb of NAME.
const writeAnimations = `
import sys
import numpy
from PIL import Image

folder = sys.argv[1]
height, width = 60, 80
y, x = numpy.mgrid[0:height, 0:width]
frames = []
for i in range(3):
    red = 120 + 100 * numpy.sin(x / (9 + i)) * numpy.cos(y / 11)
    frame = numpy.stack([red, 255 * y / height, 40 * i + 2 * x], axis=2)
    frame[20:40, 10 * i + 5 : 10 * i + 30] = [200, 30 * i, 90]
    frames.append(Image.fromarray(frame.clip(0, 255).astype(numpy.uint8)))
veils = []
for frame in frames:
    veil = frame.copy()
    alpha = numpy.zeros((height, width), numpy.uint8)
    alpha[8:50, 12:70] = (3 * x)[8:50, 12:70]
    veil.putalpha(Image.fromarray(alpha))
    veils.append(veil)

def write(name, frames, **options):
    frames[0].save(f"{folder}/{name}", save_all=True, append_images=frames[1:], duration=50, **options)
    image = Image.open(f"{folder}/{name}").convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    with open(f"{folder}/{name}.rgb", "wb") as file:
        file.write(numpy.asarray(white)[..., :3].transpose(2, 0, 1).tobytes())

for interlace in 0, 1:
    for optimize in False, True:
        write(f"opaque-{interlace}-{optimize}.gif", frames, interlace=interlace, optimize=optimize)
        write(f"alpha-{interlace}-{optimize}.gif", veils, interlace=interlace, optimize=optimize, disposal=2)
for colors in 2, 16:
    write(f"{colors}-colors.gif", [frame.quantize(colors) for frame in frames])
for lossless in False, True:
    write(f"opaque-{lossless}.webp", frames, lossless=lossless)
    write(f"alpha-{lossless}.webp", veils, lossless=lossless)
    write(f"minimized-{lossless}.webp", veils, lossless=lossless, minimize_size=True)
`

// TestAnimationsLikePillow compares the first frames of animations.
func TestAnimationsLikePillow(t *testing.T) {
	python := e2e.Python(t, "import numpy; from PIL import Image, features; assert features.check('webp_anim')", "NumPy and Pillow")
	dir := t.TempDir()
	e2e.Output(t, exec.CommandContext(t.Context(), python, "-c", writeAnimations, dir))
	references, err := filepath.Glob(filepath.Join(dir, "*.rgb"))
	if err != nil || len(references) != 16 {
		t.Fatalf("got %d references, want 16, %v", len(references), err)
	}
	for _, reference := range references {
		name := strings.TrimSuffix(reference, ".rgb")
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(reference)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(t.Context(), data, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Width != 80 || got.Height != 60 || len(want) != len(got.Image.Pix) {
				t.Fatalf("got %d×%d pixels", got.Width, got.Height)
			}
			worst := 0
			for i, v := range got.Image.Pix {
				worst = max(worst, int(v)-int(want[i]), int(want[i])-int(v))
			}
			if worst > 1 {
				t.Errorf("got a difference of %d levels, want at most 1", worst)
			}
		})
	}
}

// TestFirstImage checks files of several images whose first one is read by any decoder.
func TestFirstImage(t *testing.T) {
	rows := rgbRows()
	png := pngFile(testW, testH, 8, 2, rows)
	control := make([]byte, 26)
	copy(control[4:], []byte{0, 0, 0, testW, 0, 0, 0, testH})
	animated := pngFile(testW, testH, 8, 2, rows, pngChunk("acTL", []byte{0, 0, 0, 2, 0, 0, 0, 0}), pngChunk("fcTL", control))
	end := len(animated) - len(pngChunk("IEND", nil))
	later := append(pngChunk("fcTL", append([]byte{0, 0, 0, 1}, control[4:]...)), pngChunk("fdAT", []byte{0, 0, 0, 2, 1, 2, 3})...)
	animated = append(append(animated[:end:end], later...), animated[end:]...)

	levels := []uint8{10, 200, 90}
	jpeg, other := jpegFile(8, 8, 3, levels, adobe(0)), jpegFile(16, 8, 1, []uint8{1, 2})
	app := func(marker byte, text string) []byte { return segment(marker, []byte(text)...) }
	pictures := app(0xe2, "MPF\x00MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00")
	gainMap := app(0xe1, `http://ns.adobe.com/xap/1.0/`+"\x00"+`<x:xmpmeta><rdf:Description hdrgm:Version="1.0"/></x:xmpmeta>`)
	for name, c := range map[string]struct{ data, want []byte }{
		"APNG":      {animated, png},
		"MPO":       {append(jpegFile(8, 8, 3, levels, adobe(0), pictures), other...), jpeg},
		"Ultra HDR": {append(jpegFile(8, 8, 3, levels, adobe(0), gainMap, pictures), other...), jpeg},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(t.Context(), c.data, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := Decode(t.Context(), c.want, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Width != want.Width || !bytes.Equal(got.Image.Pix, want.Image.Pix) {
				t.Error("got another image")
			}
		})
	}
}
