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

// maxAnnotation is the longest annotation of a picture, in bytes: of ten thousand objects.
const maxAnnotation = 4 << 20

// vocAnnotation is an annotation, as far as it is read. Objects may have parts with
// boxes of their own, which lie deeper and are not taken for the object's.
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

// ReadVOC reads the annotation of one picture in PASCAL VOC's form, of at most 4 MiB.
// VOC counts pixels from 1 and a box's last pixel is in it, so its box 1, 1, 2, 3 is
// [0,2) × [0,3). The picture's File is as the annotation names it, or empty. Errors are
// *[Error], or r's own.
func ReadVOC(r io.Reader) (*Image, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnnotation+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxAnnotation {
		return nil, broken("", fmt.Errorf("more than %d bytes: want no longer annotation", maxAnnotation))
	}
	var a vocAnnotation
	if err := xml.Unmarshal(text, &a); err != nil {
		return nil, broken("", err)
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
	if err = errors.Join(err, checkSides(img.Width, img.Height)); err != nil {
		return nil, broken("", err)
	}
	for i, o := range a.Objects {
		entry := fmt.Sprintf("object %d", i+1)
		name, difficult := strings.TrimSpace(o.Name), strings.TrimSpace(o.Difficult)
		switch {
		case name == "":
			return nil, broken(entry, errors.New("want a name"))
		case o.Box == nil:
			return nil, broken(entry, errors.New("want a bndbox"))
		case difficult != "" && difficult != "0" && difficult != "1":
			return nil, broken(entry, fmt.Errorf("difficult %q: want 0 or 1", difficult))
		}
		var v [4]float64
		for j, text := range []string{o.Box.XMin, o.Box.YMin, o.Box.XMax, o.Box.YMax} {
			if v[j], err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil || math.IsNaN(v[j]) {
				return nil, broken(entry, fmt.Errorf("%q in its bndbox: want four numbers, xmin, ymin, xmax, ymax", text))
			}
		}
		object := Object{v[0] - 1, v[1] - 1, v[2], v[3], name, difficult == "1"}
		if err := object.checkBox(); err != nil {
			return nil, broken(entry, err)
		}
		img.Objects = append(img.Objects, object)
	}
	return img, nil
}

// ImageSetRoot is the folder of PASCAL VOC that an image set belongs to: for a file in its
// ImageSets, or in a folder in that, as VOC2007/ImageSets/Main/val.txt is of VOC2007.
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

// maxSet is the longest image set, in bytes: of millions of pictures.
const maxSet = 64 << 20

// ReadImageSet reads an image set of PASCAL VOC, of at most 64 MiB: a picture a line, whose first
// word is its id. The sets of a class say by a second word whether it is in the picture: all
// of their pictures are read. Errors are *[Error], or r's own.
func ReadImageSet(r io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSet+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSet {
		return nil, broken("", fmt.Errorf("more than %d bytes: want no longer image set", maxSet))
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
			return nil, broken(entry, fmt.Errorf("%q: want a line to begin with the name of a picture, without its extension", id))
		}
		if first, ok := lines[id]; ok {
			return nil, broken(entry, fmt.Errorf("%q is in line %d, too: want each picture once", id, first))
		}
		lines[id] = number
		ids = append(ids, strings.Clone(id))
	}
	return ids, nil
}
