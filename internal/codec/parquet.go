package codec

import (
	"io"

	"github.com/parquet-go/parquet-go"
)

// parquetWriter writes Apache Parquet, one row per image:
//
//	id      string
//	file    string
//	width   int32   0 if unknown
//	height  int32
//	boxes   list<int32>, x0 y0 x1 y1 of the first box, then of the second ...
//	scores  list<float>, one per box
//	error   string, null if there is none
//
// The id is [Row.ImageID]. Only error can be null: images without boxes have empty lists. In pandas,
// boxes[i].reshape(-1, 4) are the boxes of an image; a list of structs would be one object per box
// there. In SQL, where lists begin at 1, the x0 of box i, counted from 0, is boxes[4*i+1].
//
// Numbers are dictionary-encoded, which reduces 20 bytes per box to 9. Pages are not compressed, which
// would gain less than 2 %. Only features that all readers support are used. Row groups have about
// 16 MiB of values; one is kept in memory.
type parquetWriter struct {
	w     *parquet.GenericWriter[parquetRow]
	row   [1]parquetRow
	bytes int // of values, in the row group
}

// parquetRow is a row. Its tags define the schema.
type parquetRow struct {
	ID     string    `parquet:"id,plain"`
	File   string    `parquet:"file,plain"`
	Width  int32     `parquet:"width"`
	Height int32     `parquet:"height"`
	Boxes  []int32   `parquet:"boxes,list" parquet-element:",dict"`
	Scores []float32 `parquet:"scores,list"`
	Error  *string   `parquet:"error,plain"`
}

// rowGroupBytes is the number of bytes of values after which a row group ends.
const rowGroupBytes = 16 << 20

func newParquet(w io.Writer) *parquetWriter {
	return &parquetWriter{w: parquet.NewGenericWriter[parquetRow](w,
		parquet.NewSchema("picture", parquet.SchemaOf(parquetRow{})),
		// Fixed, so that equal rows are equal bytes.
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

// Close writes the last row group and the footer.
func (p *parquetWriter) Close() error { return p.w.Close() }
