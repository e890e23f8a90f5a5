package raster

import (
	"fmt"
	"strings"
)

// Spaces returns the color spaces in the order of their declaration.
func Spaces() []Space {
	all := make([]Space, spaces)
	for i := range all {
		all[i] = Space(i)
	}
	return all
}

// ParseSpace returns the space of a name. Case matters only for RGB, rgb, rgI and R-G-I,
// whose names would else be ambiguous.
func ParseSpace(name string) (Space, error) {
	for s := range spaces {
		if name == s.String() {
			return s, nil
		}
	}
	for _, s := range []Space{Gray, Lab, HSV, Hue, Opponent} {
		if strings.EqualFold(name, s.String()) {
			return s, nil
		}
	}
	return 0, fmt.Errorf("raster: color space %q: want one of %s", name, strings.Join(spaceNames[:], ", "))
}
