package raster

import (
	"fmt"
	"strings"
)

// Spaces lists the colour spaces, in the order of their declaration.
func Spaces() []Space {
	all := make([]Space, spaces)
	for i := range all {
		all[i] = Space(i)
	}
	return all
}

// ParseSpace finds a space by its name. Case matters only for RGB, rgb, rgI and
// R-G-I, which without it could be taken for one another.
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
	return 0, fmt.Errorf("raster: colour space %q: want one of %s", name, strings.Join(spaceNames[:], ", "))
}
