package box

import (
	"errors"
	"fmt"
	"math"
)

// A Filter selects boxes by size and shape. The zero Filter keeps all. Bounds are inclusive.
type Filter struct {
	// MinSide is the minimum width and height, in pixels.
	MinSide int
	// MaxAspect is the maximum ratio of the longer side to the shorter one, at least 1; 0 means
	// no maximum.
	MaxAspect float64
	// MinArea and MaxArea bound the area as a fraction of the image's, in [0,1]. A MaxArea of 0
	// means no maximum.
	MinArea, MaxArea float64
}

// Validate returns an error that joins all invalid bounds, or nil.
func (f Filter) Validate() error {
	var errs []error
	if f.MinSide < 0 {
		errs = append(errs, fmt.Errorf("minimum side %d: want 0 or more", f.MinSide))
	}
	if f.MaxAspect != 0 && !(f.MaxAspect >= 1 && f.MaxAspect <= math.MaxFloat64) {
		errs = append(errs, fmt.Errorf("maximum aspect ratio %v: want 0, or a number from 1", f.MaxAspect))
	}
	if !(f.MinArea >= 0 && f.MinArea <= 1) {
		errs = append(errs, fmt.Errorf("minimum area %v: want a number from 0 to 1", f.MinArea))
	}
	if !(f.MaxArea >= 0 && f.MaxArea <= 1) {
		errs = append(errs, fmt.Errorf("maximum area %v: want a number from 0 to 1", f.MaxArea))
	}
	if f.MaxArea > 0 && f.MinArea > f.MaxArea {
		errs = append(errs, fmt.Errorf("minimum area %v: want at most the maximum, %v", f.MinArea, f.MaxArea))
	}
	return errors.Join(errs...)
}

// Keep reports whether f keeps b, a box that is not empty in an image of width × height.
//
// Ratios are compared after they are rounded to a float64, as the bounds are when they are parsed.
// So a box of 11×10 has an aspect ratio of 1.1, and the result is the same on all machines.
func (f Filter) Keep(b Box, width, height int) bool {
	short, long := min(b.Width(), b.Height()), max(b.Width(), b.Height())
	if int(short) < f.MinSide {
		return false
	}
	if f.MaxAspect > 0 && float64(long)/float64(short) > f.MaxAspect {
		return false
	}
	if f.MinArea == 0 && f.MaxArea == 0 {
		return true
	}
	area := float64(b.Area()) / float64(int64(width)*int64(height))
	return area >= f.MinArea && (f.MaxArea == 0 || area <= f.MaxArea)
}
