package codec

import (
	"io"

	"github.com/parquet-go/parquet-go"
)

// parquetWriter writes Apache Parquet, a row a picture:
//
//	id      string
//	file    string
//	width   int32   0 if it is not known
//	height  int32
//	boxes   list<int32>, x0 y0 x1 y1 of the first box, then of the second ...
//	scores  list<float>, one a box
//	error   string, null if there is none
//
// where id is [Row.ImageID], and nothing but an error is ever null: pictures without boxes have
// empty lists. In pandas boxes[i].reshape(-1, 4) are the boxes of a picture; a list of structs,
// just as long, would be as many objects there. In SQL, where lists begin at 1, the first of box
// i, from 0, is boxes[4*i+1].
//
// Numbers are kept in dictionaries, which makes of 20 bytes a box 9, and the pages are not
// compressed: that would gain less than a fiftieth. It asks of its readers no more than any
// has. It is written in row groups of some 16 MiB of values, and keeps one in memory.
type parquetWriter struct {
	w     *parquet.GenericWriter[parquetRow]
	row   [1]parquetRow
	bytes int // of values, in the row group
}

// parquetRow is a row; the tags are the schema.
type parquetRow struct {
	ID     string    `parquet:"id,plain"`
	File   string    `parquet:"file,plain"`
	Width  int32     `parquet:"width"`
	Height int32     `parquet:"height"`
	Boxes  []int32   `parquet:"boxes,list" parquet-element:",dict"`
	Scores []float32 `parquet:"scores,list"`
	Error  *string   `parquet:"error,plain"`
}

// rowGroupBytes is from how many bytes of values on a row group is ended.
const rowGroupBytes = 16 << 20

func newParquet(w io.Writer) *parquetWriter {
	return &parquetWriter{w: parquet.NewGenericWriter[parquetRow](w,
		parquet.NewSchema("picture", parquet.SchemaOf(parquetRow{})),
		// Neither the program's version nor the module's: equal rows are equal bytes.
		parquet.CreatedBy("proposer", "1", "0"),
		parquet.DataPageVersion(1), // which more readers know
	)}
}

// Write adds a row.
func (p *parquetWriter) Write(r *Row) error {
	if err := r.validate(); err != nil {
		return err
	}
	row := &p.row[0]
	row.ID, row.File = validUTF8(r.ImageID()), validUTF8(r.File)
	row.Width, row.Height = int32(r.Width), int32(r.Height)
	row.Boxes = row.Boxes[:0]
	for _, b := range r.Boxes {
		row.Boxes = append(row.Boxes, b.X0, b.Y0, b.X1, b.Y1)
	}
	row.Scores = r.Scores
	row.Error = nil
	if r.Error != "" {
		reason := validUTF8(r.Error)
		row.Error = &reason
	}
	if _, err := p.w.Write(p.row[:]); err != nil {
		return err
	}
	p.bytes += 20*len(r.Boxes) + len(row.ID) + len(row.File) + len(r.Error) + 64
	if p.bytes < rowGroupBytes {
		return nil
	}
	p.bytes = 0
	return p.w.Flush()
}

// Close writes the last row group and what ends the file.
func (p *parquetWriter) Close() error { return p.w.Close() }
