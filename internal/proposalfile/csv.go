package proposalfile

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// csvHeader is the columns of a CSV file, by index; -1 if there is none.
type csvHeader struct {
	comma         rune
	columns       int
	file, id      int
	width, height int
	box           [4]int
	size          bool // the box is x, y, width, height
	score, rank   int
}

// Names of columns.
var (
	csvFiles   = []string{"file", "file_name", "filename", "image", "image_path", "path", "img"}
	csvIDs     = []string{"image_id", "imageid", "img_id", "id"}
	csvScores  = []string{"score", "confidence", "conf", "objectness"}
	csvCorners = [][4]string{
		{"x0", "y0", "x1", "y1"},
		{"x1", "y1", "x2", "y2"},
		{"xmin", "ymin", "xmax", "ymax"},
		{"x_min", "y_min", "x_max", "y_max"},
		{"left", "top", "right", "bottom"},
	}
	csvSizes = [][4]string{
		{"x", "y", "w", "h"},
		{"x", "y", "width", "height"},
		{"left", "top", "width", "height"},
	}
)

// csvHeaderOf returns the header at the beginning of a text, if it is that of a CSV file with boxes.
func csvHeaderOf(head []byte) (*csvHeader, bool) {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	for _, comma := range ",;\t" {
		r := csv.NewReader(bytes.NewReader(append(bytes.Clone(line), '\n')))
		r.Comma = comma
		names, err := r.Read()
		if err != nil {
			continue
		}
		if h, ok := newCSVHeader(names); ok {
			h.comma = comma
			return h, true
		}
	}
	return nil, false
}

func newCSVHeader(names []string) (*csvHeader, bool) {
	for i, name := range names {
		names[i] = strings.ToLower(strings.TrimSpace(name))
	}
	first := func(of []string) int {
		for _, name := range of {
			if i := slices.Index(names, name); i >= 0 {
				return i
			}
		}
		return -1
	}
	h := &csvHeader{
		columns: len(names), file: first(csvFiles), id: first(csvIDs), score: first(csvScores), rank: first([]string{"rank"}),
		width: -1, height: -1,
	}
	find := func(sets [][4]string) bool {
		return slices.ContainsFunc(sets, func(set [4]string) bool {
			for i, name := range set {
				if h.box[i] = slices.Index(names, name); h.box[i] < 0 {
					return false
				}
			}
			return true
		})
	}
	switch {
	case find(csvCorners):
		h.width, h.height = first([]string{"width"}), first([]string{"height"})
	case find(csvSizes):
		h.size = true
	default:
		return nil, false
	}
	return h, h.file >= 0 || h.id >= 0
}

// read reads one box per line, in any order. The best boxes have the highest score or, without scores,
// the lowest rank. A line without coordinates is of an image without boxes.
func (h *csvHeader) read(ctx context.Context, in *input, yield func(*Image) error) error {
	r := csv.NewReader(&lineLimiter{r: in.Reader})
	r.Comma, r.ReuseRecord, r.FieldsPerRecord = h.comma, true, h.columns
	if _, err := r.Read(); err != nil {
		return err
	}
	var g groups
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return g.yieldAll(yield)
		}
		if err != nil {
			return err
		}
		if err := h.add(&g, fields); err != nil {
			line, _ := r.FieldPos(0)
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// add adds a line.
func (h *csvHeader) add(g *groups, fields []string) error {
	cell := func(i int) string {
		if i < 0 {
			return ""
		}
		return strings.TrimSpace(fields[i])
	}
	var file, id string
	if h.file >= 0 {
		file = fields[h.file]
	}
	id = cell(h.id)
	if file == "" && id == "" {
		return errors.New("no image: want its name or id")
	}
	img := g.image(file, id)
	number := func(i int, what string) (float64, error) {
		v, err := strconv.ParseFloat(cell(i), 64)
		if err != nil {
			return 0, fmt.Errorf("image %q: %s %.40q: want a number", img.Name(), what, cell(i))
		}
		return v, nil
	}
	if w, h := cell(h.width), cell(h.height); w != "" && h != "" && img.Width == 0 {
		// Sides that are no whole numbers are as if unknown.
		img.Width, _ = strconv.Atoi(w)
		img.Height, _ = strconv.Atoi(h)
	}
	var v [4]float64
	empty := 0
	for i, column := range h.box {
		if cell(column) == "" {
			empty++
			continue
		}
		var err error
		if v[i], err = number(column, "coordinate"); err != nil {
			return err
		}
	}
	if empty == len(v) {
		return nil
	}
	if empty > 0 {
		return fmt.Errorf("image %q: %d of four coordinates: want all", img.Name(), len(v)-empty)
	}
	b := newBox(v[0], v[1], v[2], v[3])
	if h.size {
		b = fromSize(b)
	}
	if b.X1 < b.X0 || b.Y1 < b.Y0 {
		return fmt.Errorf("image %q: box %d: corners (%g, %g) and (%g, %g): want the upper left corner first",
			img.Name(), len(img.Boxes), b.X0, b.Y0, b.X1, b.Y1)
	}
	if len(img.Boxes) >= maxBoxes {
		return fmt.Errorf("image %q: more than %d boxes: want fewer", img.Name(), maxBoxes)
	}
	img.Boxes = append(img.Boxes, b)
	switch {
	case h.score >= 0:
		s, err := number(h.score, "score")
		if err != nil {
			return err
		}
		img.scores = append(img.scores, s)
	case h.rank >= 0:
		rank, err := number(h.rank, "rank")
		if err != nil {
			return err
		}
		img.scores = append(img.scores, -rank)
	}
	return nil
}

// lineLimiter fails at a line that is too long, which a quoted field could be.
type lineLimiter struct {
	r io.Reader
	n int // bytes since the last newline
}

// maxCSVLine is the number of bytes of a line of a CSV file.
const maxCSVLine = 1 << 20

func (l *lineLimiter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			l.n += len(rest)
			break
		}
		if l.n+i > maxCSVLine {
			l.n += i
			break
		}
		l.n, rest = 0, rest[i+1:]
	}
	if l.n > maxCSVLine {
		return 0, fmt.Errorf("a line of more than %d bytes: want shorter ones", maxCSVLine)
	}
	return n, err
}
