// Package scene renders images with exact ground truth: still lifes of textured objects on textured
// ground, with shading, shadows and occlusion. Tests, benchmarks and the documentation use them
// instead of photographs, which need a license and annotations. Equal arguments give equal bytes on
// all processors.
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

// Scene is an image with its ground truth. A pixel belongs to the nearest object that covers at
// least half of it, or else to the background. Shadows belong to the background.
type Scene struct {
	Image *raster.Image // RGB
	// Boxes holds the bounding box of the visible pixels of each object, from the farthest object
	// to the nearest. Objects without visible pixels are omitted.
	Boxes   []box.Box
	Classes []string // of the objects in Boxes, such as "vase"; see [Classes]
	// Labels holds the label of each pixel, in row-major order: 0 for the background, i+1 for the
	// object of Boxes[i].
	Labels []uint16
}

// placedObject is an object with its position, and its size in pixels per unit.
type placedObject struct {
	surface
	x, y, size float64
}

func (p *placedObject) bounds(margin float64) (x0, y0, x1, y1 float64) {
	return p.x + float64(p.left*p.size) - margin, p.y - float64(p.up*p.size) - margin,
		p.x + float64(p.right*p.size) + margin, p.y - float64(p.down*p.size) + margin
}

// Render renders a scene of width × height pixels with at most the given number of objects, in
// about 0.3 µs per pixel. It panics if a side is not positive.
func Render(seed uint64, width, height, objects int) *Scene {
	im := raster.New(raster.RGB, width, height)
	r := rand.New(rand.NewPCG(seed, 0x5ce7e))
	w, h := float64(width), float64(height)
	pal := &palettes[r.IntN(len(palettes))]
	back := newBackdrop(r, pal, w, h)
	objs := arrange(r, pal, w, h, back.edge, objects)

	canvas := make([]rgb, width*height)
	for y := range height {
		for x := range width {
			canvas[y*width+x] = back.color(float64(x)+0.5, float64(y)+0.5)
		}
	}
	for i := range objs {
		drawShadow(canvas, width, height, &objs[i])
	}
	s := &Scene{Image: im, Labels: make([]uint16, width*height)}
	for i := range objs {
		drawObject(canvas, s.Labels, width, height, &objs[i], uint16(i+1))
	}
	s.findBoxes(objs)

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

// arrange creates objects and places them on the ground. They are sorted from far to near.
func arrange(r *rand.Rand, pal *palette, w, h, edge float64, objects int) []placedObject {
	var objs []placedObject
	order := r.Perm(numClasses)
	unit := 0.36 * math.Min(h, w*0.72) * math.Min(1.15, math.Sqrt(9/math.Max(1, float64(objects))))
	for i := range min(objects, math.MaxUint16) {
		p := placedObject{surface: newObject(r, order[i%numClasses], pal, i)}
		shrink := 1.0
		for try := 0; try < 160; try++ {
			depth := r.Float64()
			p.y = lerp(edge+float64(0.04*h), float64(0.97*h), depth)
			p.size = unit * shrink * (0.7 + float64(0.5*depth))
			p.x = float64(w * r.Float64())
			if x0, y0, x1, y1 := p.bounds(1); x0 >= 0 && y0 >= 0 && x1 <= w && y1 <= h && !collides(objs, &p) {
				break
			}
			if try%20 == 19 {
				shrink *= 0.88
			}
		}
		objs = append(objs, p)
	}
	slices.SortStableFunc(objs, func(a, b placedObject) int {
		if a.y < b.y {
			return -1
		} else if a.y > b.y {
			return 1
		}
		return 0
	})
	return objs
}

// collides reports whether p would intersect another object or occlude too much of it.
func collides(objs []placedObject, p *placedObject) bool {
	x0, y0, x1, y1 := p.bounds(0)
	for i := range objs {
		q := &objs[i]
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

// drawShadow draws the shadow of an object, which falls to the lower right, and darkens its base.
func drawShadow(canvas []rgb, width, height int, p *placedObject) {
	f := float64(p.foot * p.size)
	long := f + float64(0.45*p.up*p.size)
	for y := max(0, int(p.y-f-long)); y < min(height, int(p.y+f+long)+1); y++ {
		for x := max(0, int(p.x-float64(2*f))); x < min(width, int(p.x+f+float64(2*long))+1); x++ {
			dx, dy := float64(x)+0.5-p.x, (p.y-float64(y)-0.5)/elevation
			contact := float64(0.6 * (1 - smooth(0.55, 1.5, hypot(dx, dy)/f)))
			// The cast shadow is a capsule that fades with the distance.
			along := clamp01(dx / (2 * long))
			cast := capsule(dx, dy, 0, 0, 1.15*long, 0.35*long, 0) / f
			cast = float64(0.5 * (1 - smooth(0.5, 1.15+float64(0.5*along), cast)) * (1 - float64(0.6*along)))
			c := &canvas[y*width+x]
			*c = c.scale((1 - contact) * (1 - cast))
		}
	}
}

// drawObject draws an object and labels the pixels of which it covers at least half.
func drawObject(canvas []rgb, labels []uint16, width, height int, p *placedObject, id uint16) {
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
				labels[i] = id
			}
		}
	}
}

// findBoxes sets the boxes and classes, and renumbers the labels without the hidden objects.
func (s *Scene) findBoxes(objs []placedObject) {
	w := s.Image.Width
	boxes := make([]box.Box, len(objs)+1)
	for i, o := range s.Labels {
		x, y := int32(i%w), int32(i/w)
		boxes[o] = boxes[o].Union(box.Box{X0: x, Y0: y, X1: x + 1, Y1: y + 1})
	}
	number := make([]uint16, len(boxes))
	for i := range objs {
		if b := boxes[i+1]; !b.Empty() {
			s.Boxes = append(s.Boxes, b)
			s.Classes = append(s.Classes, objs[i].name)
			number[i+1] = uint16(len(s.Boxes))
		}
	}
	for i, o := range s.Labels {
		s.Labels[i] = number[o]
	}
}

// PNG returns the image as a PNG file.
func (s *Scene) PNG() []byte {
	var buf bytes.Buffer
	if err := png.Encode(&buf, s.Image.ToImage()); err != nil {
		panic(fmt.Sprintf("scene: PNG: %v", err)) // only sides that are too long fail
	}
	return buf.Bytes()
}

// JPEG returns the image as a JPEG file of the given quality, 1..100.
func (s *Scene) JPEG(quality int) []byte {
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, s.Image.ToImage(), &jpeg.Options{Quality: quality}); err != nil {
		panic(fmt.Sprintf("scene: JPEG: %v", err)) // only sides over 65535 fail
	}
	return buf.Bytes()
}
