// Package scene draws pictures whose objects are known to the pixel: still lifes of
// patterned things on patterned grounds, shaded, casting shadows and hiding one
// another. Tests, benchmarks and the documentation use them where a photograph would
// need a licence and an annotator. The same arguments give the same bytes on every run
// and every processor.
package scene

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/raster"
)

// Scene is a picture and what is to be seen on it. A pixel belongs to the nearest of the
// objects that cover at least half of it, or else to the ground; shadows belong to
// the ground.
type Scene struct {
	Image *raster.Image // RGB
	// Boxes holds the tight box of each object's pixels, from the farthest object to
	// the nearest. An object that is hidden altogether is left out.
	Boxes []box.Box
	Names []string // what each box holds: "vase", "apple", ...
	// Owners tells for each pixel, row by row, whose it is: 0 is the ground's, i+1 that of
	// the object in Boxes[i].
	Owners []uint16
}

// placed is an object at its place: where it stands and how many pixels one unit of it is.
type placed struct {
	surface
	x, y, size float64
}

func (p *placed) bounds(margin float64) (x0, y0, x1, y1 float64) {
	return p.x + float64(p.left*p.size) - margin, p.y - float64(p.up*p.size) - margin,
		p.x + float64(p.right*p.size) + margin, p.y - float64(p.down*p.size) + margin
}

// Render draws a scene of width × height pixels with up to the given number of objects.
// It panics if a side is not positive, and takes about 0.3 µs a pixel.
func Render(seed uint64, width, height, objects int) *Scene {
	im := raster.New(raster.RGB, width, height)
	r := rand.New(rand.NewPCG(seed, 0x5ce7e))
	w, h := float64(width), float64(height)
	pal := &palettes[r.IntN(len(palettes))]
	back := newBackdrop(r, pal, w, h)
	things := arrange(r, pal, w, h, back.edge, objects)

	canvas := make([]rgb, width*height)
	for y := range height {
		for x := range width {
			canvas[y*width+x] = back.color(float64(x)+0.5, float64(y)+0.5)
		}
	}
	for i := range things {
		shadow(canvas, width, height, &things[i])
	}
	s := &Scene{Image: im, Owners: make([]uint16, width*height)}
	for i := range things {
		paint(canvas, s.Owners, width, height, &things[i], uint16(i+1))
	}
	s.measure(things)

	red, green, blue := im.Plane(0), im.Plane(1), im.Plane(2)
	for i, c := range canvas {
		x, y := i%width, i/width
		dx, dy := (float64(x)-float64(w/2))/w, (float64(y)-float64(h/2))/h
		vignette := 1 - float64(0.55*(float64(dx*dx)+float64(dy*dy)))
		film := float64((hash(int32(x), int32(y), uint32(seed)) - 0.5) * 3)
		for j, plane := range [][]uint8{red, green, blue} {
			v := float64(math.Sqrt(clamp01(c[j]*vignette))*255) + film
			plane[i] = uint8(math.Max(0, math.Min(255, v+0.5)))
		}
	}
	return s
}

// arrange finds each object a place on the ground, farthest first.
func arrange(r *rand.Rand, pal *palette, w, h, edge float64, objects int) []placed {
	var things []placed
	order := r.Perm(kinds)
	unit := 0.36 * math.Min(h, w*0.72) * math.Min(1.15, math.Sqrt(9/math.Max(1, float64(objects))))
	for i := range min(objects, math.MaxUint16) {
		p := placed{surface: thing(r, order[i%kinds], pal, i)}
		shrink := 1.0
		for try := 0; try < 160; try++ {
			depth := r.Float64()
			p.y = lerp(edge+float64(0.04*h), float64(0.97*h), depth)
			p.size = unit * shrink * (0.7 + float64(0.5*depth))
			p.x = float64(w * r.Float64())
			if x0, y0, x1, y1 := p.bounds(1); x0 >= 0 && y0 >= 0 && x1 <= w && y1 <= h && !crowded(things, &p) {
				break
			}
			if try%20 == 19 {
				shrink *= 0.88
			}
		}
		things = append(things, p)
	}
	slices.SortStableFunc(things, func(a, b placed) int {
		if a.y < b.y {
			return -1
		} else if a.y > b.y {
			return 1
		}
		return 0
	})
	return things
}

// crowded tells whether p would stand in another object or hide too much of one.
func crowded(things []placed, p *placed) bool {
	x0, y0, x1, y1 := p.bounds(0)
	for i := range things {
		q := &things[i]
		reach := float64(p.foot*p.size) + float64(q.foot*q.size)
		if hypot(p.x-q.x, (p.y-q.y)/elevation) < reach {
			return true
		}
		u0, v0, u1, v1 := q.bounds(0)
		common := math.Max(0, math.Min(x1, u1)-math.Max(x0, u0)) * math.Max(0, math.Min(y1, v1)-math.Max(y0, v0))
		if common > 0.3*math.Min((x1-x0)*(y1-y0), (u1-u0)*(v1-v0)) {
			return true
		}
	}
	return false
}

// shadow darkens the ground to the lower right of an object, softly, and where it stands.
func shadow(canvas []rgb, width, height int, p *placed) {
	f := float64(p.foot * p.size)
	long := f + float64(0.45*p.up*p.size)
	for y := max(0, int(p.y-f-long)); y < min(height, int(p.y+f+long)+1); y++ {
		for x := max(0, int(p.x-float64(2*f))); x < min(width, int(p.x+f+float64(2*long))+1); x++ {
			dx, dy := float64(x)+0.5-p.x, (p.y-float64(y)-0.5)/elevation
			contact := float64(0.6 * (1 - smooth(0.55, 1.5, hypot(dx, dy)/f)))
			// The cast shadow is a capsule that leads away from the light and fades.
			along := clamp01(dx / (2 * long))
			cast := capsule(dx, dy, 0, 0, 1.15*long, 0.35*long, 0) / f
			cast = float64(0.5 * (1 - smooth(0.5, 1.15+float64(0.5*along), cast)) * (1 - float64(0.6*along)))
			c := &canvas[y*width+x]
			*c = c.scale((1 - contact) * (1 - cast))
		}
	}
}

// paint lays an object over the canvas and takes the pixels of which it covers half.
func paint(canvas []rgb, owners []uint16, width, height int, p *placed, id uint16) {
	x0, y0, x1, y1 := p.bounds(2)
	pixel := 1 / p.size
	for y := max(0, int(y0)); y < min(height, int(y1)+1); y++ {
		for x := max(0, int(x0)); x < min(width, int(x1)+1); x++ {
			u, v := (float64(x)+0.5-p.x)*pixel, (p.y-float64(y)-0.5)*pixel
			cover := clamp01(0.5 - float64(p.dist(u, v)*p.size))
			if cover == 0 {
				continue
			}
			i := y*width + x
			canvas[i] = mix(canvas[i], p.color(u, v, pixel), cover)
			if cover >= 0.5 {
				owners[i] = id
			}
		}
	}
}

// measure finds the boxes and closes the gaps that hidden objects leave in the numbers.
func (s *Scene) measure(things []placed) {
	w := s.Image.Width
	boxes := make([]box.Box, len(things)+1)
	for i, o := range s.Owners {
		x, y := int32(i%w), int32(i/w)
		boxes[o] = boxes[o].Union(box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
	}
	number := make([]uint16, len(boxes))
	for i := range things {
		if b := boxes[i+1]; !b.Empty() {
			s.Boxes = append(s.Boxes, b)
			s.Names = append(s.Names, things[i].name)
			number[i+1] = uint16(len(s.Boxes))
		}
	}
	for i, o := range s.Owners {
		s.Owners[i] = number[o]
	}
}

// PNG is the picture as a PNG file.
func (s *Scene) PNG() []byte {
	var buf bytes.Buffer
	if err := png.Encode(&buf, s.Image.ToImage()); err != nil {
		panic(fmt.Sprintf("scene: PNG: %v", err)) // a picture in memory always has a PNG, unless a side is too long
	}
	return buf.Bytes()
}

// JPEG is the picture as a JPEG file of the given quality, 1..100.
func (s *Scene) JPEG(quality int) []byte {
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, s.Image.ToImage(), &jpeg.Options{Quality: quality}); err != nil {
		panic(fmt.Sprintf("scene: JPEG: %v", err)) // only sides over 65535 do that
	}
	return buf.Bytes()
}
