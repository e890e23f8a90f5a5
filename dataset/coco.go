package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxEntry is the maximum length in bytes of an entry of an instances file. Most of an annotation
// is its outline, which is skipped; the longest annotation of COCO has less than 1 MiB.
const maxEntry = 16 << 20

// The entries of an instances file. Required fields are pointers or slices, so that a missing field
// is distinguishable from zero.
type (
	cocoImage struct {
		ID            *int64  `json:"id"`
		File          *string `json:"file_name"`
		Width, Height int
	}
	cocoCategory struct {
		ID   *int64  `json:"id"`
		Name *string `json:"name"`
	}
	cocoAnnotation struct {
		Image    *int64     `json:"image_id"`
		Category *int64     `json:"category_id"`
		Box      []*float64 `json:"bbox"` // x, y, width, height
		Crowd    int        `json:"iscrowd"`
		Area     *float64   `json:"area"`
	}
)

// annotation is an object whose image and category may follow later in the file.
type annotation struct {
	image, category int64
	object          Object
}

// ReadCOCO reads an instances file of COCO (cocodataset.org/#format-data): the boxes, not the
// outlines. It needs memory for the result and for one entry, of at most 16 MiB. Errors are of type
// *[Error], or those of r.
func ReadCOCO(r io.Reader) (*Dataset, error) {
	c := cocoReader{categories: map[int64]string{}, indices: map[int64]int{}}
	in := &boundedReader{r: r}
	c.dec = json.NewDecoder(in)
	in.dec = c.dec
	if err := c.read(); err != nil {
		if in.err != nil {
			return nil, in.err // the decoder may report it as invalid JSON
		}
		return nil, err
	}
	return c.dataset()
}

type cocoReader struct {
	dec         *json.Decoder
	images      []Image
	indices     map[int64]int // in images, by id
	categories  map[int64]string
	annotations []annotation
}

// boundedReader fails if an entry that the decoder reads exceeds maxEntry.
type boundedReader struct {
	r    io.Reader
	dec  *json.Decoder
	read int64
	err  error
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if at := r.dec.InputOffset(); r.read-at > maxEntry {
		r.err = &Error{Err: fmt.Errorf("entry at byte %d is longer than %d bytes", at, maxEntry)}
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

var errNotCOCO = errors.New("want an object with images, annotations and categories (COCO instances)")

func (c *cocoReader) read() error {
	if t, err := c.dec.Token(); err != nil {
		return invalid("", err)
	} else if t != json.Delim('{') {
		return invalid("", errNotCOCO)
	}
	seen := map[string]bool{}
	for c.dec.More() {
		t, err := c.dec.Token()
		if err != nil {
			return invalid("", err)
		}
		key := t.(string) // the decoder returns only strings as keys
		var entry string
		var add func() error
		switch key {
		case "images":
			entry, add = "image", c.image
		case "annotations":
			entry, add = "annotation", c.annotation
		case "categories":
			entry, add = "category", c.category
		default:
			if err := c.skip(); err != nil {
				return invalid(key, err)
			}
			continue
		}
		if seen[key] {
			return invalid(key, errors.New("duplicate key"))
		}
		seen[key] = true
		if err := c.readList(key, entry, add); err != nil {
			return err
		}
	}
	if _, err := c.dec.Token(); err != nil { // the closing brace
		return invalid("", err)
	}
	if _, err := c.dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("", errors.New("data after the end of the object"))
	}
	if len(seen) != 3 {
		return invalid("", errNotCOCO)
	}
	return nil
}

// readList reads a list, calling add for each entry.
func (c *cocoReader) readList(key, entry string, add func() error) error {
	if t, err := c.dec.Token(); err != nil {
		return invalid(key, err)
	} else if t != json.Delim('[') {
		return invalid(key, errors.New("want an array"))
	}
	for n := 1; c.dec.More(); n++ {
		if err := add(); err != nil {
			return invalid(fmt.Sprintf("%s %d", entry, n), err)
		}
	}
	if _, err := c.dec.Token(); err != nil {
		return invalid(key, err)
	}
	return nil
}

// skip skips a value of any length, token by token.
func (c *cocoReader) skip() error {
	for depth := 0; ; {
		t, err := c.dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// invalid returns an *Error for an entry.
func invalid(entry string, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &Error{Entry: entry, Err: err}
}

func (c *cocoReader) image() error {
	var e cocoImage
	if err := c.dec.Decode(&e); err != nil {
		return err
	}
	if e.ID == nil || e.File == nil {
		return errors.New("want an id and a file_name")
	}
	if _, ok := c.indices[*e.ID]; ok {
		return fmt.Errorf("duplicate id %d", *e.ID)
	}
	if err := errors.Join(checkFile(*e.File), checkSize(e.Width, e.Height)); err != nil {
		return err
	}
	c.indices[*e.ID] = len(c.images)
	c.images = append(c.images, Image{File: *e.File, ID: strconv.FormatInt(*e.ID, 10), Width: e.Width, Height: e.Height})
	return nil
}

func (c *cocoReader) category() error {
	var e cocoCategory
	if err := c.dec.Decode(&e); err != nil {
		return err
	}
	if e.ID == nil || e.Name == nil {
		return errors.New("want an id and a name")
	}
	if _, ok := c.categories[*e.ID]; ok {
		return fmt.Errorf("duplicate id %d", *e.ID)
	}
	c.categories[*e.ID] = *e.Name
	return nil
}

func (c *cocoReader) annotation() error {
	var e cocoAnnotation
	if err := c.dec.Decode(&e); err != nil {
		return err
	}
	if e.Image == nil || e.Category == nil {
		return errors.New("want an image_id and a category_id")
	}
	if len(e.Box) != 4 {
		return fmt.Errorf("bbox of %d numbers: want x, y, width, height", len(e.Box))
	}
	for _, v := range e.Box {
		if v == nil {
			return errors.New("null in bbox: want x, y, width, height")
		}
	}
	x, y, width, height := *e.Box[0], *e.Box[1], *e.Box[2], *e.Box[3]
	a := annotation{*e.Image, *e.Category, Object{X0: x, Y0: y, X1: x + width, Y1: y + height, Difficult: e.Crowd != 0}}
	if err := a.object.checkBox(); err != nil {
		return err
	}
	a.object.Area = a.object.BoxArea()
	if e.Area != nil && *e.Area >= 0 {
		a.object.Area = *e.Area
	}
	c.annotations = append(c.annotations, a)
	return nil
}

// dataset combines the three lists.
func (c *cocoReader) dataset() (*Dataset, error) {
	files := make(map[string]bool, len(c.images))
	for i := range c.images {
		file := c.images[i].File
		if files[file] {
			return nil, invalid(fmt.Sprintf("image %d", i+1), fmt.Errorf("duplicate file_name %q", file))
		}
		files[file] = true
	}
	for i := range c.annotations {
		a := &c.annotations[i]
		at, ok := c.indices[a.image]
		if !ok {
			return nil, invalid(fmt.Sprintf("annotation %d", i+1), fmt.Errorf("unknown image_id %d", a.image))
		}
		if a.object.Class, ok = c.categories[a.category]; !ok {
			return nil, invalid(fmt.Sprintf("annotation %d", i+1), fmt.Errorf("unknown category_id %d", a.category))
		}
		c.images[at].Objects = append(c.images[at].Objects, a.object)
	}
	return &Dataset{Images: c.images}, nil
}
