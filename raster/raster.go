// Package raster holds pictures as the algorithm wants them: planar, 8 bits a
// sample, in one of the colour spaces of Uijlings et al. (IJCV 2013, §3.2), and
// the separable Gaussian filters that smooth and differentiate them.
package raster

import "fmt"

// Space is a colour space. Every plane of every space is scaled to 0..255.
type Space uint8

// The colour spaces. Convert documents the formula and the scaling of each.
const (
	RGB      Space = iota // red, green, blue
	Gray                  // I: intensity, one plane
	RgI                   // chromaticities r and g, and intensity
	Lab                   // CIE L*a*b*, D65
	HSV                   // hue, saturation, value
	Hue                   // H: the hue of HSV, one plane
	NormRGB               // rgb: chromaticities r, g and b
	Opponent              // C: opponent colours, divided by intensity
	RGGray                // R-G-I: red, green, intensity: what OpenCV runs in the place of rgI
	spaces
)

var spaceNames = [spaces]string{"RGB", "I", "rgI", "Lab", "HSV", "H", "rgb", "C", "R-G-I"}

// String is the name by which the literature and ParseSpace know the space.
func (s Space) String() string {
	if s < spaces {
		return spaceNames[s]
	}
	return fmt.Sprintf("Space(%d)", uint8(s))
}

// Planes is the number of planes a picture in this space has: 1 or 3.
func (s Space) Planes() int {
	if s == Gray || s == Hue {
		return 1
	}
	return 3
}

// Image is a planar picture: Space.Planes() planes of Width × Height bytes, each
// row-major without padding, one after the other in Pix.
// Pictures come in as RGB or Gray; the other spaces are made by Convert.
type Image struct {
	Width, Height int
	Space         Space
	Pix           []uint8
}

// New makes a black picture. It panics if a side is not positive.
func New(space Space, width, height int) *Image {
	if width <= 0 || height <= 0 {
		panic(fmt.Sprintf("raster: New(%v, %d, %d): sides must be positive", space, width, height))
	}
	return &Image{width, height, space, make([]uint8, space.Planes()*width*height)}
}

// Plane is plane i of the picture, Width*Height bytes that share its memory.
func (m *Image) Plane(i int) []uint8 {
	n := m.Width * m.Height
	return m.Pix[i*n : (i+1)*n : (i+1)*n]
}
