package dataset

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
)

// maxAnnotation is the maximum length of an annotation file in bytes, enough for ten thousand
// objects.
const maxAnnotation = 4 << 20

// vocAnnotation is the part of an annotation file that is read. Objects may have parts, whose boxes
// are nested more deeply and are ignored.
type vocAnnotation struct {
	XMLName xml.Name `xml:"annotation"`
	File    string   `xml:"filename"`
	Width   string   `xml:"size>width"`
	Height  string   `xml:"size>height"`
	Objects []struct {
		Name      string `xml:"name"`
		Difficult string `xml:"difficult"`
		Box       *struct {
			XMin string `xml:"xmin"`
			YMin string `xml:"ymin"`
			XMax string `xml:"xmax"`
			YMax string `xml:"ymax"`
		} `xml:"bndbox"`
	} `xml:"object"`
}

// ReadVOC reads the annotation of one image in the format of PASCAL VOC, of at most 4 MiB. Boxes in
// the file are inclusive and count pixels from 1: the box 1, 1, 2, 3 becomes [0,2) × [0,3). File is
// as the annotation gives it, possibly empty, and ID is empty. Errors are of type *[Error], or
// those of r.
func ReadVOC(r io.Reader) (*Image, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnnotation+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxAnnotation {
		return nil, invalid("", fmt.Errorf("annotation is longer than %d bytes", maxAnnotation))
	}
	var a vocAnnotation
	if err := xml.Unmarshal(text, &a); err != nil {
		return nil, invalid("", err)
	}
	img := &Image{File: strings.TrimSpace(a.File)}
	if img.File != "" {
		err = checkFile(img.File)
	}
	for _, side := range []struct {
		text string
		into *int
	}{{a.Width, &img.Width}, {a.Height, &img.Height}} {
		if text := strings.TrimSpace(side.text); text != "" && err == nil {
			if *side.into, err = strconv.Atoi(text); err != nil {
				err = fmt.Errorf("size %q: want a number of pixels", text)
			}
		}
	}
	if err = errors.Join(err, checkSize(img.Width, img.Height)); err != nil {
		return nil, invalid("", err)
	}
	for i, o := range a.Objects {
		entry := fmt.Sprintf("object %d", i+1)
		name, difficult := strings.TrimSpace(o.Name), strings.TrimSpace(o.Difficult)
		switch {
		case name == "":
			return nil, invalid(entry, errors.New("want a name"))
		case o.Box == nil:
			return nil, invalid(entry, errors.New("want a bndbox"))
		case difficult != "" && difficult != "0" && difficult != "1":
			return nil, invalid(entry, fmt.Errorf("difficult %q: want 0 or 1", difficult))
		}
		var v [4]float64
		for j, text := range []string{o.Box.XMin, o.Box.YMin, o.Box.XMax, o.Box.YMax} {
			if v[j], err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil || math.IsNaN(v[j]) {
				return nil, invalid(entry, fmt.Errorf("%q in bndbox: want four numbers, xmin, ymin, xmax and ymax", text))
			}
		}
		object := Object{
			X0: v[0] - 1, Y0: v[1] - 1, X1: v[2], Y1: v[3],
			Class: name, Difficult: difficult == "1",
		}
		if err := object.checkBox(); err != nil {
			return nil, invalid(entry, err)
		}
		object.Area = object.BoxArea()
		img.Objects = append(img.Objects, object)
	}
	return img, nil
}

// ImageSetRoot returns the folder of the data set that an image set of PASCAL VOC belongs to, such
// as VOC2007 for VOC2007/ImageSets/Main/val.txt. It reports false for a file that is not in
// ImageSets or a folder in it.
func ImageSetRoot(path string) (folder string, ok bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	sets := filepath.Dir(path)
	if filepath.Base(sets) != "ImageSets" {
		sets = filepath.Dir(sets)
	}
	return filepath.Dir(sets), filepath.Base(sets) == "ImageSets"
}

// maxImageSet is the maximum length of an image set in bytes, enough for millions of images.
const maxImageSet = 64 << 20

// ReadImageSet reads an image set of PASCAL VOC, of at most 64 MiB, and returns the ids of its
// images: the first word of each line. The sets of a class have a second word, which says whether
// the image contains the class; ReadImageSet ignores it. Errors are of type *[Error], or those of
// r.
func ReadImageSet(r io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxImageSet+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxImageSet {
		return nil, invalid("", fmt.Errorf("image set is longer than %d bytes", maxImageSet))
	}
	var ids []string
	lines := map[string]int{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		id, entry := words[0], fmt.Sprintf("line %d", number)
		if filepath.Base(id) != id || !filepath.IsLocal(id) {
			return nil, invalid(entry, fmt.Errorf("%q: want the name of an image without its extension", id))
		}
		if first, ok := lines[id]; ok {
			return nil, invalid(entry, fmt.Errorf("%q is a duplicate of line %d", id, first))
		}
		lines[id] = number
		ids = append(ids, strings.Clone(id))
	}
	return ids, nil
}
