package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// annotations are the annotation files of a data set of PASCAL VOC.
type annotations struct {
	*folder
	// ids are the names of the files without .xml, with slashes.
	ids []string
	// missing reports that the folder may lack files of ids, because these are of an image set.
	missing bool
	// images are folders in which the images may be, names what they may be called.
	images, names []string
}

var xmlExtension = []string{".xml"}

// openAnnotations returns the annotations in a folder, or nil if there are none.
func openAnnotations(dir string) (*annotations, error) {
	a := &annotations{folder: newFolder(dir, xmlExtension)}
	names, err := a.list("")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		id := stem(name, xmlExtension)
		if n := len(a.ids); n > 0 && a.ids[n-1] == id {
			return nil, &Error{File: filepath.Join(dir, name), Err: fmt.Errorf("has the same name as another annotation, %s: want one annotation per image", id)}
		}
		a.ids = append(a.ids, id)
	}
	if len(a.ids) == 0 {
		return nil, nil
	}
	a.images = imageFolders(dir, "", nil)
	return a, nil
}

// imageFolders returns folders in which the images of annotations in dir may be. root is the folder
// of the data set if that is known, names are what folders of the image set are called.
func imageFolders(dir, root string, names []string) []string {
	up := filepath.Join(dir, "..")
	list := []string{
		filepath.Join(up, "JPEGImages"), filepath.Join(up, "images"),
		dir, up, filepath.Join(dir, "images"), filepath.Join(dir, "JPEGImages"),
		filepath.Join(up, "Images"), filepath.Join(up, "imgs"), filepath.Join(up, "img"), filepath.Join(up, "..", "images"),
	}
	// The images of Annotations/DET/val are in Data/DET/val.
	below := ""
	for at, n := filepath.Clean(dir), 0; n < 4; n++ {
		name := filepath.Base(at)
		if strings.EqualFold(name, "annotations") {
			root = filepath.Dir(at)
			break
		}
		below = filepath.Join(name, below)
		at = filepath.Dir(at)
	}
	if root == "" {
		return list
	}
	for _, images := range append([]string{"Data", "data"}, general...) {
		for _, name := range append([]string{below, ""}, names...) {
			list = append(list, filepath.Join(root, images, name))
		}
	}
	return list
}

// openImageSet opens the images and annotations of an image set.
func openImageSet(file string, opts Options) (*Dataset, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := readLines(f)
	if err != nil {
		return nil, inFile(file, err)
	}
	root, _ := ImageSetRoot(file)
	names := setNames(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	if set := filepath.Base(filepath.Dir(file)); set != "ImageSets" {
		for _, name := range slices.Clone(names) {
			names = append(names, filepath.Join(set, name))
		}
		names = append(names, set)
	}

	var dirs []string
	for _, name := range append([]string{""}, names...) {
		dirs = append(dirs, filepath.Join(root, "Annotations", name))
	}
	o := opener{opts: opts, report: report{strict: opts.Strict}, annotations: &annotations{missing: true}}
	o.annotations.folder, err = o.bestFolder(dirs, xmlExtension, len(lines), func(f *folder, i int) bool {
		return slices.ContainsFunc(lines[i].forms(), func(id string) bool { return f.has(id) })
	})
	if err != nil {
		return nil, err
	}
	o.annotations.images, o.annotations.names = imageFolders(o.annotations.path, root, names), names
	o.images, err = o.bestFolder(o.imageFolders(), imageExtensions, len(lines), func(f *folder, i int) bool {
		return slices.ContainsFunc(lines[i].forms(), func(id string) bool { return f.has(id) })
	})
	if err != nil {
		return nil, err
	}
	if o.annotations.ids, err = o.resolve(lines); err != nil {
		return nil, inFile(file, err)
	}
	return o.open()
}

// openVOC opens the images of annotations.
func openVOC(a *annotations, opts Options) (*Dataset, error) {
	o := opener{opts: opts, report: report{strict: opts.Strict}, annotations: a}
	var err error
	o.images, err = o.bestFolder(o.imageFolders(), imageExtensions, len(a.ids), func(f *folder, i int) bool { return f.has(a.ids[i]) })
	if err != nil {
		return nil, err
	}
	return o.open()
}

// opener matches annotations with images.
type opener struct {
	opts Options
	report
	annotations *annotations
	images      *folder           // its path is empty if no image was found
	classes     map[string]string // one copy of each name
}

// has reports whether f contains the file of an id.
func (f *folder) has(id string) bool {
	file, _, err := f.find(id, "")
	return file != "" && err == nil
}

// imageFolders returns the folders in which to look for images.
func (o *opener) imageFolders() []string {
	if o.opts.Images != "" {
		return []string{o.opts.Images}
	}
	return o.annotations.images
}

// bestFolder returns the folder that has most of n files, or one without a path.
func (o *opener) bestFolder(dirs, extensions []string, n int, has func(f *folder, i int) bool) (*folder, error) {
	listed := map[string]*folder{}
	path, _ := best(dirs, min(n, probes), func(dir string) (found int) {
		f := newFolder(dir, extensions)
		listed[dir] = f
		probe(n, func(i int) {
			if has(f, i) {
				found++
			}
		})
		return found
	})
	if path == "" {
		return newFolder("", extensions), nil
	}
	return listed[path], nil
}

// open reads the annotations of o.annotations.ids and finds their images.
func (o *opener) open() (*Dataset, error) {
	if o.images.path == "" {
		if err := o.findByFileName(); err != nil {
			return nil, err
		}
	}
	d := &Dataset{Images: make([]Image, 0, len(o.annotations.ids)), Folder: o.images.path}
	if d.Folder == "" {
		d.Folder = o.opts.Images
	}
	o.classes = map[string]string{}
	annotated := make(map[string]int32, len(o.annotations.ids)) // by file
	for _, id := range o.annotations.ids {
		img, err := o.openImage(id)
		if err != nil {
			return nil, err
		}
		if img == nil {
			continue
		}
		if other, ok := annotated[img.File]; ok {
			return nil, inFile(o.annotationPath(id), fmt.Errorf("annotates %q, as %s does: want one annotation per image",
				img.File, o.annotationPath(d.Images[other].ID)))
		}
		annotated[img.File] = int32(len(d.Images))
		d.Images = append(d.Images, *img)
	}
	if len(d.Images) == 0 && len(o.skipped) > 0 {
		return nil, fmt.Errorf("no annotation is valid: %s", o.skipped[0])
	}
	d.Skipped, d.Warnings = o.skipped, o.warnings
	return d, nil
}

// annotationPath returns the path of the annotation of an id, for messages.
func (o *opener) annotationPath(id string) string {
	file, _, err := o.annotations.find(id, "")
	if err != nil || file == "" {
		file = id + ".xml"
	}
	return filepath.Join(o.annotations.path, filepath.FromSlash(file))
}

const (
	reasonNoAnnotation = "images of the set that have no annotation"
	reasonBadFile      = "annotation files that are invalid"
	reasonOtherName    = "annotations whose <filename> is not the name of the annotation, which decides"
	reasonByFileName   = "annotations whose image was found by <filename>, as none has the annotation's name"
)

// openImage returns the image of an id with its objects, or nil if it is skipped.
func (o *opener) openImage(id string) (*Image, error) {
	file, several, err := o.find(id, "")
	if err != nil {
		return nil, err
	}
	if o.opts.ImagesOnly && file != "" && !several {
		return &Image{File: file, ID: id}, nil
	}
	f, err := o.readAnnotation(id)
	switch {
	case err != nil && !o.opts.ImagesOnly:
		return nil, err
	case f == nil && o.opts.ImagesOnly:
		f = &vocFile{}
	case f == nil:
		return nil, nil
	}
	named := f.File
	f.ID = id
	if o.opts.ImagesOnly {
		f.Image = Image{ID: id}
	}
	switch {
	case file != "":
		if named != "" && path.Base(stem(named, imageExtensions)) != path.Base(stem(id, imageExtensions)) {
			o.note(reasonOtherName, o.annotationPath(id), fmt.Errorf("<filename> %q, the image is %q", named, file))
		}
		if several {
			if file, _, err = o.find(id, named); err != nil {
				return nil, err
			}
		}
	case named != "":
		if file, _, err = o.find(named, ""); err != nil {
			return nil, err
		}
		switch own := stem(file, imageExtensions); {
		case file == "":
			file = named // that it is missing is reported when it is read
		case own == id:
		case o.annotations.path != "" && o.annotations.has(own):
			file = stem(id, imageExtensions) + ".jpg" // the image is of the annotation with its name
			o.note(reasonOtherName, o.annotationPath(id), fmt.Errorf("<filename> %q, the image %q is missing", named, file))
		default:
			o.note(reasonByFileName, o.annotationPath(id), fmt.Errorf("image %q", file))
		}
	default:
		file = stem(id, imageExtensions) + ".jpg"
	}
	f.File = file
	for i := range f.Objects {
		// One copy of each name.
		object := &f.Objects[i]
		if _, ok := o.classes[object.Class]; !ok {
			o.classes[object.Class] = strings.Clone(object.Class)
		}
		object.Class = o.classes[object.Class]
	}
	return &f.Image, nil
}

// find returns the image of an id, or nothing; see [folder.find].
func (o *opener) find(id, preferred string) (file string, several bool, err error) {
	if o.images.path == "" {
		return "", false, nil
	}
	return o.images.find(id, preferred)
}

// readAnnotation reads the annotation of an id. It returns nil if it is skipped. If only images are
// wanted, errors are no obstacle.
func (o *opener) readAnnotation(id string) (*vocFile, error) {
	file, _, err := o.annotations.find(id, "")
	if err != nil {
		return nil, err
	}
	if file == "" || o.annotations.path == "" {
		if o.opts.ImagesOnly {
			return nil, nil
		}
		return nil, o.skip(reasonNoAnnotation, fmt.Sprintf("%q", id), errors.New("want "+filepath.Join("Annotations", filepath.FromSlash(id)+".xml")))
	}
	name := filepath.Join(o.annotations.path, filepath.FromSlash(file))
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	o.file = name
	defer func() { o.file = "" }()
	entries := &o.report
	if o.opts.ImagesOnly {
		entries = &report{}
	}
	f, err := readVOC(in, entries)
	if err == nil {
		return f, nil
	}
	e, ok := errors.AsType[*Error](err)
	if _, encoding := errors.AsType[*EncodingError](err); !ok || encoding || o.strict {
		return nil, inFile(name, err)
	}
	return nil, o.skip(reasonBadFile, "", e.Err)
}

// findByFileName chooses the folder of the images by the file names in the annotations.
func (o *opener) findByFileName() error {
	files := map[int]*vocFile{}
	dirs := o.imageFolders()
	quiet := opener{opts: Options{ImagesOnly: true}, annotations: o.annotations}
	probe(len(o.annotations.ids), func(i int) {
		f, err := quiet.readAnnotation(o.annotations.ids[i])
		if f == nil || err != nil {
			return
		}
		files[i] = f
		if o.opts.Images == "" && filepath.IsLocal(f.folder) {
			dirs = append(dirs, filepath.Join(o.annotations.path, "..", f.folder), filepath.Join(o.annotations.path, f.folder))
		}
	})
	has := func(f *folder, i int) bool {
		a := files[i]
		return f.has(o.annotations.ids[i]) || a != nil && a.File != "" && f.has(a.File)
	}
	var err error
	o.images, err = o.bestFolder(dirs, imageExtensions, len(o.annotations.ids), has)
	if err != nil || o.images.path != "" || o.opts.Images != "" || o.annotations.path == "" {
		return err
	}
	if dir := findBeside(o.annotations.path, o.annotations.names, func(dir string) (found int) {
		f := newFolder(dir, imageExtensions)
		probe(len(o.annotations.ids), func(i int) {
			if has(f, i) {
				found++
			}
		})
		return found
	}); dir != "" {
		o.images = newFolder(dir, imageExtensions)
	}
	return nil
}

// maxImageSet is the maximum length of an image set in bytes, enough for millions of images.
const maxImageSet = 64 << 20

// line is a line of an image set.
type line struct {
	text   string
	number int
}

// readLines returns the lines of an image set that are not empty.
func readLines(r io.Reader) ([]line, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxImageSet+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxImageSet {
		return nil, invalid("", fmt.Errorf("image set is longer than %d bytes", maxImageSet))
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(text, 0) >= 0 || len(text) > 0 && text[0] >= 0xfe {
		return nil, invalid("", &EncodingError{"UTF-16"})
	}
	var lines []line
	number := 0
	for l := range strings.Lines(string(text)) {
		number++
		l = strings.ReplaceAll(strings.TrimSpace(l), `\`, "/")
		if l == "" {
			continue
		}
		if id := (line{l, number}).forms()[0]; !filepath.IsLocal(filepath.FromSlash(id)) {
			return nil, invalid(fmt.Sprintf("line %d", number), fmt.Errorf("%.60q: want the name of an image, inside the folder of the images", l))
		}
		lines = append(lines, line{l, number})
	}
	return lines, nil
}

// maxForms bounds the forms of a line. A line of Oxford-IIIT Pet has three numbers.
const maxForms = 8

// forms returns the ids that a line may mean, in the order in which they are preferred. The line is
// an id, which may contain spaces and end with an extension of images. In the set of a class, a
// number follows, which says whether the image contains the class; other sets have several.
func (l line) forms() []string {
	var forms []string
	for text, ok := l.text, true; ok && len(forms) < maxForms; text, ok = withoutNumber(text) {
		for _, form := range []string{text, stem(text, imageExtensions)} {
			if !slices.Contains(forms, form) {
				forms = append(forms, form)
			}
		}
	}
	return forms
}

// withoutNumber returns a line without the number at its end. It reports false if there is none.
func withoutNumber(line string) (string, bool) {
	at := strings.LastIndexAny(line, " \t")
	if at < 0 || !isInteger([]byte(line[at+1:])) {
		return line, false
	}
	return strings.TrimSpace(line[:at]), true
}

// resolve returns the ids of the lines: the first form that is the name of an annotation, otherwise
// of an image, otherwise the line without the number and the extension.
func (o *opener) resolve(lines []line) ([]string, error) {
	ids := make([]string, 0, len(lines))
	first := make(map[string]int, len(lines))
	for _, l := range lines {
		id, err := o.resolveLine(l)
		if err != nil {
			return nil, err
		}
		if at, ok := first[id]; ok {
			return nil, invalid(fmt.Sprintf("line %d", l.number), fmt.Errorf("%q is a duplicate of line %d", id, at))
		}
		first[id] = l.number
		ids = append(ids, id)
	}
	return ids, nil
}

func (o *opener) resolveLine(l line) (string, error) {
	forms := l.forms()
	if o.annotations.path != "" {
		for _, form := range forms {
			if file, _, err := o.annotations.find(form, ""); file != "" || err != nil {
				if file == path.Clean(form) { // the line is the name of the annotation file
					form = stem(form, xmlExtension)
				}
				return form, err
			}
		}
	}
	for _, form := range forms {
		if file, _, err := o.find(form, ""); file != "" || err != nil {
			return stem(form, imageExtensions), err
		}
	}
	id, _ := withoutNumber(l.text)
	return stem(id, imageExtensions), nil
}
