package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/proposer/proposer/box"
)

// Object is what an annotator drew a box around. The box is half-open, in pixels,
// and may end between two of them; it may be empty, which no proposal ever finds.
type Object struct {
	X0, Y0, X1, Y1 float64
	Class          string
	// Difficult is VOC's difficult, or COCO's iscrowd: a box around many.
	Difficult bool
}

// Area is the number of pixels in the box.
func (o *Object) Area() float64 { return (o.X1 - o.X0) * (o.Y1 - o.Y0) }

// IoU is the intersection over the union. Products are rounded before they are added.
func (o *Object) IoU(b *box.Box) float64 {
	inter, area := o.shared(b)
	if inter == 0 {
		return 0 // also where one of the two is empty
	}
	return inter / (float64((o.X1-o.X0)*(o.Y1-o.Y0)) + area - inter)
}

// IoA is the part of a box that lies in the object, 0 of an empty one.
func (o *Object) IoA(b *box.Box) float64 {
	inter, area := o.shared(b)
	if inter == 0 {
		return 0
	}
	return inter / area
}

// shared is the area of the intersection, and the box's, which is above 0 if that is.
func (o *Object) shared(b *box.Box) (inter, area float64) {
	x0, y0, x1, y1 := float64(b.X0), float64(b.Y0), float64(b.X1), float64(b.Y1)
	w, h := min(o.X1, x1)-max(o.X0, x0), min(o.Y1, y1)-max(o.Y0, y0)
	if !(w > 0 && h > 0) {
		return 0, 0
	}
	return float64(w * h), float64((x1 - x0) * (y1 - y0))
}

// Image is a picture and the objects in it, of which there may be none.
type Image struct {
	// File is the picture's path below the pictures' folder.
	File string
	// ID is COCO's id of the picture, in decimal; VOC's is its annotation's name, without .xml.
	ID string
	// Width and Height are as the data set has them, 0 where it does not tell.
	Width, Height int
	Objects       []Object
}

// Dataset is pictures and what is in them: COCO's in the order of their file, VOC's
// in that of their image set or, without one, of their annotations' names.
type Dataset struct {
	Images []Image
	// Folder holds the pictures; empty if [Open] did not find them.
	Folder string
}

// Path is where a picture of the data set is.
func (d *Dataset) Path(img *Image) string { return filepath.Join(d.Folder, img.File) }

// Index tells the place of each picture in Images by its File and, where no other
// picture has the same, by its base name, which is what proposals are mostly known by.
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

// A Error says what is wrong with which entry of which file.
type Error struct {
	File  string // as it was opened; empty for a reader
	Entry string // as in "annotation 3", counted from 1; empty if it is the file itself
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

// ErrNoAnnotations is wrapped by the error for a folder in which [Open] finds no annotations.
var ErrNoAnnotations = errors.New("no annotations: want a COCO instances file (.json), a folder with instances.json " +
	"or with annotations/instances*.json, or one with Annotations/*.xml (PASCAL VOC) or its ImageSets/Main/*.txt")

// Open reads the data set at a path: COCO's instances as a .json file, or in a folder as
// instances.json or annotations/instances*.json; or PASCAL VOC's Annotations/*.xml below
// a folder, or *.xml in it, or those of an image set ([ImageSetRoot]). It looks for the
// pictures where such sets have them: in images, JPEGImages or a folder named like the
// instances file, below or beside it, or right there. Errors are *[Error].
func Open(path string) (*Dataset, error) {
	d, err := open(path)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{Err: err}
		}
		if e.File == "" {
			e.File = path
		}
		if p, ok := errors.AsType[*fs.PathError](e.Err); ok {
			e.File, e.Err = p.Path, p.Err // else it would be named twice
		}
		return nil, e
	}
	return d, nil
}

func open(path string) (*Dataset, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if strings.EqualFold(filepath.Ext(path), ".json") {
			return openCOCO(path)
		}
		if folder, ok := ImageSetRoot(path); ok {
			return openSet(path, filepath.Join(folder, "Annotations"))
		}
		return nil, ErrNoAnnotations
	}
	if file := filepath.Join(path, "instances.json"); regular(file) {
		return openCOCO(file)
	}
	files, err := list(filepath.Join(path, "annotations"), "instances", ".json")
	if err != nil {
		return nil, err
	}
	if len(files) > 1 {
		return nil, fmt.Errorf("%d sets of instances: want the path of one, as in %s", len(files), files[0])
	}
	if len(files) == 1 {
		return openCOCO(files[0])
	}
	for _, dir := range []string{filepath.Join(path, "Annotations"), path} {
		files, err := list(dir, "", ".xml")
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			return openVOC(dir, files)
		}
	}
	return nil, ErrNoAnnotations
}

func openCOCO(path string) (*Dataset, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := ReadCOCO(f)
	if err != nil {
		return nil, inFile(path, err)
	}
	// annotations/instances_val2017.json is of val2017.
	_, set, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), "_")
	d.find(filepath.Dir(path), set)
	return d, nil
}

func openSet(path, annotations string) (*Dataset, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ids, err := ReadImageSet(f)
	if err != nil {
		return nil, inFile(path, err)
	}
	files := make([]string, len(ids))
	for i, id := range ids {
		files[i] = filepath.Join(annotations, id+".xml")
	}
	return openVOC(annotations, files)
}

func openVOC(dir string, files []string) (*Dataset, error) {
	d := &Dataset{Images: make([]Image, 0, len(files))}
	named := make(map[string]string, len(files))
	classes := map[string]string{}
	for _, path := range files {
		img, err := openAnnotation(path)
		if err != nil {
			return nil, inFile(path, err)
		}
		if other, ok := named[img.File]; ok {
			return nil, inFile(path, fmt.Errorf("is of %q, as %s is: want one annotation a picture", img.File, other))
		}
		named[img.File] = path
		for i := range img.Objects {
			// One string a class: texts cut out of files keep these in memory.
			o := &img.Objects[i]
			if _, ok := classes[o.Class]; !ok {
				classes[o.Class] = strings.Clone(o.Class)
			}
			o.Class = classes[o.Class]
		}
		d.Images = append(d.Images, *img)
	}
	d.find(dir, "")
	return d, nil
}

func openAnnotation(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := ReadVOC(f)
	if err != nil {
		return nil, err
	}
	img.ID = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if img.File == "" {
		img.File = img.ID + ".jpg"
	}
	return img, nil
}

// inFile tells which file an error is of.
func inFile(path string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Err: err}
	}
	e.File = path
	return e
}

// list is the regular files of a folder, which need not exist, whose names begin and
// end so, in order.
func list(dir, prefix, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) && regular(path) {
			files = append(files, path)
		}
	}
	return files, nil
}

// regular tells whether a path is a file that ends, links followed.
func regular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// find looks for the pictures' folder from that of the annotations: a few of the first
// pictures have to be missing before another is tried.
func (d *Dataset) find(dir, set string) {
	up := filepath.Join(dir, "..")
	upper := filepath.Join(up, "..")
	for _, folder := range []string{
		filepath.Join(dir, set), filepath.Join(up, set), // dir and up if there is no name
		filepath.Join(dir, "images", set), filepath.Join(up, "images", set),
		filepath.Join(dir, "images"), filepath.Join(up, "images"),
		filepath.Join(dir, "JPEGImages"), filepath.Join(up, "JPEGImages"),
		dir, up, filepath.Join(upper, "images"),
	} {
		for i := range d.Images[:min(len(d.Images), 20)] {
			if regular(filepath.Join(folder, d.Images[i].File)) {
				d.Folder = folder
				return
			}
		}
	}
}

// far is farther from the origin than any pixel.
const far = math.MaxInt32

// checkBox refuses what is no box: corners in the wrong order, or that are no pixels.
func (o *Object) checkBox() error {
	for _, v := range []float64{o.X0, o.Y0, o.X1, o.Y1} {
		if !(math.Abs(v) <= far) {
			return fmt.Errorf("a corner at %g: want pixels, at most %d", v, far)
		}
	}
	if o.X1 < o.X0 || o.Y1 < o.Y0 {
		return fmt.Errorf("a box of %g × %g pixels: want no side below 0", o.X1-o.X0, o.Y1-o.Y0)
	}
	return nil
}

// checkFile refuses a picture that is not below the pictures' folder.
func checkFile(file string) error {
	if !filepath.IsLocal(file) {
		return fmt.Errorf("picture file %q: want a path below the pictures' folder", file)
	}
	return nil
}

func checkSides(width, height int) error {
	if width < 0 || height < 0 || width > far || height > far {
		return fmt.Errorf("a picture of %d × %d pixels: want sides from 0, not told, to %d", width, height, far)
	}
	return nil
}
