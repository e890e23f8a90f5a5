package proposalfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Limits on the pages of a Parquet file, which are decoded as a whole. Writers make pages of about
// 1 MiB, but a page has at least one row.
const (
	maxPageBytes  = 64 << 20
	maxPageValues = 4 * maxBoxes
)

// parquetColumns is the columns of a file, by index; -1 if there is none.
type parquetColumns struct {
	file, id, width, height, orientation, boxes, scores, error int
}

// readParquet reads Parquet with one row per image, as package codec writes it, where boxes may also be a
// list of lists of four numbers, and all but boxes and either file or id may be missing; or with one row
// per box, in columns named as those of CSV.
func readParquet(ctx context.Context, in *input, yield func(*Image) error) (err error) {
	whole, err := in.randomAccess()
	if err != nil {
		return err
	}
	var inCallback bool
	defer func() {
		// parquet-go panics on some invalid files.
		if p := recover(); p != nil {
			if inCallback {
				panic(p)
			}
			err = fmt.Errorf("invalid contents (%v): want a complete Parquet file", p)
		}
	}()
	file, err := openParquet(whole)
	if err != nil {
		return err
	}

	leaves := file.Schema().Columns()
	columns := parquetColumns{-1, -1, -1, -1, -1, -1, -1, -1}
	names := make([]string, len(leaves))
	for i, path := range leaves {
		names[i] = strings.Join(path, ".")
		if to := columns.field(strings.ToLower(path[0])); to != nil && *to < 0 {
			*to = i
		}
	}
	read := columns.read
	if columns.boxes < 0 {
		header, ok := newCSVHeader(names)
		if !ok {
			return fmt.Errorf("the columns %.200s: want file or id and boxes, or file or id and x0, y0, x1, y1", strings.Join(names, ", "))
		}
		var g groups
		cells := make([]string, len(names))
		read = func(row parquet.Row, _ func(*Image) error) error {
			clear(cells)
			for _, v := range row {
				if !v.IsNull() {
					cells[v.Column()] = parquetText(v)
				}
			}
			return header.add(&g, cells)
		}
		defer func() {
			if err == nil {
				err = g.yieldAll(yield)
			}
		}()
	} else if columns.file < 0 && columns.id < 0 {
		return errors.New("no column file or id: want the name or the id of each image")
	}

	number := 0
	row := make([]parquet.Row, 1)
	for _, group := range file.RowGroups() {
		if err := func() error {
			rows := group.Rows()
			defer rows.Close()
			for {
				if err := ctx.Err(); err != nil {
					return err
				}
				n, err := rows.ReadRows(row)
				if n == 1 {
					place := fmt.Sprint("row ", number)
					number++
					var yielded error // names the row
					err := read(row[0], func(img *Image) error {
						img.Place = place
						inCallback = true
						yielded = yield(img)
						inCallback = false
						return yielded
					})
					if yielded != nil {
						return yielded
					}
					if err != nil {
						return fmt.Errorf("%s: %w", place, err)
					}
				}
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return fmt.Errorf("row %d: %w", number, err)
				}
			}
		}(); err != nil {
			return err
		}
	}
	return nil
}

// openParquet opens a file and checks that its pages are not too large to be decoded.
func openParquet(whole randomAccess) (*parquet.File, error) {
	size := whole.Size()
	var tail [8]byte
	if size < 12 {
		return nil, errors.New("the file ends early: want a complete file")
	}
	if _, err := whole.ReadAt(tail[:], size-8); err != nil {
		return nil, err
	}
	footer := int64(tail[0]) | int64(tail[1])<<8 | int64(tail[2])<<16 | int64(tail[3])<<24
	if string(tail[4:]) != "PAR1" || footer > size-12 {
		return nil, errors.New("no footer: want a complete file without encryption")
	}
	file, err := parquet.OpenFile(whole, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	for _, group := range file.Metadata().RowGroups {
		for i := range group.Columns {
			c := &group.Columns[i].MetaData
			leaf, ok := file.Schema().Lookup(c.PathInSchema...)
			if !ok {
				return nil, errors.New("a column that is not in the schema: want a complete file")
			}
			if err := checkPages(whole, c, leaf.MaxRepetitionLevel > 0); err != nil {
				return nil, fmt.Errorf("column %.80s: %w", strings.Join(group.Columns[i].MetaData.PathInSchema, "."), err)
			}
		}
	}
	return file, nil
}

// checkPages returns an error if a page is too large, or if a column of lists, which may all be of one
// row, has more values than its size explains.
func checkPages(whole io.ReaderAt, c *format.ColumnMetaData, lists bool) error {
	total := int64(0)
	offset := c.DataPageOffset
	if c.DictionaryPageOffset > 0 && c.DictionaryPageOffset < offset {
		offset = c.DictionaryPageOffset
	}
	if c.TotalCompressedSize < 0 || offset < 0 {
		return errors.New("a negative size: want a complete file")
	}
	end := offset + c.TotalCompressedSize
	buf := make([]byte, 1<<12)
	for offset < end {
		n, err := whole.ReadAt(buf, offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		in := bytes.NewReader(buf[:n])
		var h format.PageHeader
		protocol := thrift.CompactProtocol{}
		if err := thrift.NewDecoder(protocol.NewReader(in)).Decode(&h); err != nil {
			if len(buf) < 1<<20 && n == len(buf) {
				buf = make([]byte, 4*len(buf)) // statistics may be long
				continue
			}
			return fmt.Errorf("the header of a page: %w: want a complete file", err)
		}
		offset += int64(n-in.Len()) + int64(h.CompressedPageSize)
		values := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
		if h.CompressedPageSize < 0 || offset > end || h.UncompressedPageSize > maxPageBytes || values > maxPageValues {
			return fmt.Errorf("a page of %d bytes with %d values: want at most %d bytes and %d values",
				h.UncompressedPageSize, values, maxPageBytes, maxPageValues)
		}
		if total += int64(values); lists && total > maxPageValues+c.TotalCompressedSize {
			return fmt.Errorf("more than %d values in %d bytes: want at most one for each byte", total, c.TotalCompressedSize)
		}
	}
	return nil
}

// field returns where the index of a column belongs, or nil if it is not used.
func (c *parquetColumns) field(name string) *int {
	switch name {
	case "file", "file_name", "filename", "image":
		return &c.file
	case "id", "image_id":
		return &c.id
	case "width":
		return &c.width
	case "height":
		return &c.height
	case "orientation":
		return &c.orientation
	case "boxes", "bboxes":
		return &c.boxes
	case "scores":
		return &c.scores
	case "error":
		return &c.error
	}
	return nil
}

// read yields a row as an image.
func (c *parquetColumns) read(row parquet.Row, yield func(*Image) error) error {
	img := &Image{}
	if c.scores >= 0 {
		img.scores = []float64{}
	}
	var corners []float64
	for _, v := range row {
		if v.IsNull() {
			if v.Column() == c.scores && v.DefinitionLevel() == 0 {
				img.scores = nil
			}
			continue
		}
		switch v.Column() {
		case c.file:
			img.File = parquetText(v)
		case c.id:
			img.ID = parquetText(v)
		case c.error:
			img.Error = parquetText(v)
		case c.width, c.height, c.orientation, c.boxes, c.scores:
			n, ok := parquetNumber(v)
			if !ok {
				return fmt.Errorf("image %q: column %d: %s: want numbers", img.Name(), v.Column(), v.Kind())
			}
			switch v.Column() {
			case c.width:
				img.Width = side(n)
			case c.height:
				img.Height = side(n)
			case c.orientation:
				img.Orientation = side(n)
			case c.boxes:
				corners = append(corners, n)
			case c.scores:
				img.scores = append(img.scores, n)
			}
		}
	}
	if img.File == "" && img.ID == "" {
		return errors.New("no image: want its name or id")
	}
	if len(corners)%4 != 0 || len(corners)/4 > maxBoxes {
		return fmt.Errorf("image %q: %d coordinates: want four of each box, of at most %d boxes", img.Name(), len(corners), maxBoxes)
	}
	for b := corners; len(b) > 0; b = b[4:] {
		img.Boxes = append(img.Boxes, newBox(b[0], b[1], b[2], b[3]))
	}
	return yield(img)
}

func parquetNumber(v parquet.Value) (float64, bool) {
	switch v.Kind() {
	case parquet.Int32:
		return float64(v.Int32()), true
	case parquet.Int64:
		return float64(v.Int64()), true
	case parquet.Float:
		return float64(v.Float()), true
	case parquet.Double:
		return v.Double(), true
	}
	return 0, false
}

// parquetText returns a copy of a value as a text.
func parquetText(v parquet.Value) string {
	switch v.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return string(v.ByteArray())
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	}
	if n, ok := parquetNumber(v); ok {
		return strconv.FormatFloat(n, 'g', -1, 64)
	}
	return v.String()
}
