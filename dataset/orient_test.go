package dataset

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

// storedPosition returns the corner (x, y) of a pixel of the stored image in the upright image of
// this size, by the definition of the EXIF orientations.
func storedPosition(x, y, width, height float64, orientation int) (float64, float64) {
	switch orientation {
	case 5: // mirrored at the diagonal
		return y, x
	case 6: // turned right
		return width - y, x
	case 7: // mirrored at the other diagonal
		return width - y, height - x
	case 8: // turned left
		return y, height - x
	}
	panic("orientation")
}

func TestOrient(t *testing.T) {
	stored := Object{X0: 10, Y0: 20.5, X1: 110, Y1: 60, Class: "cat", Difficult: true, Area: 7}
	for orientation := 5; orientation <= 8; orientation++ {
		img := &Image{File: "a.jpg", Width: 640, Height: 480, Objects: []Object{stored}}
		objects, turned, err := img.Orient(480, 640, orientation)
		if err != nil || !turned || len(objects) != 1 {
			t.Fatalf("orientation %d: got %v, %t, %v", orientation, objects, turned, err)
		}
		x0, y0 := storedPosition(stored.X0, stored.Y0, 480, 640, orientation)
		x1, y1 := storedPosition(stored.X1, stored.Y1, 480, 640, orientation)
		want := stored
		want.X0, want.Y0, want.X1, want.Y1 = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
		if objects[0] != want {
			t.Errorf("orientation %d: got %+v, want %+v", orientation, objects[0], want)
		}
		if img.Objects[0] != stored {
			t.Error("Orient changed the image")
		}
	}
	for _, c := range []struct {
		name                       string
		annotatedWidth, annotated  int
		width, height, orientation int
		turned, fails              bool
	}{
		{"upright", 480, 640, 480, 640, 6, false, false},
		{"mirrored", 640, 480, 640, 480, 3, false, false},
		{"square", 480, 480, 480, 480, 6, false, false},
		{"unknown", 0, 0, 480, 640, 6, false, false},
		{"unknown height, upright", 480, 0, 480, 640, 6, false, false},
		{"unknown height, stored", 640, 0, 480, 640, 6, true, false},
		{"not swapped", 640, 480, 480, 640, 3, false, true},
		{"no orientation", 640, 480, 480, 640, 1, false, true},
		{"orientation that does not exist", 640, 480, 480, 640, 9, false, true},
		{"resized", 1280, 960, 640, 480, 1, false, true},
		{"resized and turned", 1280, 960, 480, 640, 6, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := &Image{File: "a.jpg", Width: c.annotatedWidth, Height: c.annotated, Objects: []Object{stored}}
			objects, turned, err := img.Orient(c.width, c.height, c.orientation)
			if turned != c.turned || (err != nil) != c.fails {
				t.Errorf("got turned %t, %v; want %t, an error: %t", turned, err, c.turned, c.fails)
			}
			if err == nil && !turned && !reflect.DeepEqual(objects, img.Objects) {
				t.Errorf("got %+v, want the objects of the image", objects)
			}
			want := SizeError{"a.jpg", c.width, c.height, c.annotatedWidth, c.annotated}
			if e, ok := errors.AsType[*SizeError](err); c.fails && (!ok || *e != want) {
				t.Errorf("got %#v, want %#v", err, want)
			}
		})
	}
}

// TestOrientStaysInside checks that boxes inside the stored image are inside the upright one, with
// the same area.
func TestOrientStaysInside(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		width, height := 1+random.IntN(50), 51+random.IntN(50) // of the stored image
		x0, y0 := float64(random.IntN(width)), float64(random.IntN(height))
		o := Object{X0: x0, Y0: y0, X1: x0 + float64(random.IntN(width-int(x0)+1)), Y1: y0 + float64(random.IntN(height-int(y0)+1))}
		img := &Image{Width: width, Height: height, Objects: []Object{o}}
		objects, turned, err := img.Orient(height, width, 5+random.IntN(4))
		if err != nil || !turned {
			t.Fatal(turned, err)
		}
		got := objects[0]
		if got.X0 < 0 || got.Y0 < 0 || got.X1 > float64(height) || got.Y1 > float64(width) || got.BoxArea() != o.BoxArea() {
			t.Fatalf("%+v of %d × %d became %+v", o, width, height, got)
		}
	}
}
