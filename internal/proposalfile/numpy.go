package proposalfile

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/internal/npy"
	"github.com/proposer/proposer/internal/pickle"
)

// arrayReader reads a one- or two-dimensional array of a .npy file row by row.
type arrayReader struct {
	npy.Header
	name          string
	rows, columns int
	in            io.Reader
	row           []byte
	whole         []byte // of an array in column-major order
	next          int
	close         func() error
}

// newArrayReader returns a reader of the elements of an array, which are in size bytes; a negative size
// is unknown. It may keep limit bytes in memory.
func newArrayReader(name string, h *npy.Header, in io.Reader, size, limit int64) (*arrayReader, error) {
	a := &arrayReader{Header: *h, name: name, in: bufio.NewReaderSize(in, 1<<13), rows: 1, columns: 1, close: func() error { return nil }}
	if len(h.Shape) > 2 {
		return nil, fmt.Errorf("%s: shape %v: want one or two dimensions", name, h.Shape)
	}
	if len(h.Shape) > 0 {
		a.rows = h.Shape[0]
	}
	if len(h.Shape) > 1 {
		a.columns = h.Shape[1]
	}
	if h.Type.Kind == 'O' {
		return nil, fmt.Errorf("%s: Python objects: want numbers or strings", name)
	}
	bytes := float64(h.Elements()) * float64(h.Type.Size)
	if size >= 0 && bytes > float64(size) || bytes > math.MaxInt64/2 {
		return nil, fmt.Errorf("%s: shape %v needs %.0f bytes and the file has %d: want a complete file", name, h.Shape, bytes, size)
	}
	if a.columns > maxColumns {
		return nil, fmt.Errorf("%s: shape %v: want at most %d columns", name, h.Shape, maxColumns)
	}
	a.row = make([]byte, a.columns*h.Type.Size)
	if h.Fortran && a.columns > 1 {
		if bytes > float64(limit) {
			return nil, fmt.Errorf("%s: %.0f bytes in column-major order in a smaller file: want numpy.ascontiguousarray", name, bytes)
		}
		var err error
		if a.whole, err = readBytes(a.in, int64(bytes)); err != nil {
			return nil, a.fail(err)
		}
	}
	return a, nil
}

// maxColumns is the largest number of columns of an array.
const maxColumns = 1 << 10

// countingReader counts what is read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// readBytes reads n bytes. It allocates as it reads, because n may be made up.
func readBytes(r io.Reader, n int64) ([]byte, error) {
	var data []byte
	for int64(len(data)) < n {
		step := int(min(n-int64(len(data)), max(1<<16, int64(len(data)))))
		start := len(data)
		data = slices.Grow(data, step)[:start+step]
		if _, err := io.ReadFull(r, data[start:]); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (a *arrayReader) fail(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the array ends early: want a complete file")
	}
	return fmt.Errorf("%s: %w", a.name, err)
}

// read reads the next row into a.row.
func (a *arrayReader) read() error {
	if a.next == a.rows {
		return fmt.Errorf("%s: has only %d rows: want more", a.name, a.rows)
	}
	if a.whole != nil {
		size := a.Type.Size
		for c := range a.columns {
			copy(a.row[c*size:(c+1)*size], a.whole[(c*a.rows+a.next)*size:])
		}
	} else if _, err := io.ReadFull(a.in, a.row); err != nil {
		return a.fail(err)
	}
	a.next++
	return nil
}

// number returns a number of the row that was read.
func (a *arrayReader) number(column int) float64 { return a.Type.Float(a.row[column*a.Type.Size:]) }

// boxes reads the next n rows as boxes, with their scores if there is a fifth column.
func (a *arrayReader) boxes(ctx context.Context, n int) (boxes []evaluate.Box, scores []float64, err error) {
	if n > maxBoxes {
		return nil, nil, fmt.Errorf("%s: %d boxes of an image: want at most %d", a.name, n, maxBoxes)
	}
	boxes = make([]evaluate.Box, 0, min(n, 1<<12))
	for i := range n {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err := a.read(); err != nil {
			return nil, nil, err
		}
		boxes = append(boxes, newBox(a.number(0), a.number(1), a.number(2), a.number(3)))
		if a.columns == 5 {
			scores = append(scores, a.number(4))
		}
	}
	return boxes, scores, nil
}

// checkBoxes returns an error unless the array is of boxes.
func (a *arrayReader) checkBoxes() error {
	if !a.Type.IsNumber() || len(a.Shape) != 2 || a.columns != 4 && a.columns != 5 {
		if a.Elements() == 0 && a.Type.IsNumber() {
			a.rows = 0
			return nil
		}
		return fmt.Errorf("%s: shape %v of type %c: want numbers x0 y0 x1 y1 and, if there are scores, score: shape (n, 4) or (n, 5)",
			a.name, a.Shape, a.Type.Kind)
	}
	return nil
}

// readNPY reads the array of one image, of shape (n, 4) or (n, 5) with scores, or an object array of a
// dictionary with its boxes and scores, as Siamese DETR has it.
func readNPY(ctx context.Context, in *input, yield func(*Image) error) error {
	size := int64(-1)
	if in.whole != nil {
		size = in.whole.Size()
	}
	img := &Image{single: true}
	head := &countingReader{r: in.Reader}
	h, err := npy.ReadHeader(head)
	if err != nil {
		return err
	}
	if h.Type.Kind == 'O' {
		if size >= 0 {
			size -= head.n
		}
		root, err := pickle.Load(ctx, in.Reader, size)
		if err != nil {
			return err
		}
		if a, ok := root.(*pickle.Array); ok && a.Objects != nil && len(a.Shape) == 0 {
			root = a.Objects.At(0)
		}
		if err := img.setEntry(ctx, root); err != nil {
			return err
		}
		return yield(img)
	}
	a, err := newArrayReader("array", h, in.Reader, size-head.n, maxBuffer)
	if err == nil {
		err = a.checkBoxes()
	}
	if err == nil {
		img.Boxes, img.scores, err = a.boxes(ctx, a.rows)
	}
	if err != nil {
		return err
	}
	return yield(img)
}

// readNPZ reads an archive of the arrays that package codec describes, of which only boxes and offsets
// are needed:
//
//	files, ids, sizes, offsets, boxes, scores, errors
//
// or, if there are none of them, an archive with one array of shape (n, 4) or (n, 5) for each image,
// under its name.
func readNPZ(ctx context.Context, in *input, yield func(*Image) error) error {
	whole, err := in.randomAccess()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(whole, whole.Size())
	if err != nil {
		return fmt.Errorf("%w: want a complete .npz file", err)
	}
	members := map[string]bool{}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/data.pkl") {
			return errors.New("a file of torch.save: want NumPy arrays, as numpy.savez or pickle.dump writes them")
		}
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok || members[name] {
			return fmt.Errorf("member %.80q: want arrays of unique names, as numpy.savez writes them", f.Name)
		}
		members[name] = true
	}
	if !members["boxes"] || !members["offsets"] {
		return readNamedArrays(ctx, z, yield)
	}

	a := npzArrays{}
	defer a.close()
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, ".npy")
		if array := a.field(name); array != nil {
			if *array, err = openMember(name, f); err != nil {
				return err
			}
		}
	}
	if err := a.check(); err != nil {
		return err
	}
	return a.read(ctx, yield)
}

// readNamedArrays reads an archive with one array for each image.
func readNamedArrays(ctx context.Context, z *zip.Reader, yield func(*Image) error) error {
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, ".npy")
		a, err := openMember(name, f)
		if err != nil {
			return err
		}
		img := &Image{File: name}
		if err = a.checkBoxes(); err == nil {
			img.Boxes, img.scores, err = a.boxes(ctx, a.rows)
		} else {
			err = fmt.Errorf("%w; or the arrays files, ids, offsets, boxes and scores", err)
		}
		if err == nil {
			err = yield(img)
		}
		_ = a.close() // only read
		if err != nil {
			return err
		}
	}
	return nil
}

func openMember(name string, f *zip.File) (*arrayReader, error) {
	in, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	head := &countingReader{r: in}
	h, err := npy.ReadHeader(head)
	if err != nil {
		in.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a, err := newArrayReader(name, h, in, max(0, int64(min(f.UncompressedSize64, math.MaxInt64))-head.n), 64<<20+4*int64(min(f.CompressedSize64, 1<<48)))
	if err != nil {
		in.Close()
		return nil, err
	}
	a.close = in.Close
	return a, nil
}

// npzArrays is the arrays of an archive, which are read at the same time.
type npzArrays struct {
	files, ids, sizes, offsets, boxes, scores, errors *arrayReader
}

// field returns where the array with a name belongs, or nil if it is not used.
func (z *npzArrays) field(name string) **arrayReader {
	switch name {
	case "files":
		return &z.files
	case "ids":
		return &z.ids
	case "sizes":
		return &z.sizes
	case "offsets":
		return &z.offsets
	case "boxes":
		return &z.boxes
	case "scores":
		return &z.scores
	case "errors":
		return &z.errors
	}
	return nil
}

func (z *npzArrays) close() {
	for _, a := range []*arrayReader{z.files, z.ids, z.sizes, z.offsets, z.boxes, z.scores, z.errors} {
		if a != nil {
			_ = a.close() // only read
		}
	}
}

// check returns an error if the types and shapes of the arrays do not fit together.
func (z *npzArrays) check() error {
	if err := z.boxes.checkBoxes(); err != nil {
		return err
	}
	if len(z.offsets.Shape) != 1 || z.offsets.rows < 1 || (z.offsets.Type.Kind != 'i' && z.offsets.Type.Kind != 'u') {
		return fmt.Errorf("offsets: shape %v of type %c: want integers of shape (images+1,)", z.offsets.Shape, z.offsets.Type.Kind)
	}
	images := z.offsets.rows - 1
	for _, a := range []*arrayReader{z.files, z.ids, z.errors} {
		if a != nil && (len(a.Shape) != 1 || a.rows != images || (a.Type.Kind != 'U' && a.Type.Kind != 'S' && a.Type.Kind != 'i' && a.Type.Kind != 'u')) {
			return fmt.Errorf("%s: shape %v of type %c: want strings of shape (%d,), as offsets says", a.name, a.Shape, a.Type.Kind, images)
		}
		if a != nil && a.Type.Size > maxTextBytes {
			return fmt.Errorf("%s: strings of %d bytes: want at most %d", a.name, a.Type.Size, maxTextBytes)
		}
	}
	if a := z.sizes; a != nil && (len(a.Shape) != 2 || a.rows != images || a.columns != 2 || !a.Type.IsNumber()) {
		return fmt.Errorf("sizes: shape %v of type %c: want numbers of shape (%d, 2)", a.Shape, a.Type.Kind, images)
	}
	if a := z.scores; a != nil && (a.rows != z.boxes.rows || a.columns != 1 || !a.Type.IsNumber()) {
		return fmt.Errorf("scores: shape %v of type %c: want numbers of shape (%d,), one for each box", a.Shape, a.Type.Kind, z.boxes.rows)
	}
	return nil
}

// maxTextBytes is the size of a string of an array; package codec writes at most 4096 characters.
const maxTextBytes = 1 << 16

func (z *npzArrays) read(ctx context.Context, yield func(*Image) error) error {
	offset := func() (int64, error) {
		if err := z.offsets.read(); err != nil {
			return 0, err
		}
		n, ok := z.offsets.Type.Int(z.offsets.row)
		if !ok || n < 0 || n > int64(z.boxes.rows) {
			return 0, fmt.Errorf("offset %d: want 0 to %d", n, z.boxes.rows)
		}
		return n, nil
	}
	start, err := offset()
	if err != nil {
		return err
	}
	if start != 0 {
		return fmt.Errorf("offset %d of image 0: want 0", start)
	}
	for i := range z.offsets.rows - 1 {
		end, err := offset()
		if err != nil {
			return err
		}
		if end < start {
			return fmt.Errorf("offset %d of image %d after %d: want ascending offsets", end, i+1, start)
		}
		img := &Image{}
		for _, text := range []struct {
			a *arrayReader
			s *string
		}{{z.files, &img.File}, {z.ids, &img.ID}, {z.errors, &img.Error}} {
			if text.a == nil {
				continue
			}
			if *text.s, err = text.a.text(); err != nil {
				return err
			}
		}
		if z.sizes != nil {
			if err := z.sizes.read(); err != nil {
				return err
			}
			img.Width, img.Height = side(z.sizes.number(0)), side(z.sizes.number(1))
		}
		if img.Boxes, img.scores, err = z.boxes.boxes(ctx, int(end-start)); err != nil {
			return err
		}
		if z.scores != nil {
			img.scores = make([]float64, 0, min(len(img.Boxes), 1<<12))
			for range img.Boxes {
				if err := z.scores.read(); err != nil {
					return err
				}
				img.scores = append(img.scores, z.scores.number(0))
			}
		}
		if err := yield(img); err != nil {
			return err
		}
		start = end
	}
	if start != int64(z.boxes.rows) {
		return fmt.Errorf("offsets end at %d: want %d, the number of boxes", start, z.boxes.rows)
	}
	return nil
}

// side returns a side of an image, or -1 if it is none.
func side(v float64) int {
	if v >= 0 && v <= maxCoordinate {
		return int(v)
	}
	return -1
}

// text reads the next row as a text. Numbers are in decimal.
func (a *arrayReader) text() (string, error) {
	if err := a.read(); err != nil {
		return "", err
	}
	if n, ok := a.Type.Int(a.row); ok {
		return fmt.Sprint(n), nil
	}
	if a.Type.IsNumber() {
		return "", fmt.Errorf("%s: row %d: want a text", a.name, a.next-1)
	}
	return a.Type.Text(a.row), nil
}
