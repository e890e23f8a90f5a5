// Package raster holds images in the form that the segmentation uses: planar, 8 bits per
// sample, in one of the color spaces of Uijlings et al. (IJCV 2013, §3.2). It converts
// them from and to image.Image and between color spaces, and has the separable Gaussian
// filters that smooth and differentiate them. It also holds label images.
package raster

import "fmt"

// Space is a color space. Every plane of every space is scaled to 0..255.
type Space uint8

// The color spaces. Convert documents the formula and the scaling of each.
const (
	RGB      Space = iota // red, green, blue
	Gray                  // I: intensity, one plane
	RgI                   // chromaticities r and g, and intensity
	Lab                   // CIE L*a*b*, D65
	HSV                   // hue, saturation, value
	Hue                   // H: the hue of HSV, one plane
	NormRGB               // rgb: chromaticities r, g and b
	Opponent              // C: opponent colors, divided by intensity
	RGGray                // R-G-I: red, green, intensity, which OpenCV uses in place of rgI
	spaces
)

var spaceNames = [spaces]string{"RGB", "I", "rgI", "Lab", "HSV", "H", "rgb", "C", "R-G-I"}

// String returns the name of the space in the literature, which ParseSpace accepts.
func (s Space) String() string {
	if s < spaces {
		return spaceNames[s]
	}
	return fmt.Sprintf("Space(%d)", uint8(s))
}

// Planes returns the number of planes of an image in this space: 1 or 3.
func (s Space) Planes() int {
	if s == Gray || s == Hue {
		return 1
	}
	return 3
}

// Image is a planar image: Space.Planes() planes of Width × Height samples, one after the
// other in Pix, each row-major without padding. FromImage makes images in RGB or Gray;
// Convert makes the other spaces.
type Image struct {
	Width, Height int
	Space         Space
	Pix           []uint8
}

// New returns a black image. It panics if a side is not positive.
func New(space Space, width, height int) *Image {
	if width <= 0 || height <= 0 {
		panic(fmt.Sprintf("raster: New(%v, %d, %d): want sides above 0", space, width, height))
	}
	return &Image{width, height, space, make([]uint8, space.Planes()*width*height)}
}

// Plane returns plane i of the image: Width*Height samples that share its memory.
func (m *Image) Plane(i int) []uint8 {
	n := m.Width * m.Height
	return m.Pix[i*n : (i+1)*n : (i+1)*n]
}
