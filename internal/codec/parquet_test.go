package codec

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

// table is a row as the columns of a format tell it.
type table struct {
	ID     string    `json:"id"`
	File   string    `json:"file"`
	Width  int       `json:"width"`
	Height int       `json:"height"`
	Boxes  []box.Box `json:"boxes"`
	Scores []float32 `json:"scores"`
	Error  *string   `json:"error"`
}

// tabled is what the columns should tell of rows.
func tabled(rows []Row) []table {
	all := make([]table, len(rows))
	for i, r := range rows {
		all[i] = table{
			ID: validUTF8(r.ImageID()), File: validUTF8(r.File), Width: r.Width, Height: r.Height,
			Boxes: append([]box.Box{}, r.Boxes...), Scores: append([]float32{}, r.Scores...),
		}
		if r.Error != "" {
			reason := validUTF8(r.Error)
			all[i].Error = &reason
		}
	}
	return all
}

// readParquet is what a file tells, and of how many row groups.
func readParquet(t require, file []byte) (rows []table, groups int) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("%v", err)
	}
	in := parquet.NewGenericReader[parquetRow](f)
	read := make([]parquetRow, f.NumRows())
	if n, err := in.Read(read); n != len(read) {
		t.Fatalf("%d rows of %d: %v", n, len(read), err)
	}
	rows = make([]table, len(read))
	for i, r := range read {
		if len(r.Boxes)%4 != 0 {
			t.Fatalf("row %d: %d numbers", i, len(r.Boxes))
		}
		rows[i] = table{r.ID, r.File, int(r.Width), int(r.Height), make([]box.Box, len(r.Boxes)/4), append([]float32{}, r.Scores...), r.Error}
		for k := range rows[i].Boxes {
			b := r.Boxes[4*k:]
			rows[i].Boxes[k] = box.Box{X0: b[0], Y0: b[1], X1: b[2], Y1: b[3]}
		}
	}
	return rows, len(f.RowGroups())
}

// The schema is as it is documented.
func TestParquetSchema(t *testing.T) {
	file := fileOf(t, "parquet")
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	const want = `message picture {
	required binary id (STRING);
	required binary file (STRING);
	required int32 width (INT(32,true));
	required int32 height (INT(32,true));
	required group boxes (LIST) {
		repeated group list {
			required int32 element (INT(32,true));
		}
	}
	required group scores (LIST) {
		repeated group list {
			required float element;
		}
	}
	optional binary error (STRING);
}`
	if got := f.Schema().String(); got != want || f.NumRows() != 0 {
		t.Errorf("%d rows of %s", f.NumRows(), got)
	}
}

func drawRows(t *rapid.T) []Row {
	rows := make([]Row, rapid.IntRange(0, 5).Draw(t, "rows"))
	for i := range rows {
		if rapid.Bool().Draw(t, "failed") {
			rows[i] = Row{File: "x", Error: rapid.StringN(1, -1, -1).Draw(t, "reason")}
		} else {
			rows[i] = drawRow(t)
		}
		rows[i].ID = rapid.SampledFrom([]string{"", "0", "007", "a\xff"}).Draw(t, "id")
	}
	return rows
}

func TestParquetRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		file := fileOf(t, "parquet", rows...)
		if got, _ := readParquet(t, file); !reflect.DeepEqual(got, tabled(rows)) {
			t.Fatalf("got %+v\nwant %+v", got, tabled(rows))
		}
		if !bytes.Equal(file, fileOf(t, "parquet", rows...)) {
			t.Fatal("equal rows are other bytes")
		}
	})
}

// Row groups are bounded, by boxes and by texts.
func TestParquetGroups(t *testing.T) {
	many, long := make([]Row, 20), make([]Row, 5)
	for i := range many {
		many[i] = Row{File: "many", Boxes: make([]box.Box, 100000), Scores: make([]float32, 100000)}
		for k := range many[i].Boxes {
			many[i].Boxes[k] = box.Box{X0: int32(i), Y0: int32(k), X1: -1, Y1: int32(k % 7)}
			many[i].Scores[k] = float32(i * k)
		}
	}
	for i := range long {
		long[i] = Row{File: "long", Error: strings.Repeat(string(rune('a'+i)), rowGroupBytes/2)}
	}
	for want, rows := range map[int][]Row{3: append(many, long[:1]...), 2: long[:4]} {
		got, groups := readParquet(t, fileOf(t, "parquet", rows...))
		same := func(a, b table) bool { // reflect takes seconds
			return a.File == b.File && slices.Equal(a.Boxes, b.Boxes) && slices.Equal(a.Scores, b.Scores) &&
				(a.Error == nil) == (b.Error == nil) && (a.Error == nil || *a.Error == *b.Error)
		}
		if groups != want || !slices.EqualFunc(got, tabled(rows), same) {
			t.Errorf("%d rows in %d groups, want %d", len(got), groups, want)
		}
	}
}

// A reader that shares nothing with the writer finds the same.
func TestParquetConsumer(t *testing.T) {
	for _, rows := range [][]Row{hostile(), nil} {
		var got struct {
			Groups int
			Rows   []table
		}
		consumer(t, "json, struct", "parquet", fileOf(t, "parquet", rows...), &got)
		if !reflect.DeepEqual(got.Rows, tabled(rows)) {
			t.Errorf("got %+v\nwant %+v", got.Rows, tabled(rows))
		}
	}
}
