package proposalfile

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/proposer/proposer/dataset"
)

// Index finds the images of a data set by what proposals files call them.
type Index struct {
	images []dataset.Image
	ids    names
	// numbers are ids that are numbers, without leading zeros.
	numbers names
	// digits are ids such as 2008_000002 without the underscore, as Detectron's files have them;
	// tails are the numbers after the underscore.
	digits, tails names
	// bases and stems are by the last element of the path, with and without its extension. Names that
	// end at the first dot, as of SoCo and DETReg, are in dots if they differ.
	bases, stems, dots map[string][]int32
	// replaced has the names as UTF-8, with U+FFFD for each invalid byte, as most formats have them. It
	// is nil if all names are UTF-8.
	replaced *Index
}

// names finds images by unique names. Images with a name that is not unique are listed as -1.
type names map[string]int32

func (n names) add(name string, i int) {
	if _, taken := n[name]; taken {
		i = -1
	}
	n[name] = int32(i)
}

// NewIndex returns an index of images. The images must not be changed while it is in use.
func NewIndex(images []dataset.Image) *Index {
	x := &Index{
		images: images, ids: names{}, numbers: names{}, digits: names{}, tails: names{},
		bases: map[string][]int32{}, stems: map[string][]int32{}, dots: map[string][]int32{},
	}
	for i := range images {
		img := &images[i]
		if img.ID != "" {
			x.ids.add(img.ID, i)
			if n, ok := number(img.ID); ok {
				x.numbers.add(n, i)
			}
			if front, tail, ok := strings.Cut(img.ID, "_"); ok {
				if n, ok := number(tail); ok {
					x.tails.add(n, i)
				}
				if n, ok := number(front + tail); ok {
					x.digits.add(n, i)
				}
			}
		}
		base := path.Base(slashes(img.File))
		x.bases[base] = append(x.bases[base], int32(i))
		stem := withoutExtension(base)
		x.stems[stem] = append(x.stems[stem], int32(i))
		if dot := toFirstDot(base); dot != stem {
			x.dots[dot] = append(x.dots[dot], int32(i))
		}
	}
	if slices.ContainsFunc(images, func(img dataset.Image) bool { return !utf8.ValidString(img.File) || !utf8.ValidString(img.ID) }) {
		replaced := slices.Clone(images)
		for i := range replaced {
			img := &replaced[i]
			img.File, img.ID = string([]rune(img.File)), string([]rune(img.ID))
		}
		x.replaced = NewIndex(replaced)
	}
	return x
}

// number returns a decimal number without leading zeros.
func number(s string) (string, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return strconv.FormatUint(n, 10), err == nil
}

// slashes returns a path with slashes, also if it was written on Windows.
func slashes(file string) string { return path.Clean(strings.ReplaceAll(file, `\`, "/")) }

func withoutExtension(file string) string { return strings.TrimSuffix(file, path.Ext(file)) }

// toFirstDot returns a path up to the first dot of its last element.
func toFirstDot(file string) string {
	dir, base := path.Split(file)
	base, _, _ = strings.Cut(base, ".")
	return dir + base
}

// Find returns the index of an image of a proposals file, or -1 if the data set does not have it. It
// returns an error if several images have the name.
//
// The name of the file counts first: it has to be the path of the image or the end of it, or the path
// has to be the end of the name. The extension may be missing. If there is no such image, or there are
// several, the id counts; ids that are numbers may differ in leading zeros. Last, a name may be an id,
// and an id the name of a file without its extension.
func (x *Index) Find(img *Image) (int, error) {
	var ambiguous error
	for _, find := range []func() (int, error){
		func() (int, error) { return x.byFile(img.File) },
		func() (int, error) { return x.byID(img.ID) },
		func() (int, error) { return x.byID(img.File) },
		func() (int, error) { return x.byFile(img.ID) },
		func() (int, error) { return x.byFile(img.base) },
	} {
		i, err := find()
		if i >= 0 {
			return i, nil
		}
		if ambiguous == nil {
			ambiguous = err
		}
	}
	if x.replaced != nil && ambiguous == nil {
		return x.replaced.Find(img)
	}
	return -1, ambiguous
}

// byFile finds an image by its path, or the end of it.
func (x *Index) byFile(file string) (int, error) {
	if file == "" {
		return -1, nil
	}
	file = slashes(file)
	base := path.Base(file)
	if i, err := x.bySuffix(file, x.bases[base], func(f string) string { return f }); i >= 0 || err != nil {
		return i, err
	}
	if i, err := x.bySuffix(file, x.stems[base], withoutExtension); i >= 0 || err != nil {
		return i, err
	}
	return x.bySuffix(file, x.dots[base], toFirstDot)
}

// bySuffix finds an image among those with the same last element of the path.
func (x *Index) bySuffix(file string, among []int32, form func(string) string) (int, error) {
	var whole []int32 // images of which the path is the end of the name
	longest := 0
	var part []int32 // images of which the name is the end of the path
	for _, i := range among {
		other := form(slashes(x.images[i].File))
		switch {
		case other == file:
			// The same path with another extension, if form removes it, is another image.
			whole, longest = appendLongest(whole, longest, i, len(other))
		case isSuffix(other, file):
			whole, longest = appendLongest(whole, longest, i, len(other))
		case isSuffix(file, other):
			part = append(part, i)
		}
	}
	if len(whole) == 0 {
		whole = part
	}
	switch len(whole) {
	case 0:
		return -1, nil
	case 1:
		return int(whole[0]), nil
	}
	return -1, fmt.Errorf("%q may be %q or %q: want a path that tells them apart", file, x.images[whole[0]].File, x.images[whole[1]].File)
}

// appendLongest appends an image of a given length, if none is longer, in place of shorter ones.
func appendLongest(images []int32, longest int, i int32, length int) (updated []int32, newLongest int) {
	switch {
	case length < longest:
		return images, longest
	case length > longest:
		images = images[:0]
	}
	return append(images, i), length
}

// isSuffix reports whether the elements of one path are the last elements of a longer one.
func isSuffix(file, of string) bool {
	return len(of) > len(file) && of[len(of)-len(file)-1] == '/' && strings.HasSuffix(of, file)
}

// byID finds an image by its id.
func (x *Index) byID(id string) (int, error) {
	if id == "" {
		return -1, nil
	}
	ids := []names{x.ids}
	keys := []string{id}
	if n, ok := number(id); ok {
		ids = append(ids, x.numbers, x.digits, x.tails)
		keys = append(keys, n, n, n)
	}
	for k, by := range ids {
		if i, ok := by[keys[k]]; ok && i < 0 {
			return -1, fmt.Errorf("several images have the id %q: want file names", id)
		} else if ok {
			return int(i), nil
		}
	}
	return -1, nil
}
