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
		s := Render(c.seed, c.width, c.height, c.objects)
		h := sha256.New()
		h.Write(s.Image.Pix)
		fmt.Fprint(h, s.Boxes, s.Names)
		if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != c.want {
			t.Errorf("Render(%d, %d, %d, %d) hashes to %s, want %s", c.seed, c.width, c.height, c.objects, got, c.want)
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	seen := map[string]uint64{}
	for seed := range uint64(20) {
		pix := string(Render(seed, 48, 32, 4).Image.Pix)
		if other, ok := seen[pix]; ok {
			t.Errorf("seeds %d and %d give the same picture", other, seed)
		}
		seen[pix] = seed
	}
}

// Every object that stands in a roomy picture is seen.
func TestObjectsSeen(t *testing.T) {
	for seed := range uint64(30) {
		s := Render(seed, 240, 160, 8)
		if len(s.Boxes) != 8 || len(s.Names) != 8 {
			t.Errorf("seed %d: %d boxes and %d names, want 8", seed, len(s.Boxes), len(s.Names))
		}
		for i, b := range s.Boxes {
			if b.Area() < 100 {
				t.Errorf("seed %d: %s has the box %v, too small to find", seed, s.Names[i], b)
			}
		}
	}
}

// Kinds names each sort of thing, and nothing else.
func TestKinds(t *testing.T) {
	var names []string
	for kind := range kinds {
		names = append(names, thing(rand.New(rand.NewPCG(1, 1)), kind, &palettes[0], 0).name)
	}
	slices.Sort(names)
	if !slices.Equal(names, Kinds()) {
		t.Errorf("there are %q; Kinds tells %q", names, Kinds())
	}
}

func TestBoxesTight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 90).Draw(t, "width"), rapid.IntRange(1, 90).Draw(t, "height")
		n := rapid.IntRange(0, 15).Draw(t, "objects")
		s := Render(rapid.Uint64().Draw(t, "seed"), w, h, n)
		if len(s.Boxes) > n || len(s.Names) != len(s.Boxes) {
			t.Fatalf("%d boxes, %d names of %d objects", len(s.Boxes), len(s.Names), n)
		}
		whole := box.Box{X1: int32(w), Y1: int32(h)}
		for i, b := range s.Boxes {
			if b.Empty() || b.Intersect(whole) != b {
				t.Fatalf("box %v of a %d×%d picture", b, w, h)
			}
			// Each side has a pixel of the object, and there is none outside.
			sides := [4]bool{}
			for j, o := range s.Owners {
				if int(o) != i+1 {
					continue
				}
				x, y := int32(j%w), int32(j/w)
				p := box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1}
				if p.Intersect(b) != p {
					t.Fatalf("%s has the pixel (%d,%d) outside its box %v", s.Names[i], x, y, b)
				}
				sides[0] = sides[0] || x == b.X0
				sides[1] = sides[1] || y == b.Y0
				sides[2] = sides[2] || x == b.X1-1
				sides[3] = sides[3] || y == b.Y1-1
			}
			if slices.Contains(sides[:], false) {
				t.Fatalf("box %v of %s is not tight: %v", b, s.Names[i], sides)
			}
		}
		if top := slices.Max(s.Owners); int(top) > len(s.Boxes) {
			t.Fatalf("owner %d of %d objects", top, len(s.Boxes))
		}
	})
}

// A pixel is an object's exactly where the object's own shape covers half of it: a lone
// disc has the area and the box of a disc.
func TestPaintDisc(t *testing.T) {
	disc := surface{
		left: -1, right: 1, down: -1, up: 1,
		dist:  func(x, y float64) float64 { return ellipse(x, y, 1, 1) },
		color: func(_, _, _ float64) rgb { return rgb{1, 1, 1} },
	}
	const w, h = 80, 70
	canvas, owners := make([]rgb, w*h), make([]uint16, w*h)
	paint(canvas, owners, w, h, &placed{disc, 40, 35, 20}, 1)
	area, light := 0, 0.0
	var b box.Box
	for i, o := range owners {
		light += canvas[i][0]
		if o == 1 {
			area++
			x, y := int32(i%w), int32(i/w)
			b = b.Union(box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
		}
		if (canvas[i][0] >= 0.5) != (o == 1) {
			t.Fatalf("pixel %d is covered to %v, its owner is %d", i, canvas[i][0], o)
		}
	}
	if want := (box.Box{X0: 20, Y0: 15, X1: 60, Y1: 55}); b != want {
		t.Errorf("box %v, want %v", b, want)
	}
	if area < 1245 || area > 1269 || light < 1254 || light > 1260 {
		t.Errorf("%d pixels, coverage %.1f, want about 1257", area, light)
	}
}

// What a surface claims to span holds its silhouette, else paint would cut it off, and
// has little room to spare, else arrange would keep the others away for nothing.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for kind := range kinds {
		for range 20 {
			s := thing(r, kind, &palettes[r.IntN(len(palettes))], r.IntN(6))
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
			for i, claim := range [4]float64{s.left, s.right, s.down, s.up} {
				if d := claim - got[i]; d < -0.07 || d > 0.07 || (i%2 == 0 && d > 0.016) || (i%2 == 1 && d < -0.016) {
					t.Errorf("%s spans %.2f but claims %.2f %.2f %.2f %.2f", s.name, got, s.left, s.right, s.down, s.up)
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
		t.Fatalf("the PNG is %v", m.Bounds())
	}
	n := 60 * 40
	for i := range n {
		r, g, b, a := m.At(i%60, i/60).RGBA()
		if want := s.Image.Pix; uint8(r>>8) != want[i] || uint8(g>>8) != want[n+i] || uint8(b>>8) != want[2*n+i] || a != 0xffff {
			t.Fatalf("pixel %d of the PNG is not the picture's", i)
		}
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(s.JPEG(90)))
	if err != nil || c.Width != 60 || c.Height != 40 {
		t.Fatalf("the JPEG is %v, %v", c, err)
	}
}

func BenchmarkRender(b *testing.B) {
	for b.Loop() {
		Render(1, 640, 480, 10)
	}
}
