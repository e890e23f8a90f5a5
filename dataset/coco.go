package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxEntry is the longest entry of an instances file, in bytes. Most of an annotation
// is its outline, which is not read; COCO's longest has less than 1 MiB.
const maxEntry = 16 << 20

// The entries of an instances file, as far as they are read. What must be there is a
// pointer, or a slice.
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
	}
)

// annotation is one that waits for the images and categories, which may come later.
type annotation struct {
	image, category int64
	object          Object
}

// ReadCOCO reads COCO's instances (cocodataset.org/#format-data): the boxes, not the
// outlines. It streams: memory is that of the result and one entry, of at most 16 MiB.
// Errors are *[Error], or r's own.
func ReadCOCO(r io.Reader) (*Dataset, error) {
	c := cocoReader{categories: map[int64]string{}, places: map[int64]int{}}
	in := &entryReader{r: r}
	c.dec = json.NewDecoder(in)
	in.dec = c.dec
	if err := c.read(); err != nil {
		if in.err != nil {
			return nil, in.err // not bad JSON, though the decoder may take it so
		}
		return nil, err
	}
	return c.dataset()
}

type cocoReader struct {
	dec         *json.Decoder
	images      []Image
	places      map[int64]int // in images, by id
	categories  map[int64]string
	annotations []annotation
}

// entryReader ends with an error where one entry goes on for too long.
type entryReader struct {
	r    io.Reader
	dec  *json.Decoder
	read int64
	err  error
}

func (r *entryReader) Read(p []byte) (int, error) {
	if at := r.dec.InputOffset(); r.read-at > maxEntry {
		r.err = &Error{Err: fmt.Errorf("an entry at byte %d of more than %d bytes: want no longer one", at, maxEntry)}
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

var errNotCOCO = errors.New("want an object with images, annotations and categories, as COCO's instances have")

func (c *cocoReader) read() error {
	if t, err := c.dec.Token(); err != nil {
		return broken("", err)
	} else if t != json.Delim('{') {
		return broken("", errNotCOCO)
	}
	seen := map[string]bool{}
	for c.dec.More() {
		t, err := c.dec.Token()
		if err != nil {
			return broken("", err)
		}
		key := t.(string) // the decoder lets nothing else be a key
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
				return broken(key, err)
			}
			continue
		}
		if seen[key] {
			return broken(key, errors.New("there twice: want them once"))
		}
		seen[key] = true
		if err := c.list(key, entry, add); err != nil {
			return err
		}
	}
	if _, err := c.dec.Token(); err != nil { // the closing brace
		return broken("", err)
	}
	if _, err := c.dec.Token(); !errors.Is(err, io.EOF) {
		return broken("", errors.New("goes on after the end of its object"))
	}
	if len(seen) != 3 {
		return broken("", errNotCOCO)
	}
	return nil
}

// list reads a list entry by entry.
func (c *cocoReader) list(key, entry string, add func() error) error {
	if t, err := c.dec.Token(); err != nil {
		return broken(key, err)
	} else if t != json.Delim('[') {
		return broken(key, errors.New("want a list"))
	}
	for n := 1; c.dec.More(); n++ {
		if err := add(); err != nil {
			return broken(fmt.Sprintf("%s %d", entry, n), err)
		}
	}
	if _, err := c.dec.Token(); err != nil {
		return broken(key, err)
	}
	return nil
}

// skip passes over a value, token by token, however long it is.
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

// broken says where the file is wrong.
func broken(entry string, err error) error {
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
	if _, ok := c.places[*e.ID]; ok {
		return fmt.Errorf("id %d: another image has it", *e.ID)
	}
	if err := errors.Join(checkFile(*e.File), checkSides(e.Width, e.Height)); err != nil {
		return err
	}
	c.places[*e.ID] = len(c.images)
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
		return fmt.Errorf("id %d: another category has it", *e.ID)
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
		return fmt.Errorf("a bbox of %d numbers: want x, y, width, height", len(e.Box))
	}
	for _, v := range e.Box {
		if v == nil {
			return errors.New("null in its bbox: want x, y, width, height")
		}
	}
	x, y, width, height := *e.Box[0], *e.Box[1], *e.Box[2], *e.Box[3]
	a := annotation{*e.Image, *e.Category, Object{X0: x, Y0: y, X1: x + width, Y1: y + height, Difficult: e.Crowd != 0}}
	if err := a.object.checkBox(); err != nil {
		return err
	}
	c.annotations = append(c.annotations, a)
	return nil
}

// dataset brings the three lists together.
func (c *cocoReader) dataset() (*Dataset, error) {
	files := make(map[string]bool, len(c.images))
	for i := range c.images {
		file := c.images[i].File
		if files[file] {
			return nil, broken(fmt.Sprintf("image %d", i+1), fmt.Errorf("file_name %q: another image has it", file))
		}
		files[file] = true
	}
	for i := range c.annotations {
		a := &c.annotations[i]
		at, ok := c.places[a.image]
		if !ok {
			return nil, broken(fmt.Sprintf("annotation %d", i+1), fmt.Errorf("image_id %d: no image has that id", a.image))
		}
		if a.object.Class, ok = c.categories[a.category]; !ok {
			return nil, broken(fmt.Sprintf("annotation %d", i+1), fmt.Errorf("category_id %d: no category has that id", a.category))
		}
		c.images[at].Objects = append(c.images[at].Objects, a.object)
	}
	return &Dataset{Images: c.images}, nil
}
