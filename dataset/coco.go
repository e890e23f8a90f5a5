package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/internal/jsonscan"
)

// maxEntry is the maximum length in bytes of an entry of an instances file. Most of an annotation
// is its outline, which is skipped; the longest annotation of COCO has less than 1 MiB.
const maxEntry = 16 << 20

// unnamedClass is the class of all objects of a file without categories.
const unnamedClass = "object"

// ReadCOCO reads an instances file of COCO (cocodataset.org/#format-data), or a file of the same
// form: the boxes, not the outlines. It uses ImagesOnly, Strict and AbsolutePaths of the options. It
// needs memory for the result, for the boxes, and for one entry, of at most 16 MiB. Errors are of
// type *[Error], or those of r.
func ReadCOCO(r io.Reader, opts Options) (*Dataset, error) {
	d, _, err := readCOCO(r, opts)
	return d, err
}

// readCOCO returns the data set and, for each image whose name is the end of a URL, the folder in
// the URL. No folders are nil.
func readCOCO(r io.Reader, opts Options) (*Dataset, []string, error) {
	c := cocoReader{
		s: jsonscan.NewStream(r, maxEntry), opts: opts, report: report{strict: opts.Strict},
		texts: map[string]int64{}, categories: map[int64]*cocoCategory{}, folderNames: []string{""},
	}
	if err := c.read(); err != nil {
		return nil, nil, err
	}
	d, err := c.dataset()
	return d, c.folders, err
}

type cocoReader struct {
	s    *jsonscan.Stream
	opts Options
	report
	entry int // number of the entry that is read, from 1

	entries     blocks[cocoImage]
	images      []Image  // of the entries
	folders     []string // by image, see readCOCO
	categories  map[int64]*cocoCategory
	annotations blocks[cocoAnnotation]
	texts       map[string]int64 // ids that are texts
	textList    []string         // by id - firstText
	folderNames []string
	sorted      []*cocoAnnotation // workspace
}

type cocoImage struct {
	file          string
	id            int64 // see cocoReader.id; noID if there is none
	width, height int32
	at            int32 // index in images
	folder        uint8 // index in cocoReader.folderNames
	textID        bool
	cut           bool // file is the last part of a name that leads out of the folder
}

type cocoCategory struct {
	name      string
	ambiguous bool // several categories have the id
}

// cocoAnnotation is an annotation whose image and category may follow later in the file.
type cocoAnnotation struct {
	image, category, id int64
	x0, y0, x1, y1      float64
	area                float64
	entry               int32
	difficult           bool
}

var (
	errNotCOCO       = errors.New("want an object with images (COCO instances)")
	errNoAnnotations = errors.New("want an object with images and annotations (COCO instances)")
	errNotArray      = errors.New("want an array")
	errNotObject     = errors.New("want an object")
)

// read reads the file. The lists may have any order.
func (c *cocoReader) read() error {
	if b, err := c.s.Peek(); err != nil {
		return c.failed("", err)
	} else if b != '{' {
		return invalid("", errNotCOCO)
	}
	type list struct {
		entry string
		add   func(entry []byte) error
	}
	lists := map[string]list{"images": {"image", c.image}}
	if !c.opts.ImagesOnly {
		lists["annotations"] = list{"annotation", c.annotation}
		lists["categories"] = list{"category", c.category}
	}
	seen := map[string]bool{}
	err := c.s.Object(func(key string) error {
		list, ok := lists[key]
		if !ok {
			return c.failed(printableKey(key), c.s.Skip())
		}
		if seen[key] {
			return invalid(key, errors.New("duplicate key"))
		}
		seen[key] = true
		if b, err := c.s.Peek(); err == nil && b != '[' {
			return invalid(key, errNotArray)
		}
		c.entry = 0
		return c.failed(key, c.s.Array(func() error {
			c.entry++
			value, err := c.s.Value()
			if err != nil {
				return c.failed(fmt.Sprintf("%s %d", list.entry, c.entry), err)
			}
			return list.add(value)
		}))
	})
	if err == nil {
		err = c.s.End()
	}
	switch {
	case err != nil:
		return c.failed("", err)
	case !seen["images"]:
		return invalid("", errNotCOCO)
	case !seen["annotations"] && !c.opts.ImagesOnly:
		return invalid("", errNoAnnotations)
	}
	return nil
}

// failed returns an error of the stream as an *Error of an entry.
func (c *cocoReader) failed(entry string, err error) error {
	if errors.Is(err, jsonscan.ErrEncoding) {
		return invalid("", jsonscan.ErrEncoding)
	}
	if e, ok := errors.AsType[*jsonscan.SyntaxError](err); ok {
		if _, ok := errors.AsType[*Error](err); !ok {
			return invalid(entry, e)
		}
	}
	return err
}

// printableKey returns a name of the file for messages.
func printableKey(key string) string {
	if len(key) > 40 {
		key = key[:40] + "…"
	}
	return strings.Trim(strconv.Quote(key), `"`)
}

// invalid returns an *Error for an entry.
func invalid(entry string, err error) error { return &Error{Entry: entry, Err: err} }

// members calls f for each member of an object. Names are in quotes.
func members(object []byte, f func(name, value []byte)) bool {
	s := jsonscan.New(object)
	if !s.Consume('{') {
		return false
	}
	for !s.Consume('}') {
		name := s.Value()
		s.Consume(':')
		value := s.Value()
		s.Consume(',')
		if slices.Contains(name, '\\') {
			name = []byte(`"` + jsonscan.Unquote(name) + `"`)
		}
		f(name, value)
	}
	return true
}

// noID is the id of an entry that has none, firstText the first id that is a text.
const (
	noID      = math.MinInt64
	firstText = noID + 1
)

// maxIntegerID bounds the integers that are their own ids.
const maxIntegerID = 1 << 62

// id returns an id as an integer that is equal for equal ids. Ids are equal if they are
// the same whole number, however it is written, or the same text. It returns noID for a value that is
// neither a number nor a text.
func (c *cocoReader) id(token []byte) int64 {
	if n, ok := wholeNumber(token); ok {
		return n
	}
	var text string
	switch {
	case len(token) == 0:
		return noID
	case token[0] == '"':
		if text = jsonscan.Unquote(token); text == "" {
			return noID
		}
		if n, ok := wholeNumber([]byte(text)); ok && strconv.FormatInt(n, 10) == text {
			return n
		}
	case isInteger(token):
		text = string(token)
	default:
		v, err := strconv.ParseFloat(string(token), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return noID
		}
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
		text = strconv.FormatFloat(v, 'g', -1, 64)
	}
	id, ok := c.texts[text]
	if !ok {
		id = firstText + int64(len(c.texts))
		c.texts[text] = id
		c.textList = append(c.textList, text)
	}
	return id
}

// isInteger reports whether a number has neither a fraction nor an exponent.
func isInteger(token []byte) bool {
	if len(token) > 1 && token[0] == '-' {
		token = token[1:]
	}
	for _, b := range token {
		if b < '0' || b > '9' {
			return false
		}
	}
	return len(token) > 0
}

// wholeNumber parses an integer of which the amount is less than maxIntegerID.
func wholeNumber(token []byte) (n int64, ok bool) {
	if len(token) > 19 || !isInteger(token) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(token), 10, 64)
	return n, err == nil && n > -maxIntegerID && n < maxIntegerID
}

// number parses a number, which may be in quotes. It reports false for other values. It returns NaN
// and infinities for those of Python, and for numbers that are out of range.
func number(token []byte) (v float64, ok bool) {
	if len(token) > 1 && token[0] == '"' {
		token = token[1 : len(token)-1]
	}
	if n, ok := wholeNumber(token); ok && len(token) < 16 {
		return float64(n), true
	}
	switch string(token) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	for _, b := range token {
		if (b < '0' || b > '9') && b != '-' && b != '+' && b != '.' && b != 'e' && b != 'E' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(token), 64)
	return v, err == nil || errors.Is(err, strconv.ErrRange)
}

// clip returns a JSON value for messages.
func clip(token []byte) string {
	if len(token) == 0 {
		return "nothing"
	}
	if len(token) > 60 {
		return strings.ToValidUTF8(string(token[:60]), "?") + "…"
	}
	return strings.ToValidUTF8(string(token), "?")
}

func isNull(token []byte) bool { return len(token) == 0 || string(token) == "null" }

// maxFolders bounds the folders of URLs that are remembered. Those of COCO and LVIS are two.
const maxFolders = 100

// image reads an entry of images.
func (c *cocoReader) image(token []byte) error {
	var id, file, url, flickr, width, height []byte
	ok := members(token, func(name, value []byte) {
		switch string(name) {
		case `"id"`:
			id = value
		case `"file_name"`:
			file = value
		case `"coco_url"`:
			url = value
		case `"flickr_url"`:
			flickr = value
		case `"width"`:
			width = value
		case `"height"`:
			height = value
		}
	})
	entry := func() string { return fmt.Sprintf("image %d", c.entry) }
	if !ok {
		return c.skip("images that are not objects", entry(), fmt.Errorf("%s: %w", clip(token), errNotObject))
	}
	var img cocoImage
	var folder string
	img.file, folder = imageName(file, url, flickr)
	if img.file == "" {
		return c.skip("images without a file_name", entry(), errors.New("want a file_name, or a coco_url"))
	}
	if err := checkFile(img.file, c.opts.AbsolutePaths); err != nil {
		// A name of the machine of the annotator, such as C:\images\1.jpg.
		img.file, img.cut = fileName(img.file), true
		if c.opts.Images == "" || img.file == "" {
			return invalid(entry(), err)
		}
	}
	if img.id = c.id(id); img.id == noID {
		if err := c.warn("images without an id, which no annotation refers to", entry(), fmt.Errorf("id %s: want a number or a text", clip(id))); err != nil {
			return err
		}
	}
	img.textID = img.id != noID && id[0] == '"'
	w, okWidth := side(width)
	h, okHeight := side(height)
	img.width, img.height = int32(w), int32(h)
	if !okWidth || !okHeight {
		err := fmt.Errorf("image of %s × %s pixels: want sides from 0 (unknown) to %d", clip(width), clip(height), maxCoordinate)
		if err := c.warn("images of an invalid width or height, which counts as unknown", entry(), err); err != nil {
			return err
		}
	}
	at := slices.Index(c.folderNames, folder)
	if at < 0 && len(c.folderNames) < maxFolders {
		at = len(c.folderNames)
		c.folderNames = append(c.folderNames, folder)
	}
	img.folder = uint8(max(0, at))
	c.entries.add(img)
	return nil
}

// imageName returns the path of an image and, if that is the end of a URL, the last folder in the
// URL.
func imageName(file, url, flickr []byte) (name, folder string) {
	for i, token := range [][]byte{file, url, flickr} {
		if len(token) == 0 || token[0] != '"' {
			continue
		}
		name := jsonscan.Unquote(token)
		scheme, rest, isURL := strings.Cut(name, "://")
		if isURL = isURL && (scheme == "http" || scheme == "https"); !isURL {
			if name = strings.ReplaceAll(name, `\`, "/"); name == "" || i > 0 {
				continue
			}
			return name, ""
		}
		rest, _, _ = strings.Cut(rest, "?")
		_, rest, _ = strings.Cut(rest, "/") // without the host
		folder, name := path.Split(rest)
		if name == "" {
			continue
		}
		if i == 2 {
			return name, "" // Flickr's folders are not those of the data set
		}
		return name, path.Base(path.Clean("/" + folder)[1:])
	}
	return "", ""
}

// side returns a side of an image. Null, 0 and -1 are unknown sides, as is one that is missing. It
// reports false for a value that is not a side.
func side(token []byte) (int, bool) {
	if isNull(token) {
		return 0, true
	}
	v, ok := number(token)
	if !ok || v != math.Trunc(v) || v < -1 || v > maxCoordinate {
		return 0, false
	}
	return max(0, int(v)), true
}

// category reads an entry of categories.
func (c *cocoReader) category(token []byte) error {
	var id, name []byte
	ok := members(token, func(key, value []byte) {
		switch string(key) {
		case `"id"`:
			id = value
		case `"name"`:
			name = value
		}
	})
	entry := fmt.Sprintf("category %d", c.entry)
	if !ok {
		return c.skip("categories that are not objects", entry, fmt.Errorf("%s: %w", clip(token), errNotObject))
	}
	key := c.id(id)
	if key == noID {
		return c.skip("categories without an id", entry, fmt.Errorf("id %s: want a number or a text", clip(id)))
	}
	class := c.text(key)
	if len(name) > 0 && name[0] == '"' {
		class = jsonscan.Unquote(name)
	} else if err := c.warn("categories without a name, named by their id", entry, fmt.Errorf("name %s: want a text", clip(name))); err != nil {
		return err
	}
	other, ok := c.categories[key]
	if !ok {
		c.categories[key] = &cocoCategory{name: class}
		return nil
	}
	if other.name == class {
		return nil
	}
	other.ambiguous = true
	return c.warn("categories of an id that another category has", entry, fmt.Errorf("%q has the id %s of %q", class, c.text(key), other.name))
}

// annotation reads an entry of annotations.
func (c *cocoReader) annotation(token []byte) error {
	var id, image, category, bbox, crowd, difficult, area []byte
	ok := members(token, func(name, value []byte) {
		switch string(name) {
		case `"id"`:
			id = value
		case `"image_id"`:
			image = value
		case `"category_id"`:
			category = value
		case `"bbox"`:
			bbox = value
		case `"iscrowd"`:
			crowd = value
		case `"difficult"`:
			difficult = value
		case `"area"`:
			area = value
		}
	})
	skip := func(reason string, err error) error {
		return c.skip(reason, fmt.Sprintf("annotation %d", c.entry), err)
	}
	if !ok {
		return skip("annotations that are not objects", fmt.Errorf("%s: %w", clip(token), errNotObject))
	}
	a := cocoAnnotation{entry: int32(min(c.entry, math.MaxInt32))}
	if a.image = c.id(image); a.image == noID {
		return skip("annotations without an image_id", fmt.Errorf("image_id %s: want the id of an image", clip(image)))
	}
	if a.category = c.id(category); a.category == noID && !isNull(category) {
		return skip("annotations without a category_id", fmt.Errorf("category_id %s: want the id of a category", clip(category)))
	}
	if a.id, ok = wholeNumber(id); !ok {
		a.id = noID // it is of no use but to find repeated annotations
	}
	if a.difficult, ok = truth(crowd); !ok {
		return skip("annotations whose iscrowd is invalid", fmt.Errorf("iscrowd %s: want 0 or 1", clip(crowd)))
	}
	// COCO has no such key; converters of PASCAL VOC write it, and others what they like.
	if yes, ok := truth(difficult); ok && yes {
		a.difficult = true
	}
	if reason, err := a.setBox(bbox); err != nil {
		return skip(reason, err)
	}
	a.area = (a.x1 - a.x0) * (a.y1 - a.y0)
	if !isNull(area) {
		v, ok := number(area)
		if ok && v >= 0 && v <= math.MaxFloat64 {
			a.area = v
		} else if err := c.warn("annotations of an invalid area, for which that of the box is taken",
			fmt.Sprintf("annotation %d", c.entry), fmt.Errorf("area %s: want a number of pixels", clip(area))); err != nil {
			return err
		}
	}
	c.annotations.add(a)
	return nil
}

// truth reads a number or a boolean that says whether something is so. Without a value it is not.
func truth(token []byte) (yes, ok bool) {
	switch string(token) {
	case "", "null", "false":
		return false, true
	case "true":
		return true, true
	}
	v, ok := number(token)
	return v != 0, ok && !math.IsNaN(v)
}

// setBox sets the corners to those of a bbox. If it is invalid, setBox returns an error and the
// reason to skip it.
func (a *cocoAnnotation) setBox(bbox []byte) (reason string, err error) {
	if isNull(bbox) {
		return "annotations without a bbox", errors.New("want a bbox of x, y, width, height")
	}
	var v [4]float64
	s := jsonscan.New(bbox)
	n, numbers := 0, true
	if err := s.Array(func() error {
		f, ok := number(s.Value())
		if n < 4 {
			v[n] = f
		}
		n++
		numbers = numbers && ok
		return nil
	}); err != nil || n != 4 || !numbers {
		return "annotations whose bbox is not four numbers", fmt.Errorf("bbox %s: want x, y, width, height", clip(bbox))
	}
	for _, f := range v {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return "annotations whose bbox is not finite", fmt.Errorf("bbox %s: want finite numbers", clip(bbox))
		}
	}
	o := Object{X0: v[0], Y0: v[1], X1: v[0] + v[2], Y1: v[1] + v[3]}
	if v[2] < 0 || v[3] < 0 {
		return reasonNegative, fmt.Errorf("bbox %s: want sides of 0 or more", clip(bbox))
	}
	if err := o.checkBox(); err != nil {
		return reasonFar, err
	}
	a.x0, a.y0, a.x1, a.y1 = o.X0, o.Y0, o.X1, o.Y1
	return "", nil
}

const (
	reasonNegative = "annotations with a negative side"
	reasonFar      = "annotations with coordinates out of range"
)

// dataset combines the three lists.
func (c *cocoReader) dataset() (*Dataset, error) {
	if i := slices.IndexFunc(c.skipped, func(s Skipped) bool { return strings.HasPrefix(s.Reason, "images") }); i >= 0 && c.entries.len() == 0 {
		return nil, invalid("", fmt.Errorf("no image is valid: %s", c.skipped[i]))
	}
	merged, err := c.mergeImages()
	if err != nil {
		return nil, err
	}
	byID, err := c.indexImages()
	if err != nil {
		return nil, err
	}
	c.entries.list = nil
	if !c.opts.ImagesOnly {
		if err := c.assign(byID, merged); err != nil {
			return nil, err
		}
	}
	return &Dataset{Images: c.images, Skipped: c.skipped, Warnings: c.warnings}, nil
}

// mergeImages makes one image of the entries with the same file, and returns which images were
// merged.
func (c *cocoReader) mergeImages() (merged map[int32]bool, err error) {
	merged = map[int32]bool{}
	byFile := make(map[string]*cocoImage, c.entries.len())
	n, hasFolder := int32(0), false
	for e := range c.entries.all() {
		hasFolder = hasFolder || e.folder > 0
		file := path.Clean(e.file)
		first, again := byFile[file]
		if !again {
			byFile[file] = e
			e.at = n
			n++
			continue
		}
		if first.cut || e.cut {
			return nil, invalid(fmt.Sprintf("image %q", e.file), errors.New("several images have this name without their folders: want names inside the folder of the images"))
		}
		e.at = first.at
		merged[e.at] = true
		err := fmt.Errorf("ids %s and %s", orNone(c.text(first.id)), orNone(c.text(e.id)))
		if err := c.warn("images that repeat a file_name and were merged with the first", fmt.Sprintf("image %q", e.file), err); err != nil {
			return nil, err
		}
		if first.width == 0 || first.height == 0 {
			first.width, first.height = e.width, e.height
		}
	}
	clear(byFile)
	if n > 0 {
		c.images = make([]Image, n)
	}
	if hasFolder {
		c.folders = make([]string, n)
	}
	for e := range c.entries.all() {
		if img := &c.images[e.at]; img.File == "" { // the first of its file
			*img = Image{File: e.file, ID: c.text(e.id), TextID: e.textID, Width: int(e.width), Height: int(e.height)}
			if hasFolder {
				c.folders[e.at] = c.folderNames[e.folder]
			}
		}
	}
	return merged, nil
}

// indexImages returns the indices of the images by id. Different images with the same id are an
// error unless objects, which could be of either, are left out.
func (c *cocoReader) indexImages() (byID map[int64]int32, err error) {
	byID = make(map[int64]int32, c.entries.len())
	for e := range c.entries.all() {
		if e.id == noID {
			continue
		}
		other, taken := byID[e.id]
		if !taken {
			byID[e.id] = e.at
		}
		if !taken || other == e.at {
			continue
		}
		entry := fmt.Sprintf("image %q", e.file)
		if !c.opts.ImagesOnly {
			return nil, invalid(entry, fmt.Errorf("duplicate id %s, which %q has", c.text(e.id), c.images[other].File))
		}
		if err := c.warn("images of an id that another image has", entry, fmt.Errorf("id %s, as %q", c.text(e.id), c.images[other].File)); err != nil {
			return nil, err
		}
	}
	return byID, nil
}

func orNone(id string) string {
	if id == "" {
		return "(none)"
	}
	return id
}

// assign appends to each image its objects, in the order of the file.
func (c *cocoReader) assign(byID map[int64]int32, merged map[int32]bool) error {
	// The image of each annotation takes the place of its id.
	counts := make([]int32, len(c.images)+1)
	for a := range c.annotations.all() {
		at, ok := byID[a.image]
		if reason := c.unassignable(a, ok); reason != "" {
			image := a.image
			a.image = -1
			if c.again(reason) {
				continue
			}
			err := fmt.Errorf("image_id %s, category_id %s: want the ids of an image and of a category", orNone(c.text(image)), orNone(c.text(a.category)))
			if err := c.skip(reason, fmt.Sprintf("annotation %d", a.entry), err); err != nil {
				return err
			}
			continue
		}
		a.image = int64(at)
		counts[at+1]++
	}

	// Sort the annotations by image.
	starts := counts
	for i := range c.images {
		starts[i+1] += starts[i]
	}
	order := make([]*cocoAnnotation, starts[len(c.images)])
	next := slices.Clone(starts)
	for a := range c.annotations.all() {
		if a.image >= 0 {
			order[next[a.image]] = a
			next[a.image]++
		}
	}
	objects := make([]Object, 0, len(order))
	for i := range c.images {
		first := len(objects)
		group, err := c.dropRepeated(order[starts[i]:starts[i+1]], merged[int32(i)])
		if err != nil {
			return err
		}
		for _, a := range group {
			class := unnamedClass
			if len(c.categories) > 0 {
				class = c.categories[a.category].name
			}
			objects = append(objects, Object{a.x0, a.y0, a.x1, a.y1, class, a.difficult, a.area})
		}
		if n := len(objects); n > first {
			c.images[i].Objects = objects[first:n:n]
		}
	}
	return c.checkIDs()
}

// unassignable returns the reason to skip an annotation, or nothing.
func (c *cocoReader) unassignable(a *cocoAnnotation, knownImage bool) (reason string) {
	class, knownCategory := c.categories[a.category]
	switch {
	case !knownImage:
		return "annotations of an unknown image_id"
	case len(c.categories) == 0:
		return "" // all are of one class
	case !knownCategory:
		return "annotations of an unknown category_id"
	case class.ambiguous:
		return "annotations of a category_id that several categories have"
	}
	return ""
}

// text returns the text of an id, which is empty for noID.
func (c *cocoReader) text(id int64) string {
	switch {
	case id == noID:
		return ""
	case id <= -maxIntegerID:
		return c.textList[id-firstText]
	}
	return strconv.FormatInt(id, 10)
}

// checkIDs warns of annotations that have the id of another. Their objects are read all the same: in
// many data sets the ids restart in each image.
func (c *cocoReader) checkIDs() error {
	type entry struct {
		id int64
		n  int32
	}
	entries := make([]entry, 0, c.annotations.len())
	sorted := true
	for a := range c.annotations.all() {
		if a.image >= 0 && a.id != noID {
			sorted = sorted && (len(entries) == 0 || entries[len(entries)-1].id < a.id)
			entries = append(entries, entry{a.id, a.entry})
		}
	}
	if sorted {
		return nil
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.n, b.n)) })
	count, first := 0, entry{n: math.MaxInt32}
	for i := 1; i < len(entries); i++ {
		if entries[i].id == entries[i-1].id {
			count++
			if entries[i].n < first.n {
				first = entries[i]
			}
		}
	}
	if count == 0 {
		return nil
	}
	err := c.warn("annotations of an id that another annotation has", fmt.Sprintf("annotation %d", first.n), fmt.Errorf("id %s", c.text(first.id)))
	if err == nil {
		c.warnings[len(c.warnings)-1].Count = count
	}
	return err
}

// dropRepeated removes the annotations of an image that repeat another of them: with the same id,
// category and box or, if anyID is set, with any id.
func (c *cocoReader) dropRepeated(group []*cocoAnnotation, anyID bool) ([]*cocoAnnotation, error) {
	compare := func(a, b *cocoAnnotation) int {
		if !anyID {
			if r := cmp.Compare(a.id, b.id); r != 0 {
				return r
			}
		}
		return cmp.Or(cmp.Compare(a.category, b.category), cmp.Compare(a.x0, b.x0), cmp.Compare(a.y0, b.y0), cmp.Compare(a.x1, b.x1), cmp.Compare(a.y1, b.y1),
			cmp.Compare(boolNumber(a.difficult), boolNumber(b.difficult)))
	}
	if len(group) < 2 {
		return group, nil
	}
	c.sorted = append(c.sorted[:0], group...)
	slices.SortFunc(c.sorted, func(a, b *cocoAnnotation) int { return cmp.Or(compare(a, b), cmp.Compare(a.entry, b.entry)) })
	found := false
	for i, a := range c.sorted {
		if i > 0 && (anyID || a.id != noID) && compare(c.sorted[i-1], a) == 0 {
			a.image = -1
			found = true
		}
	}
	if !found {
		return group, nil
	}
	kept := group[:0]
	for _, a := range group {
		if a.image >= 0 {
			kept = append(kept, a)
			continue
		}
		const reason = "annotations that repeat another of the same image"
		if c.again(reason) {
			continue
		}
		if err := c.skip(reason, fmt.Sprintf("annotation %d", a.entry), fmt.Errorf("id %s", orNone(c.text(a.id)))); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

func boolNumber(b bool) int {
	if b {
		return 1
	}
	return 0
}

// blocks is a list that is never copied when it grows.
type blocks[T any] struct {
	list [][]T
}

func (b *blocks[T]) add(v T) {
	const size = 4096
	last := len(b.list) - 1
	if last < 0 || len(b.list[last]) == size {
		b.list = append(b.list, make([]T, 0, size))
		last++
	}
	b.list[last] = append(b.list[last], v)
}

func (b *blocks[T]) len() int {
	n := 0
	for _, block := range b.list {
		n += len(block)
	}
	return n
}

func (b *blocks[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, block := range b.list {
			for i := range block {
				if !yield(&block[i]) {
					return
				}
			}
		}
	}
}
