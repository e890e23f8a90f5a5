package box

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyBox draws boxes with coordinates up to limit on both sides of zero, a few of them empty.
func anyBox(limit int32) *rapid.Generator[Box] {
	return rapid.Custom(func(t *rapid.T) Box {
		c := rapid.Int32Range(-limit, limit)
		b := Box{c.Draw(t, "x0"), c.Draw(t, "y0"), c.Draw(t, "x1"), c.Draw(t, "y1")}
		if rapid.IntRange(0, 9).Draw(t, "ordered") > 0 {
			b = Box{min(b.X0, b.X1), min(b.Y0, b.Y1), max(b.X0, b.X1), max(b.Y0, b.Y1)}
		}
		return b
	})
}

func TestBox(t *testing.T) {
	a := Box{1, 2, 5, 8}
	empty := Box{3, 3, 3, 9}
	for _, c := range []struct {
		name         string
		b            Box
		union, inter Box
		iou          float64
	}{
		{"same", a, a, a, 1},
		{"overlapping", Box{3, 2, 7, 8}, Box{1, 2, 7, 8}, Box{3, 2, 5, 8}, 1.0 / 3},
		{"contained", Box{2, 3, 4, 6}, a, Box{2, 3, 4, 6}, 0.25},
		{"touching", Box{5, 2, 9, 8}, Box{1, 2, 9, 8}, Box{}, 0},
		{"empty", empty, a, Box{}, 0},
		{"reversed corners", Box{9, 9, 2, 2}, a, Box{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := a.Union(c.b); got != c.union {
				t.Errorf("union of %v and %v: got %v, want %v", a, c.b, got, c.union)
			}
			if got := a.Intersect(c.b); got != c.inter {
				t.Errorf("intersection of %v and %v: got %v, want %v", a, c.b, got, c.inter)
			}
			if got := a.IoU(c.b); got != c.iou {
				t.Errorf("IoU of %v and %v: got %v, want %v", a, c.b, got, c.iou)
			}
		})
	}
}

func TestArea(t *testing.T) {
	a := Box{1, 2, 5, 8}
	if a.Width() != 4 || a.Height() != 6 || a.Area() != 24 || a.Empty() {
		t.Errorf("%v: got width %d, height %d, area %d, empty %t, want 4, 6, 24, false", a, a.Width(), a.Height(), a.Area(), a.Empty())
	}
	for _, empty := range []Box{{}, {3, 3, 3, 9}, {9, 9, 2, 2}} {
		if !empty.Empty() || empty.Area() != 0 {
			t.Errorf("%v: got empty %t, area %d, want true, 0", empty, empty.Empty(), empty.Area())
		}
	}
	const side = 1<<31 - 1
	if largest := (Box{0, 0, side, side}); largest.Area() != side*side {
		t.Errorf("%v: got area %d, want %d", largest, largest.Area(), int64(side*side))
	}
}

func TestBoxProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := rapid.OneOf(anyBox(8), anyBox(1<<20))
		a, b := boxes.Draw(t, "a"), boxes.Draw(t, "b")
		iou := a.IoU(b)
		if iou != b.IoU(a) || a.Union(b) != b.Union(a) && !(a.Empty() && b.Empty()) || a.Intersect(b) != b.Intersect(a) {
			t.Fatalf("%v and %v: want symmetric operations", a, b)
		}
		if !(iou >= 0 && iou <= 1) {
			t.Fatalf("got IoU %v, want it in [0,1]", iou)
		}
		if !a.Empty() && !b.Empty() && (iou == 1) != (a == b) {
			t.Fatalf("got IoU %v of %v and %v, want 1 if and only if they are equal", iou, a, b)
		}
		// NMS.Keep relies on this.
		if iou > 0 {
			w, h := float64(a.Width())/float64(b.Width()), float64(a.Height())/float64(b.Height())
			if bound := min(w, 1/w, h, 1/h) * (1 + 1e-12); iou > bound {
				t.Fatalf("got IoU %v, want at most %v, the ratio of a side", iou, bound)
			}
		}
		dx, dy := rapid.Int32Range(-999, 999).Draw(t, "dx"), rapid.Int32Range(-999, 999).Draw(t, "dy")
		move := func(b Box) Box { return Box{b.X0 + dx, b.Y0 + dy, b.X1 + dx, b.Y1 + dy} }
		if moved := move(a).IoU(move(b)); moved != iou {
			t.Fatalf("got IoU %v after a translation, want %v", moved, iou)
		}
		if u, i := a.Union(b), a.Intersect(b); u.Area() < max(a.Area(), b.Area()) || i.Area() > min(a.Area(), b.Area()) ||
			!a.Empty() && u.Intersect(a) != a || !i.Empty() && i.Union(a) != a {
			t.Fatalf("%v and %v: got union %v, intersection %v", a, b, u, i)
		}
	})
}

func TestBoxJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyBox(1<<31-1).Draw(t, "box")
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Box
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Fatalf("%s decodes to %v, %v, want %v", text, got, err, want)
		}
	})
	if text, err := json.Marshal([]Box{{1, 2, 3, 4}, {-1, 0, 0, 9}}); err != nil || string(text) != "[[1,2,3,4],[-1,0,0,9]]" {
		t.Errorf("array: got %s, %v", text, err)
	}
	for _, text := range []string{
		"[1,2,3]", "[1,2,3,4,5]", "[]", "null", "{}", `"1,2,3,4"`, "[1,2,3,4.5]", "[1,2,3,2147483648]", "[1,2,3,null]", "[1,2,3,",
	} {
		var b Box
		if err := b.UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), "[x0,y0,x1,y1]") {
			t.Errorf("%s decodes to %v, %v, want an error with the format", text, b, err)
		}
	}
}

func FuzzBoxUnmarshalJSON(f *testing.F) {
	for _, seed := range []string{"[1,2,3,4]", "[-1,0,0,9]", "[1,2,3]", "[1e1,2,3,4]", "null", "[[1],2,3,4]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var b Box
		if err := json.Unmarshal(text, &b); err != nil {
			return
		}
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var c Box
		if err := json.Unmarshal(again, &c); err != nil || c != b {
			t.Errorf("%s decodes to %v, which encodes to %s and decodes to %v, %v", text, b, again, c, err)
		}
	})
}
