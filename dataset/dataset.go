// Package dataset reads the annotations of object-detection data sets: COCO's instances files and
// PASCAL VOC's XML files.
//
// [Open] reads a data set from a file or folder and finds its images:
//
//	data, err := dataset.Open("VOCdevkit/VOC2007", dataset.Options{})
//	...
//	for i := range data.Images {
//		img := &data.Images[i]
//		fmt.Println(data.Path(img), len(img.Objects))
//	}
//
// Dataset.Skipped counts the annotations that are invalid and were left out, and Dataset.Warnings
// those that were read and may be wrong.
//
// # Images and annotations
//
// An annotation of COCO names its image. The images are looked for in folders below the instances
// file and beside it, and in folders named images there: those named like the file or a part of its
// name (train2017 for instances_train2017.json, val2014 for instances_minival2014.json), then images,
// JPEGImages and the folder of the file itself. The folder that contains most of a sample of the
// images is taken. If none does, another folder beside the file is, if it is the only one that
// contains images of the file.
//
// In PASCAL VOC the name of an annotation, which is the id in an image set, decides which image it
// is of: the file with that name and one of [Extensions], in any case, in JPEGImages, images or
// another folder beside the annotations. The <filename> in the annotation counts only if there is no
// such image. A line of an image set may end with an extension, contain spaces and folders, and be
// followed by the number that the sets of a class have; it means what an annotation or an image is
// named.
//
// Names that lead out of the folder of the images are an error.
//
// # Hostile input
//
// Sizes are checked before memory is taken. Beyond the result, readers need memory of at most four
// times the size of the file.
package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/proposer/proposer/box"
)

// Object is an annotated object. Its box is half-open, in pixels of the upright image. Corners may
// have fractions, and the box may be empty, in which case its IoU with any box is 0.
type Object struct {
	X0, Y0, X1, Y1 float64
	Class          string
	// Difficult marks an object that is hard to recognize (difficult in PASCAL VOC, also in a file of
	// COCO's form that was made from it; COCOeval does not know that key) or a group of objects with
	// one box (iscrowd in COCO).
	Difficult bool
	// Area is the area in pixels by which the object is small, medium or large: that of the outline
	// in COCO, if the annotation gives it, otherwise that of the box.
	Area float64
}

// BoxArea returns the area of the box in pixels.
func (o *Object) BoxArea() float64 { return (o.X1 - o.X0) * (o.Y1 - o.Y0) }

// IoU returns the intersection over union of the object's box and b, or 0 if either is empty. The
// result is the same on all architectures.
func (o *Object) IoU(b *box.Box) float64 {
	return o.RectIoU(float64(b.X0), float64(b.Y0), float64(b.X1), float64(b.Y1))
}

// RectIoU is [Object.IoU] with the rectangle [x0,x1) × [y0,y1), whose corners may have fractions.
func (o *Object) RectIoU(x0, y0, x1, y1 float64) float64 {
	inter, area := o.intersection(x0, y0, x1, y1)
	if inter == 0 {
		return 0 // also if one of the boxes is empty
	}
	// The conversion rounds the product: without it a compiler may fuse the product with the sum.
	return inter / (float64((o.X1-o.X0)*(o.Y1-o.Y0)) + area - inter)
}

// IoA returns the fraction of b that lies in the object's box, or 0 if b is empty.
func (o *Object) IoA(b *box.Box) float64 {
	inter, area := o.intersection(float64(b.X0), float64(b.Y0), float64(b.X1), float64(b.Y1))
	if inter == 0 {
		return 0
	}
	return inter / area
}

// intersection returns the areas of the intersection and of the rectangle. The latter is positive if
// the former is.
func (o *Object) intersection(x0, y0, x1, y1 float64) (inter, area float64) {
	w, h := min(o.X1, x1)-max(o.X0, x0), min(o.Y1, y1)-max(o.Y0, y0)
	if !(w > 0 && h > 0) {
		return 0, 0
	}
	return float64(w * h), float64((x1 - x0) * (y1 - y0))
}

// Image is an image and its annotated objects.
type Image struct {
	// File is the path of the image relative to the folder of the images.
	File string
	// ID is the id in COCO, in decimal, or the name of the annotation file in PASCAL VOC, without
	// .xml.
	ID string
	// Width and Height are the size according to the annotations, 0 if they do not give it.
	Width, Height int
	Objects       []Object
	// TextID reports that the id is a text in COCO, not a number.
	TextID bool
}

// Dataset is a list of images with annotations. Images of COCO are in the order of the file. Those
// of PASCAL VOC are in the order of the image set or, without one, of the names of the annotations.
type Dataset struct {
	Images []Image
	// Folder is the folder of the images, or empty if [Open] did not find it.
	Folder string
	// Skipped counts what was invalid and was left out, by reason.
	Skipped []Skipped
	// Warnings counts what was read but may not be meant so, by reason.
	Warnings []Warning
}

// Path returns the path of an image of the data set.
func (d *Dataset) Path(img *Image) string {
	if filepath.IsAbs(img.File) {
		return img.File
	}
	return filepath.Join(d.Folder, img.File)
}

// Index returns the index in d.Images of each image by its File and, if it is unique, by the base
// name of File, which often identifies images in files of proposals.
func (d *Dataset) Index() map[string]int {
	index := make(map[string]int, len(d.Images))
	for i := range d.Images {
		name := filepath.Base(d.Images[i].File)
		if _, taken := index[name]; taken {
			i = -1
		}
		index[name] = i
	}
	for name, i := range index {
		if i < 0 {
			delete(index, name)
		}
	}
	for i := range d.Images {
		index[d.Images[i].File] = i
	}
	return index
}

// An Error reports an invalid data set.
type Error struct {
	File  string // path as it was opened; empty if the input was an io.Reader
	Entry string // such as "annotation 3", counted from 1; empty if the file as a whole is invalid
	Err   error
}

func (e *Error) Error() string {
	s := "dataset: "
	for _, part := range []string{e.File, e.Entry} {
		if part != "" {
			s += part + ": "
		}
	}
	return s + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ErrNoAnnotations is wrapped by the error of [Open] for a path without annotations.
var ErrNoAnnotations = errors.New("no annotations: want a COCO instances file (.json), a folder with instances.json " +
	"or annotations/instances*.json, or PASCAL VOC's Annotations/*.xml or ImageSets/Main/*.txt")

// Options configures [Open]. The zero value is the default.
type Options struct {
	// Images is the folder of the images. If it is empty, Open looks for it below the folder of the
	// annotations and beside it.
	Images string
	// ImagesOnly leaves out the objects. A file then needs images alone: objects and classes may be
	// missing or invalid.
	ImagesOnly bool
	// Strict makes an invalid annotation an error. By default it is skipped and counted.
	Strict bool
	// AbsolutePaths accepts absolute names of images.
	AbsolutePaths bool
	// FollowLinks accepts images that are links to files outside the folder of the images.
	FollowLinks bool
}

// Open reads the data set at path, which is one of:
//
//   - a COCO instances file (.json);
//   - a folder that contains instances.json or one annotations/instances*.json;
//   - a folder that contains PASCAL VOC annotations, as Annotations/*.xml, annotations/*.xml,
//     annotations/xmls/*.xml or *.xml;
//   - an image set of PASCAL VOC, such as VOC2007/ImageSets/Main/val.txt.
//
// See the package documentation for where the images are looked for and how they are matched with
// annotations. Errors are of type *[Error].
func Open(path string, opts Options) (*Dataset, error) {
	d, err := open(path, opts)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{Err: err}
		}
		if e.File == "" {
			e.File = path
		}
		if p, ok := errors.AsType[*fs.PathError](e.Err); ok {
			e.File, e.Err = p.Path, p.Err // the message would contain the path twice
		}
		return nil, e
	}
	return d, nil
}

func open(path string, opts Options) (*Dataset, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if opts.Images != "" {
		info, err := os.Stat(opts.Images)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, &Error{File: opts.Images, Err: errors.New("want the folder of the images")}
		}
	}
	if !info.IsDir() {
		if strings.EqualFold(filepath.Ext(path), ".json") {
			return openCOCO(path, opts)
		}
		if _, ok := ImageSetRoot(path); ok {
			return openImageSet(path, opts)
		}
		return nil, ErrNoAnnotations
	}
	if file := filepath.Join(path, "instances.json"); isRegular(file) {
		return openCOCO(file, opts)
	}
	files, err := listFiles(filepath.Join(path, "annotations"), "instances", ".json")
	if err != nil {
		return nil, err
	}
	if len(files) > 1 {
		return nil, fmt.Errorf("%d instances files: want the path of one of them, such as %s", len(files), files[0])
	}
	if len(files) == 1 {
		return openCOCO(files[0], opts)
	}
	for _, dir := range []string{"Annotations", "annotations", "annotations/xmls", ""} {
		dir = filepath.Join(path, dir)
		annotations, err := openAnnotations(dir)
		if err != nil {
			return nil, err
		}
		if annotations != nil {
			return openVOC(annotations, opts)
		}
	}
	return nil, ErrNoAnnotations
}

func openCOCO(path string, opts Options) (*Dataset, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, folders, err := readCOCO(f, opts)
	if err != nil {
		head := make([]byte, 64)
		n, readErr := f.ReadAt(head, 0)
		if readErr == nil || errors.Is(readErr, io.EOF) { // not for a pipe
			if reason := otherFile(head[:n]); reason != "" {
				err = errors.New(reason)
			}
		}
		return nil, inFile(path, err)
	}
	d.findCOCO(path, folders, opts.Images)
	return d, nil
}

// otherFile says what a file that is not JSON is, given its first bytes. The result is empty if they
// are those of JSON, or of no known kind.
func otherFile(head []byte) string {
	begins := func(prefix string) bool { return bytes.HasPrefix(head, []byte(prefix)) }
	switch {
	case len(head) == 0:
		return "the file is empty: want a COCO instances file"
	case begins("version https://git-lfs.github.com/spec/"):
		return "a Git LFS pointer, not the file: run git lfs pull"
	case begins("\x1f\x8b"), begins("PK\x03\x04"):
		return "a compressed file: unpack it first"
	case bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("<")):
		return "HTML or XML: want a COCO instances file (JSON)"
	}
	return ""
}

// inFile returns err as an *Error of a file.
func inFile(path string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Err: err}
	}
	if e.File == "" {
		e.File = path
	}
	return e
}

// listFiles returns the regular files of a folder whose names have the prefix and the suffix,
// sorted. A folder that does not exist has none.
func listFiles(dir, prefix, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) && isRegular(path) {
			files = append(files, path)
		}
	}
	return files, nil
}

// isRegular reports whether a path, or the target of the link at it, is a regular file.
func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// maxCoordinate bounds the coordinates of corners and the sides of images.
const maxCoordinate = math.MaxInt32

// checkBox returns an error if the corners are out of order or out of range.
func (o *Object) checkBox() error {
	for _, v := range []float64{o.X0, o.Y0, o.X1, o.Y1} {
		if !(math.Abs(v) <= maxCoordinate) {
			return fmt.Errorf("box coordinate %g: want a number of pixels, at most %d", v, maxCoordinate)
		}
	}
	if o.X1 < o.X0 || o.Y1 < o.Y0 {
		return fmt.Errorf("box of %g × %g pixels: want sides of 0 or more", o.X1-o.X0, o.Y1-o.Y0)
	}
	return nil
}

// checkFile returns an error unless file, with slashes, is a path inside the folder of the images or,
// if anywhere is set, an absolute path.
func checkFile(file string, anywhere bool) error {
	windows := len(file) > 2 && file[1] == ':' && file[2] == '/'
	switch {
	case strings.IndexByte(file, 0) >= 0:
	case anywhere || filepath.IsLocal(filepath.FromSlash(file)) && !windows:
		return nil
	case windows || path.IsAbs(file):
		return fmt.Errorf("image file %q: want a path inside the folder of the images, or --absolute-paths, or --images DIR to look for its last part in DIR", file)
	}
	return fmt.Errorf("image file %q: want a path inside the folder of the images, or --images DIR to look for its last part in DIR", file)
}
