package proposalfile

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/proposer/proposer/evaluate"
	"github.com/proposer/proposer/internal/npy"
)

// Data types and array classes of MAT-files.
const (
	miUINT32, miINT32 = 6, 5
	miMATRIX          = 14
	miCOMPRESSED      = 15
	miUTF8            = 16
	miUTF16           = 17
	miUTF32           = 18

	mxCELL, mxCHAR = 1, 4
	mxDOUBLE       = 6
	mxUINT64       = 15 // the last numeric class

	matComplex = 0x0800
)

const matHeadBytes = 128

// matNumbers are the types of numbers by data type.
var matNumbers = map[uint32]npy.Type{
	1: {Kind: 'i', Size: 1}, 2: {Kind: 'u', Size: 1}, 3: {Kind: 'i', Size: 2}, 4: {Kind: 'u', Size: 2},
	5: {Kind: 'i', Size: 4}, 6: {Kind: 'u', Size: 4}, 7: {Kind: 'f', Size: 4}, 9: {Kind: 'f', Size: 8},
	12: {Kind: 'i', Size: 8}, 13: {Kind: 'u', Size: 8},
}

// errHDF5 reports a MAT-file of another kind.
var errHDF5 = errors.New("HDF5, as MATLAB writes with -v7.3: want version 7 or older: save(file, 'boxes', 'images', '-v7')")

// readMAT reads a MAT-file of level 5 with the variables
//
//	boxes      cell array: for each image a matrix with the rows y1 x1 y2 x2
//	images     cell array: for each image its name without the extension; may be missing
//	boxScores  cell array: for each image the scores of its boxes; may be missing
//
// as Fast R-CNN and OICR have them, or
//
//	bbs        cell array: for each image a matrix with the rows x y w h score
//
// as Edge Boxes writes it, where images may be missing as well. Coordinates begin at 1; y2 and x2 are
// inclusive. Cell arrays may have any shape. A file of one image has a matrix in place of a cell array:
//
//	boxes      the rows x1 y1 x2 y2, as Hosang's detection-proposals reads them
//	scores     the scores; may be missing
func readMAT(ctx context.Context, in *input, yield func(*Image) error) error {
	whole, err := in.randomAccess()
	if err != nil {
		return err
	}
	m := &matFile{file: whole}
	if err := m.scan(ctx); err != nil {
		return err
	}
	var sized bool
	boxes := m.variables["boxes"]
	if boxes == nil {
		boxes = m.variables["all_boxes"]
	}
	if boxes == nil {
		boxes, sized = m.variables["bbs"], true
	}
	if boxes == nil {
		return fmt.Errorf("the variables %s: want boxes and images, or bbs", strings.Join(m.names, ", "))
	}
	if boxes.class != mxCELL {
		return m.readImage(ctx, boxes, sized, yield)
	}
	names, scores := m.variables["images"], m.variables["boxScores"]
	for _, v := range []*matVariable{names, scores} {
		if v != nil && v.class == mxCELL && v.count() != boxes.count() {
			return fmt.Errorf("variable %s has %d cells and %s has %d: want one for each image", v.name, v.count(), boxes.name, boxes.count())
		}
	}
	texts, err := names.readNames(boxes.count())
	if err != nil {
		return err
	}
	if scores != nil && scores.class != mxCELL {
		return fmt.Errorf("variable %s: want a cell array", scores.name)
	}
	for i := range boxes.count() {
		img := &Image{}
		switch {
		case texts != nil:
			img.File = texts[i]
		case names != nil:
			if err := names.readName(i, img); err != nil {
				return err
			}
		}
		if err := boxes.readBoxes(ctx, i, sized, img); err != nil {
			return err
		}
		if scores != nil {
			if err := scores.readScores(i, img); err != nil {
				return err
			}
		}
		if err := yield(img); err != nil {
			return err
		}
	}
	return nil
}

// matFile is a MAT-file and its variables.
type matFile struct {
	file      randomAccess
	order     binary.ByteOrder
	variables map[string]*matVariable
	names     []string
}

// matVariable is a variable. Its reader is behind the header of the array.
type matVariable struct {
	matArray
	in *matReader
}

// matArray is the header of an array.
type matArray struct {
	class      byte
	dimensions []int
	name       string
}

// maxVariables is the number of variables of a file.
const maxVariables = 1 << 10

// scan finds the variables.
func (m *matFile) scan(ctx context.Context) error {
	head := make([]byte, matHeadBytes)
	if _, err := m.file.ReadAt(head, 0); err != nil {
		return errors.New("the file ends in its header: want a complete file")
	}
	switch string(head[126:]) {
	case "IM":
		m.order = binary.LittleEndian
	case "MI":
		m.order = binary.BigEndian
	default:
		return errors.New("no byte order in the header: want a MAT-file of version 5 to 7")
	}
	if m.order.Uint16(head[124:])>>8 == 2 {
		return errHDF5
	}
	m.variables = map[string]*matVariable{}
	for offset := int64(matHeadBytes); offset < m.file.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		var tag [8]byte
		if _, err := m.file.ReadAt(tag[:], offset); err != nil {
			return errMATEnds
		}
		kind, size := m.order.Uint32(tag[:]), int64(m.order.Uint32(tag[4:]))
		offset += int64(len(tag))
		if size > m.file.Size()-offset {
			return errMATEnds
		}
		if err := m.add(kind, io.NewSectionReader(m.file, offset, size)); err != nil {
			return err
		}
		offset += size
		if len(m.names) > maxVariables {
			return fmt.Errorf("more than %d variables: want only boxes and images", maxVariables)
		}
	}
	return nil
}

var errMATEnds = errors.New("the file ends within a variable: want a complete file")

// add adds the variable with an element of the file.
func (m *matFile) add(kind uint32, section *io.SectionReader) error {
	in := &matReader{in: bufio.NewReader(section), order: m.order}
	if kind == miCOMPRESSED {
		z, err := zlib.NewReader(in.in)
		if err != nil {
			return fmt.Errorf("a compressed variable: %w: want a complete file", err)
		}
		in.in = bufio.NewReader(z)
		if kind, _, err = in.tag(); err != nil {
			return err
		}
	}
	if kind != miMATRIX {
		return nil
	}
	a, err := in.array()
	if err != nil {
		return err
	}
	if m.variables[a.name] != nil {
		return fmt.Errorf("variable %.40q is there twice: want unique variables", a.name)
	}
	switch a.name {
	case "boxes", "all_boxes", "bbs", "images", "boxScores", "scores":
		m.variables[a.name] = &matVariable{a, in}
	}
	m.names = append(m.names, fmt.Sprintf("%.40q", a.name))
	return nil
}

// count returns the number of elements.
func (a *matArray) count() int {
	n := 1
	for _, side := range a.dimensions {
		n *= side
	}
	return n
}

// matrix returns the rows and columns.
func (a *matArray) matrix() (rows, columns int) {
	rows, columns = 1, 1
	if len(a.dimensions) > 0 {
		rows = a.dimensions[0]
	}
	for _, side := range a.dimensions[min(1, len(a.dimensions)):] {
		columns *= side
	}
	return rows, columns
}

// matReader reads the elements of a variable.
type matReader struct {
	in    *bufio.Reader
	order binary.ByteOrder
	small []byte // the rest of a tag that holds its data
}

func (m *matReader) read(p []byte) error {
	if _, err := io.ReadFull(m.in, p); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errMATEnds
	} else if err != nil {
		return fmt.Errorf("a variable: %w: want a complete file", err)
	}
	return nil
}

// tag reads the tag of an element. Up to four bytes of data may be in the tag, in m.small.
func (m *matReader) tag() (kind uint32, size int64, err error) {
	var tag [8]byte
	if err := m.read(tag[:]); err != nil {
		return 0, 0, err
	}
	m.small = nil
	kind = m.order.Uint32(tag[:])
	if n := kind >> 16; n > 0 {
		m.small = bytes.Clone(tag[4:])
		return kind & 0xffff, int64(min(n, 4)), nil
	}
	return kind, int64(m.order.Uint32(tag[4:])), nil
}

// element reads an element of at most limit bytes.
func (m *matReader) element(limit int64) (kind uint32, data []byte, err error) {
	kind, size, err := m.tag()
	if err != nil {
		return 0, nil, err
	}
	if size > limit {
		return 0, nil, fmt.Errorf("a part of a variable has %d bytes: want at most %d", size, limit)
	}
	if m.small != nil {
		return kind, m.small[:size], nil
	}
	data, err = readBytes(m.in, size)
	if err == nil {
		_, err = m.in.Discard(int(-size & 7))
	}
	if err != nil {
		return 0, nil, errMATEnds
	}
	return kind, data, nil
}

// array reads the header of an array.
func (m *matReader) array() (a matArray, err error) {
	kind, flags, err := m.element(16)
	if err != nil {
		return a, err
	}
	if kind != miUINT32 || len(flags) != 8 {
		return a, errors.New("an array without flags: want a MAT-file of version 5 to 7")
	}
	bits := m.order.Uint32(flags)
	a.class = byte(bits)
	kind, sides, err := m.element(64)
	if err != nil {
		return a, err
	}
	if kind != miINT32 || len(sides)%4 != 0 {
		return a, errors.New("an array without dimensions: want a MAT-file of version 5 to 7")
	}
	n := int64(1)
	for ; len(sides) > 0; sides = sides[4:] {
		side := int64(m.order.Uint32(sides))
		if side > math.MaxInt32 || n*side > math.MaxInt32 {
			return a, fmt.Errorf("an array with a dimension of %d: want at most %d elements", side, math.MaxInt32)
		}
		n *= side
		a.dimensions = append(a.dimensions, int(side))
	}
	_, name, err := m.element(1 << 10)
	if err != nil {
		return a, err
	}
	a.name = string(name)
	if bits&matComplex != 0 {
		return a, fmt.Errorf("array %.40q has complex numbers: want real numbers", a.name)
	}
	return a, nil
}

// cell reads the header of the next cell. An empty cell is of class 0.
func (m *matReader) cell() (a matArray, err error) {
	kind, size, err := m.tag()
	if err != nil {
		return a, err
	}
	if kind != miMATRIX {
		return a, fmt.Errorf("a cell of type %d: want a matrix or a text", kind)
	}
	if size == 0 {
		a.dimensions = []int{0, 0}
		return a, nil
	}
	return m.array()
}

// numbers reads the numbers of an array of at most limit elements.
func (m *matReader) numbers(a *matArray, limit int) (t npy.Type, data []byte, err error) {
	if a.class == 0 && a.count() == 0 { // an empty cell
		return npy.Type{Kind: 'f', Size: 8}, nil, nil
	}
	if a.class < mxDOUBLE || a.class > mxUINT64 {
		return t, nil, fmt.Errorf("an array of class %d: want numbers", a.class)
	}
	if a.count() > limit {
		return t, nil, fmt.Errorf("an array of %d numbers: want at most %d", a.count(), limit)
	}
	kind, data, err := m.element(8 * int64(limit))
	if err != nil {
		return t, nil, err
	}
	t, ok := matNumbers[kind]
	if !ok || len(data) != a.count()*t.Size {
		return t, nil, fmt.Errorf("%d numbers of type %d in %d bytes: want numbers of the array's size", a.count(), kind, len(data))
	}
	t.BigEndian = m.order == binary.BigEndian
	return t, data, nil
}

// readBoxes reads the next cell as the boxes of image i.
func (v *matVariable) readBoxes(ctx context.Context, i int, sized bool, img *Image) error {
	a, err := v.in.cell()
	if err == nil {
		err = v.in.boxes(ctx, &a, sized, false, img)
	}
	if err != nil {
		return fmt.Errorf("%s{%d}: %w", v.name, i+1, err)
	}
	return nil
}

// readImage reads a file of one image.
func (m *matFile) readImage(ctx context.Context, boxes *matVariable, sized bool, yield func(*Image) error) error {
	img := &Image{single: true}
	if err := boxes.in.boxes(ctx, &boxes.matArray, sized, true, img); err != nil {
		return fmt.Errorf("variable %s: %w", boxes.name, err)
	}
	if scores := m.variables["scores"]; scores != nil {
		if err := scores.in.scores(&scores.matArray, img); err != nil {
			return fmt.Errorf("variable scores: %w", err)
		}
	}
	return yield(img)
}

// boxes reads an array as the boxes of an image: x y w h if they are sized, otherwise y1 x1 y2 x2, or
// x1 y1 x2 y2 if x is first.
func (m *matReader) boxes(ctx context.Context, a *matArray, sized, xFirst bool, img *Image) error {
	columns, form := 4, "y1 x1 y2 x2"
	x, y := 1, 0
	switch {
	case sized:
		columns, form = 5, "x y w h score"
	case xFirst:
		form = "x1 y1 x2 y2"
		x, y = 0, 1
	}
	n, width := a.matrix()
	switch {
	case a.count() == 0:
		n, width = 0, columns
	case n > maxBoxes:
		return fmt.Errorf("%d boxes: want at most %d", n, maxBoxes)
	case width != columns && !(sized && width == 4):
		return fmt.Errorf("a matrix of %d × %d: want rows %s", n, width, form)
	}
	t, data, err := m.numbers(a, n*width)
	if err != nil {
		return err
	}
	at := func(row, column int) float64 { return t.Float(data[(column*n+row)*t.Size:]) }
	img.Boxes = make([]evaluate.Box, n)
	for k := range img.Boxes {
		if k%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		// The first pixel is 1.
		if sized {
			img.Boxes[k] = fromSize(newBox(at(k, 0)-1, at(k, 1)-1, at(k, 2), at(k, 3)))
		} else {
			img.Boxes[k] = newBox(at(k, x)-1, at(k, y)-1, at(k, 2+x), at(k, 2+y))
		}
		if width == 5 {
			img.scores = append(img.scores, at(k, 4))
		}
	}
	return nil
}

// readScores reads the next cell as the scores of image i.
func (v *matVariable) readScores(i int, img *Image) error {
	a, err := v.in.cell()
	if err == nil {
		err = v.in.scores(&a, img)
	}
	if err != nil {
		return fmt.Errorf("%s{%d}: %w", v.name, i+1, err)
	}
	return nil
}

// scores reads an array as the scores of an image.
func (m *matReader) scores(a *matArray, img *Image) error {
	if a.count() != len(img.Boxes) {
		return fmt.Errorf("%d scores of %d boxes: want one for each", a.count(), len(img.Boxes))
	}
	t, data, err := m.numbers(a, len(img.Boxes))
	if err != nil {
		return err
	}
	img.scores = make([]float64, len(img.Boxes))
	for k := range img.scores {
		img.scores[k] = t.Float(data[k*t.Size:])
	}
	return nil
}

// readName reads the next cell as the name or the number of image i.
func (v *matVariable) readName(i int, img *Image) error {
	a, err := v.in.cell()
	switch {
	case err != nil:
	case a.class == mxCHAR:
		var text []rune
		text, err = v.in.text(&a)
		img.File = string(text)
	case a.count() == 1:
		var t npy.Type
		var data []byte
		if t, data, err = v.in.numbers(&a, 1); err == nil {
			img.ID = fmt.Sprint(t.Float(data))
			if n := t.Float(data); n == math.Trunc(n) && math.Abs(n) < 1<<53 {
				img.ID = fmt.Sprint(int64(n))
			}
		}
	default:
		err = errors.New("want a text")
	}
	if err == nil && img.File == "" && img.ID == "" {
		err = errors.New("an empty name: want the name of the image")
	}
	if err != nil {
		return fmt.Errorf("%s{%d}: %w", v.name, i+1, err)
	}
	return nil
}

// readNames reads a matrix of characters, which has a name in each row. It returns nil for a cell array.
func (v *matVariable) readNames(images int) ([]string, error) {
	if v == nil || v.class == mxCELL {
		return nil, nil
	}
	rows, columns := v.matrix()
	if v.class != mxCHAR || rows != images {
		return nil, fmt.Errorf("variable %s: want a cell array with the name of each of the %d images", v.name, images)
	}
	text, err := v.in.text(&v.matArray)
	if err != nil {
		return nil, fmt.Errorf("variable %s: %w", v.name, err)
	}
	names := make([]string, rows)
	for i := range names {
		name := make([]rune, columns)
		for k := range name {
			name[k] = text[k*rows+i]
		}
		names[i] = strings.TrimRight(string(name), " \x00")
	}
	return names, nil
}

// maxChars is the number of characters of a text.
const maxChars = 1 << 24

// text reads the characters of an array.
func (m *matReader) text(a *matArray) ([]rune, error) {
	if a.count() > maxChars {
		return nil, fmt.Errorf("a text of %d characters: want at most %d", a.count(), maxChars)
	}
	if a.count() == 0 {
		// The data may be missing, or a tag without data.
		if a.class == mxCHAR {
			_, _, err := m.element(0)
			return nil, err
		}
		return nil, nil
	}
	kind, data, err := m.element(4 * maxChars)
	if err != nil {
		return nil, err
	}
	var text []rune
	switch kind {
	case miUTF8:
		if !utf8.Valid(data) {
			return nil, errors.New("invalid UTF-8: want a text")
		}
		text = []rune(string(data))
	case miUTF16, 4:
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = m.order.Uint16(data[2*i:])
		}
		text = utf16.Decode(units)
	case miUTF32:
		for ; len(data) >= 4; data = data[4:] {
			text = append(text, rune(m.order.Uint32(data)))
		}
	case 1, 2:
		for _, b := range data {
			text = append(text, rune(b))
		}
	default:
		return nil, fmt.Errorf("characters of type %d: want a text", kind)
	}
	if len(text) != a.count() {
		if rows, _ := a.matrix(); rows == 1 {
			return text, nil // MATLAB counts units of UTF-16
		}
		return nil, fmt.Errorf("%d characters in an array of %d: want equal numbers", len(text), a.count())
	}
	return slices.Clip(text), nil
}
