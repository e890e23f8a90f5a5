package scene

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

func TestRenderGolden(t *testing.T) {
	for _, c := range []struct {
		seed                   uint64
		width, height, objects int
		want                   string
	}{
		{1, 320, 240, 12, "08fdeb28c63b526e"},
		{2, 200, 300, 5, "9df676462dda33f1"},
		{3, 240, 160, 8, "7e98896f9916eebf"},
		{10, 160, 120, 6, "52f58d0f8b78b85d"},
		{16, 64, 48, 20, "2a15444a5acf8e9c"},
	} {
		t.Run(fmt.Sprintf("seed %d", c.seed), func(t *testing.T) {
			s := Render(c.seed, c.width, c.height, c.objects)
			h := sha256.New()
			h.Write(s.Image.Pix)
			fmt.Fprint(h, s.Boxes, s.Classes)
			if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != c.want {
				t.Errorf("Render(%d, %d, %d, %d) has the hash %s, want %s", c.seed, c.width, c.height, c.objects, got, c.want)
			}
		})
	}
}

func TestRenderDependsOnSeed(t *testing.T) {
	seen := map[string]uint64{}
	for seed := range uint64(20) {
		pix := string(Render(seed, 48, 32, 4).Image.Pix)
		if other, ok := seen[pix]; ok {
			t.Errorf("seeds %d and %d give the same image", other, seed)
		}
		seen[pix] = seed
	}
}

// TestObjectsVisible checks that all objects are visible in an image with enough space.
func TestObjectsVisible(t *testing.T) {
	for seed := range uint64(30) {
		s := Render(seed, 240, 160, 8)
		if len(s.Boxes) != 8 || len(s.Classes) != 8 {
			t.Errorf("seed %d: %d boxes and %d classes, want 8", seed, len(s.Boxes), len(s.Classes))
		}
		for i, b := range s.Boxes {
			if b.Area() < 100 {
				t.Errorf("seed %d: box %v of %s has %d pixels, want 100 or more", seed, b, s.Classes[i], b.Area())
			}
		}
	}
}

func TestClasses(t *testing.T) {
	var want []string
	for class := range numClasses {
		want = append(want, newObject(rand.New(rand.NewPCG(1, 1)), class, &palettes[0], 0).name)
	}
	slices.Sort(want)
	if got := Classes(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBoxesAreTight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 90).Draw(t, "width"), rapid.IntRange(1, 90).Draw(t, "height")
		n := rapid.IntRange(0, 15).Draw(t, "objects")
		s := Render(rapid.Uint64().Draw(t, "seed"), w, h, n)
		if len(s.Boxes) > n || len(s.Classes) != len(s.Boxes) {
			t.Fatalf("got %d boxes and %d classes for %d objects", len(s.Boxes), len(s.Classes), n)
		}
		whole := box.Box{X1: int32(w), Y1: int32(h)}
		for i, b := range s.Boxes {
			if b.Empty() || b.Intersect(whole) != b {
				t.Fatalf("box %v is not in the %d×%d image", b, w, h)
			}
			// Each side touches a pixel of the object, and no pixel is outside.
			sides := [4]bool{}
			for j, o := range s.Labels {
				if int(o) != i+1 {
					continue
				}
				x, y := int32(j%w), int32(j/w)
				p := box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1}
				if p.Intersect(b) != p {
					t.Fatalf("pixel (%d,%d) of %s is outside its box %v", x, y, s.Classes[i], b)
				}
				sides[0] = sides[0] || x == b.X0
				sides[1] = sides[1] || y == b.Y0
				sides[2] = sides[2] || x == b.X1-1
				sides[3] = sides[3] || y == b.Y1-1
			}
			if slices.Contains(sides[:], false) {
				t.Fatalf("box %v of %s is not tight: sides that touch it %v", b, s.Classes[i], sides)
			}
		}
		if top := slices.Max(s.Labels); int(top) > len(s.Boxes) {
			t.Fatalf("got the label %d for %d objects", top, len(s.Boxes))
		}
	})
}

// TestDrawDisc checks that exactly the pixels of which a disc covers half get its label, and that
// area and box are those of a disc.
func TestDrawDisc(t *testing.T) {
	disc := surface{
		left: -1, right: 1, down: -1, up: 1,
		dist:  func(x, y float64) float64 { return ellipse(x, y, 1, 1) },
		color: func(_, _, _ float64) rgb { return rgb{1, 1, 1} },
	}
	const w, h = 80, 70
	canvas, labels := make([]rgb, w*h), make([]uint16, w*h)
	drawObject(canvas, labels, w, h, &placedObject{disc, 40, 35, 20}, 1)
	area, light := 0, 0.0
	var b box.Box
	for i, o := range labels {
		light += canvas[i][0]
		if o == 1 {
			area++
			x, y := int32(i%w), int32(i/w)
			b = b.Union(box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
		}
		if (canvas[i][0] >= 0.5) != (o == 1) {
			t.Fatalf("pixel %d with coverage %v has the label %d", i, canvas[i][0], o)
		}
	}
	if want := (box.Box{X0: 20, Y0: 15, X1: 60, Y1: 55}); b != want {
		t.Errorf("got box %v, want %v", b, want)
	}
	if area < 1245 || area > 1269 || light < 1254 || light > 1260 {
		t.Errorf("got %d pixels and coverage %.1f, want about 1257", area, light)
	}
}

// TestExtents checks that the extent of a surface contains its silhouette, because drawObject clips
// to it, and that it is hardly larger, because arrange keeps other objects out of it.
func TestExtents(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for class := range numClasses {
		for range 20 {
			s := newObject(r, class, &palettes[r.IntN(len(palettes))], r.IntN(6))
			var left, right, down, up float64
			for i := range 301 {
				for j := range 301 {
					x, y := float64(i)/100-1.5, float64(j)/100-1
					if s.dist(x, y) < 0 {
						left, right, down, up = min(left, x), max(right, x), min(down, y), max(up, y)
					}
				}
			}
			got := [4]float64{left, right, down, up}
			for i, extent := range [4]float64{s.left, s.right, s.down, s.up} {
				if d := extent - got[i]; d < -0.07 || d > 0.07 || (i%2 == 0 && d > 0.016) || (i%2 == 1 && d < -0.016) {
					t.Errorf("%s: extent %.2f %.2f %.2f %.2f, want about %.2f", s.name, s.left, s.right, s.down, s.up, got)
					break
				}
			}
		}
	}
}

func TestEncode(t *testing.T) {
	s := Render(4, 60, 40, 3)
	m, err := png.Decode(bytes.NewReader(s.PNG()))
	if err != nil {
		t.Fatal(err)
	}
	if m.Bounds().Dx() != 60 || m.Bounds().Dy() != 40 {
		t.Fatalf("the PNG has the bounds %v, want 60 × 40", m.Bounds())
	}
	n := 60 * 40
	for i := range n {
		r, g, b, a := m.At(i%60, i/60).RGBA()
		if want := s.Image.Pix; uint8(r>>8) != want[i] || uint8(g>>8) != want[n+i] || uint8(b>>8) != want[2*n+i] || a != 0xffff {
			t.Fatalf("pixel %d of the PNG differs from the image", i)
		}
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(s.JPEG(90)))
	if err != nil || c.Width != 60 || c.Height != 40 {
		t.Fatalf("DecodeConfig of the JPEG: got %v, %v; want 60 × 40", c, err)
	}
}

func BenchmarkRender(b *testing.B) {
	for b.Loop() {
		Render(1, 640, 480, 10)
	}
}
