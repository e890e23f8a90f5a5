package dataset

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// maxAnnotation is the maximum length of an annotation file in bytes, enough for ten thousand
// objects.
const maxAnnotation = 4 << 20

// vocObject is the part of an object that is read. Objects may have parts, whose boxes are nested
// more deeply and are ignored.
type vocObject struct {
	Name      string `xml:"name"`
	Difficult string `xml:"difficult"`
	Box       *struct {
		XMin string `xml:"xmin"`
		YMin string `xml:"ymin"`
		XMax string `xml:"xmax"`
		YMax string `xml:"ymax"`
	} `xml:"bndbox"`
}

// vocFile is an annotation file.
type vocFile struct {
	Image
	folder string // where the image is, according to the file
}

// ReadVOC reads the annotation of one image in the format of PASCAL VOC, of at most 4 MiB, in UTF-8,
// US-ASCII, ISO-8859-1 or Windows-1252. Boxes in the file are inclusive and count pixels from 1: the
// box 1, 1, 2, 3 becomes [0,2) × [0,3). File is as the annotation gives it, without the folders of
// an absolute path, and possibly empty; ID is empty. All objects have to be valid; [Open] skips
// those that are not. Errors are of type *[Error], or those of r.
func ReadVOC(r io.Reader) (*Image, error) {
	f, err := readVOC(r, &report{strict: true})
	if err != nil {
		return nil, err
	}
	return &f.Image, nil
}

// readVOC reads an annotation and reports invalid objects.
func readVOC(r io.Reader, report *report) (*vocFile, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnnotation+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxAnnotation {
		return nil, invalid("", fmt.Errorf("annotation is longer than %d bytes", maxAnnotation))
	}
	if len(text) > 1 && (text[0] == 0 || text[1] == 0 || text[0] >= 0xfe) {
		return nil, invalid("", &EncodingError{"UTF-16"})
	}
	text, marked := bytes.CutPrefix(text, []byte("\xef\xbb\xbf"))
	v := vocReader{dec: xml.NewDecoder(bytes.NewReader(text)), report: report}
	v.dec.CharsetReader = charsetReader
	if marked { // the byte order mark is that of UTF-8, whatever is declared
		v.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	}
	if err := v.read(); err != nil {
		return nil, err
	}
	return &v.file, nil
}

// An EncodingError reports a text in an encoding that is not supported.
type EncodingError struct {
	Encoding string // as the text declares it
}

func (e *EncodingError) Error() string {
	return fmt.Sprintf("text is in the encoding %q: want UTF-8, US-ASCII, ISO-8859-1 or Windows-1252; convert it to UTF-8", e.Encoding)
}

// charsetReader returns a reader of UTF-8.
func charsetReader(charset string, in io.Reader) (io.Reader, error) {
	switch strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(charset)) {
	case "utf8", "unicode11utf8", "usascii", "ascii", "ansix3.41968", "iso646us":
		return in, nil // ASCII is UTF-8
	case "iso88591", "iso88591:1987", "latin1", "l1", "cp819", "ibm819":
		return charmap.ISO8859_1.NewDecoder().Reader(in), nil
	case "windows1252", "cp1252", "xcp1252", "ansi":
		return charmap.Windows1252.NewDecoder().Reader(in), nil
	}
	return nil, &EncodingError{charset}
}

type vocReader struct {
	dec    *xml.Decoder
	file   vocFile
	report *report
	object int // number of the object that is read, from 1
}

var errNotVOC = errors.New("want an annotation of PASCAL VOC (XML)")

func (v *vocReader) read() error {
	root, err := v.next()
	if err != nil {
		return invalid("", xmlError(err))
	}
	if root == nil || root.Name.Local != "annotation" {
		return invalid("", errNotVOC)
	}
	for {
		e, err := v.next()
		if err != nil {
			return invalid("", xmlError(err))
		}
		if e == nil {
			break
		}
		switch e.Name.Local {
		case "filename":
			err = v.dec.DecodeElement(&v.file.File, e)
		case "folder":
			err = v.dec.DecodeElement(&v.file.folder, e)
		case "size":
			err = v.readSize(e)
		case "object":
			err = v.readObject(e)
		default:
			err = v.dec.Skip()
		}
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			err = invalid("", xmlError(err))
		}
		if err != nil {
			return err
		}
	}
	for { // nothing may follow but comments
		t, err := v.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return invalid("", xmlError(err))
		}
		if _, ok := t.(xml.StartElement); ok {
			return invalid("", errNotVOC)
		}
	}
	v.file.File = fileName(v.file.File)
	v.file.folder = strings.TrimSpace(v.file.folder)
	return nil
}

// xmlError returns an error of the XML decoder in our words.
func xmlError(err error) error {
	if e, ok := errors.AsType[*EncodingError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return fmt.Errorf("invalid XML in line %d: %s", e.Line, e.Msg)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("invalid XML: unexpected end")
	}
	return fmt.Errorf("invalid XML: %w", err)
}

// next returns the next element inside the current one, or nil at its end.
func (v *vocReader) next() (*xml.StartElement, error) {
	for {
		t, err := v.dec.Token()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return &t, nil
		case xml.EndElement:
			return nil, nil
		}
	}
}

// fileName returns the name of an image file with slashes. Of paths that lead elsewhere, as on the
// machine of the annotator, it returns the last part.
func fileName(name string) string {
	name = strings.ReplaceAll(strings.TrimSpace(name), `\`, "/")
	if checkFile(name, false) != nil {
		name = path.Base(name)
	}
	if name == ".." || name == "." || checkFile(name, false) != nil {
		return ""
	}
	return name
}

func (v *vocReader) readSize(e *xml.StartElement) error {
	var size struct {
		Width  string `xml:"width"`
		Height string `xml:"height"`
	}
	if err := v.dec.DecodeElement(&size, e); err != nil {
		return err
	}
	var okWidth, okHeight bool
	v.file.Width, okWidth = side([]byte(strings.TrimSpace(size.Width)))
	v.file.Height, okHeight = side([]byte(strings.TrimSpace(size.Height)))
	if okWidth && okHeight {
		return nil
	}
	return v.report.warn("images of an invalid width or height, which counts as unknown", "",
		fmt.Errorf("size %.20q × %.20q: want numbers of pixels, at most %d", size.Width, size.Height, maxCoordinate))
}

func (v *vocReader) readObject(e *xml.StartElement) error {
	v.object++
	var o vocObject
	if err := v.dec.DecodeElement(&o, e); err != nil {
		return err
	}
	object, reason, err := o.parse()
	if err != nil {
		return v.report.skip(reason, fmt.Sprintf("object %d", v.object), err)
	}
	v.file.Objects = append(v.file.Objects, object)
	return nil
}

// parse returns the object. If it is invalid, parse returns an error and the reason to skip it.
func (o *vocObject) parse() (object Object, reason string, err error) {
	object.Class = strings.TrimSpace(o.Name)
	difficult := strings.TrimSpace(o.Difficult)
	switch {
	case object.Class == "":
		return object, "objects without a name", errors.New("want a name")
	case o.Box == nil:
		return object, "objects without a bndbox", errors.New("want a bndbox")
	}
	switch strings.ToLower(difficult) {
	case "", "0", "false", "unspecified":
	case "1", "true":
		object.Difficult = true
	default:
		return object, "objects whose difficult is invalid", fmt.Errorf("difficult %.20q: want 0 or 1", difficult)
	}
	var v [4]float64
	for i, text := range []string{o.Box.XMin, o.Box.YMin, o.Box.XMax, o.Box.YMax} {
		text = strings.TrimSpace(text)
		if v[i], err = strconv.ParseFloat(text, 64); err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(v[i]) || math.IsInf(v[i], 0) {
			return object, "objects whose bndbox is not four numbers", fmt.Errorf("%.20q in bndbox: want four numbers, xmin, ymin, xmax and ymax", text)
		}
	}
	object.X0, object.Y0, object.X1, object.Y1 = v[0]-1, v[1]-1, v[2], v[3]
	if object.X1 < object.X0 || object.Y1 < object.Y0 {
		return object, "objects with a negative side", fmt.Errorf("box of %g × %g pixels: want sides of 0 or more", object.X1-object.X0, object.Y1-object.Y0)
	}
	if err := object.checkBox(); err != nil {
		return object, "objects with coordinates out of range", err
	}
	object.Area = object.BoxArea()
	return object, "", nil
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
