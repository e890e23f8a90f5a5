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
		b            Box
		union, inter Box
		iou          float64
	}{
		{a, a, a, 1},
		{Box{3, 2, 7, 8}, Box{1, 2, 7, 8}, Box{3, 2, 5, 8}, 1.0 / 3},
		{Box{2, 3, 4, 6}, a, Box{2, 3, 4, 6}, 0.25},
		{Box{5, 2, 9, 8}, Box{1, 2, 9, 8}, Box{}, 0}, // they touch
		{empty, a, Box{}, 0},
		{Box{9, 9, 2, 2}, a, Box{}, 0},
	} {
		if u, i, iou := a.Union(c.b), a.Intersect(c.b), a.IoU(c.b); u != c.union || i != c.inter || iou != c.iou {
			t.Errorf("%v and %v: union %v, intersection %v, IoU %v; want %v, %v, %v", a, c.b, u, i, iou, c.union, c.inter, c.iou)
		}
	}
	if a.Width() != 4 || a.Height() != 6 || a.Area() != 24 || a.Empty() {
		t.Errorf("%v: width %d, height %d, area %d, empty %t", a, a.Width(), a.Height(), a.Area(), a.Empty())
	}
	if empty.Area() != 0 || !empty.Empty() || (Box{9, 9, 2, 2}).Area() != 0 {
		t.Error("an empty box has an area")
	}
	if whole := (Box{0, 0, 1<<31 - 1, 1<<31 - 1}); whole.Area() != (1<<31-1)*(1<<31-1) {
		t.Errorf("%v: area %d", whole, whole.Area())
	}
}

func TestBoxProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boxes := rapid.OneOf(anyBox(8), anyBox(1<<20))
		a, b := boxes.Draw(t, "a"), boxes.Draw(t, "b")
		iou := a.IoU(b)
		if iou != b.IoU(a) || a.Union(b) != b.Union(a) && !(a.Empty() && b.Empty()) || a.Intersect(b) != b.Intersect(a) {
			t.Fatal("not symmetric")
		}
		if !(iou >= 0 && iou <= 1) {
			t.Fatalf("IoU %v", iou)
		}
		if !a.Empty() && !b.Empty() && (iou == 1) != (a == b) {
			t.Fatalf("IoU %v of %v and %v", iou, a, b)
		}
		// What the buckets of Keep rest on.
		if iou > 0 {
			w, h := float64(a.Width())/float64(b.Width()), float64(a.Height())/float64(b.Height())
			if bound := min(w, 1/w, h, 1/h) * (1 + 1e-12); iou > bound {
				t.Fatalf("IoU %v exceeds %v, the ratio of a side", iou, bound)
			}
		}
		dx, dy := rapid.Int32Range(-999, 999).Draw(t, "dx"), rapid.Int32Range(-999, 999).Draw(t, "dy")
		move := func(b Box) Box { return Box{b.X0 + dx, b.Y0 + dy, b.X1 + dx, b.Y1 + dy} }
		if moved := move(a).IoU(move(b)); moved != iou {
			t.Fatalf("IoU %v, after moving %v", iou, moved)
		}
		if u, i := a.Union(b), a.Intersect(b); u.Area() < max(a.Area(), b.Area()) || i.Area() > min(a.Area(), b.Area()) ||
			!a.Empty() && u.Intersect(a) != a || !i.Empty() && i.Union(a) != a {
			t.Fatalf("union %v, intersection %v", u, i)
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
			t.Fatalf("%s reads as %v, %v; want %v", text, got, err, want)
		}
	})
	if text, err := json.Marshal([]Box{{1, 2, 3, 4}, {-1, 0, 0, 9}}); err != nil || string(text) != "[[1,2,3,4],[-1,0,0,9]]" {
		t.Errorf("%s, %v", text, err)
	}
	for _, text := range []string{
		"[1,2,3]", "[1,2,3,4,5]", "[]", "null", "{}", `"1,2,3,4"`, "[1,2,3,4.5]", "[1,2,3,2147483648]", "[1,2,3,null]", "[1,2,3,",
	} {
		var b Box
		if err := b.UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), "[x0,y0,x1,y1]") {
			t.Errorf("%s reads as %v, %v; want an error that shows the form", text, b, err)
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
			t.Errorf("%s reads as %v, and that, %s, as %v, %v", text, b, again, c, err)
		}
	})
}
