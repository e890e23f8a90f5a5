package main

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg" // answers are drawn as one or the other
	_ "image/png"
	"math"
	"strconv"
	"strings"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/mask"
)

// row is an object of a JSON answer.
type row struct {
	Index         *int            `json:"index"`
	File          string          `json:"file"`
	Error         string          `json:"error"`
	Problem       json.RawMessage `json:"problem"`
	Width         int             `json:"width"`
	Height        int             `json:"height"`
	Orientation   int             `json:"orientation"`
	Seconds       float64         `json:"seconds"`
	DecodeSeconds float64         `json:"decode_seconds"`
	Boxes         [][4]int        `json:"boxes"`
	Scores        []float32       `json:"scores"`
	Strategies    []struct{}      `json:"strategies"`
	Masks         []struct {
		Size   [2]int `json:"size"`
		Counts string `json:"counts"`
	} `json:"masks"`
	Evidence []struct {
		Strategies, Strategy, Position, Size int
		Birth                                *float64
		Death                                float64
	} `json:"evidence"`
	Tree *struct {
		Strategy, Width, Height, Leaves int
		Parents                         []int
		Similarities                    []*float64
		Sizes                           []int
		Boxes                           [][4]int
		Labels                          []int
	} `json:"tree"`
}

func parseRow(data []byte) (*row, error) {
	var r row
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("%w in %.200q", err, data)
	}
	if r.Error == "" && (r.Seconds <= 0 || r.DecodeSeconds <= 0) {
		return nil, fmt.Errorf("%s: took %v and %v seconds", r.File, r.DecodeSeconds, r.Seconds)
	}
	return &r, nil
}

func (r *row) found() *found { return &found{r.File, r.Width, r.Height, r.Boxes, r.Scores} }

// checkRich checks masks, evidence and tree against the boxes and each other.
func (r *row) checkRich() error {
	if len(r.Masks) != len(r.Boxes) || len(r.Evidence) != len(r.Boxes) || r.Tree == nil || len(r.Strategies) == 0 {
		return fmt.Errorf("%s: %d masks, %d evidence for %d boxes", r.File, len(r.Masks), len(r.Evidence), len(r.Boxes))
	}
	for i, m := range r.Masks {
		rle, err := mask.Parse(m.Counts, m.Size[1], m.Size[0])
		if err != nil {
			return fmt.Errorf("%s: mask %d: %w", r.File, i, err)
		}
		b := rle.Box()
		if box := [4]int{int(b.X0), int(b.Y0), int(b.X1), int(b.Y1)}; box != r.Boxes[i] || m.Size != [2]int{r.Height, r.Width} {
			return fmt.Errorf("%s: mask %d of %v fills %v: want %v", r.File, i, m.Size, box, r.Boxes[i])
		}
		e := r.Evidence[i]
		if e.Strategies < 1 || e.Strategy < 0 || e.Strategy >= len(r.Strategies) || e.Position < 1 || e.Size != rle.Area() {
			return fmt.Errorf("%s: evidence %d is %+v: its mask has %d pixels", r.File, i, e, rle.Area())
		}
	}
	t := r.Tree
	n := len(t.Parents)
	if n != 2*t.Leaves-1 || len(t.Similarities) != n || len(t.Sizes) != n || len(t.Boxes) != n || t.Parents[n-1] != -1 {
		return fmt.Errorf("%s: a tree of %d leaves with %d parents, %d similarities, %d sizes, %d boxes",
			r.File, t.Leaves, n, len(t.Similarities), len(t.Sizes), len(t.Boxes))
	}
	sum := make([]int, n)
	pixels := make([]int, t.Leaves)
	for i := 0; i+1 < len(t.Labels); i += 2 {
		if l := t.Labels[i]; l < 0 || l >= t.Leaves {
			return fmt.Errorf("%s: label %d of %d leaves", r.File, l, t.Leaves)
		}
		pixels[t.Labels[i]] += t.Labels[i+1]
	}
	for i, p := range t.Parents {
		if i < t.Leaves {
			sum[i] = pixels[i]
		}
		if sum[i] != t.Sizes[i] || (t.Similarities[i] == nil) != (i < t.Leaves) || p <= i && i < n-1 || p >= n {
			return fmt.Errorf("%s: node %d of the tree has parent %d, %d pixels and size %d", r.File, i, p, sum[i], t.Sizes[i])
		}
		if p >= 0 {
			sum[p] += sum[i]
		}
	}
	if t.Sizes[n-1] != t.Width*t.Height {
		return fmt.Errorf("%s: the tree's root has %d pixels of %d×%d", r.File, t.Sizes[n-1], t.Width, t.Height)
	}
	return nil
}

func parseCSV(data []byte) (*found, error) {
	lines, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(lines) < 2 || strings.Join(lines[0], ",") != "file,width,height,rank,x0,y0,x1,y1,score" {
		return nil, fmt.Errorf("CSV of %d lines: %w in %.200q", len(lines), err, data)
	}
	var f found
	for i, line := range lines[1:] {
		var n [7]int
		for c := range n {
			if n[c], err = strconv.Atoi(line[c+1]); err != nil {
				return nil, fmt.Errorf("CSV line %d: %w", i+2, err)
			}
		}
		score, err := strconv.ParseFloat(line[8], 32)
		if err != nil || n[2] != i+1 {
			return nil, fmt.Errorf("CSV line %d: rank %d, %w", i+2, n[2], err)
		}
		f.width, f.height = n[0], n[1]
		f.boxes = append(f.boxes, [4]int(n[3:]))
		f.scores = append(f.scores, float32(score))
	}
	return &f, nil
}

func parseNPY(data []byte) (*found, error) {
	if len(data) < 10 || string(data[:6]) != "\x93NUMPY" {
		return nil, fmt.Errorf("not an npy file: %.40q", data)
	}
	end := 10 + int(binary.LittleEndian.Uint16(data[8:]))
	if end > len(data) {
		return nil, fmt.Errorf("an npy file whose header ends early: %.80q", data)
	}
	var n int
	text := string(data[10:end])
	if _, after, ok := strings.Cut(text, "'shape': ("); ok {
		_, _ = fmt.Sscanf(after, "%d, 5)", &n) // 0 is what the bytes then tell
	}
	if !strings.Contains(text, "'<f4'") || len(data)-end != n*20 {
		return nil, fmt.Errorf("an npy file of %d bytes after %q", len(data)-end, text)
	}
	return parseFloats(data[end:])
}

func parseBinary(data []byte) (*found, error) {
	if len(data) < 12 || len(data) != 12+20*int(binary.LittleEndian.Uint32(data[8:])) {
		return nil, fmt.Errorf("a binary answer of %d bytes that begins with % x", len(data), data[:min(12, len(data))])
	}
	f, err := parseFloats(data[12:])
	if err == nil {
		f.width, f.height = int(binary.LittleEndian.Uint32(data)), int(binary.LittleEndian.Uint32(data[4:]))
	}
	return f, err
}

func float(data []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(data)) }

func parseFloats(data []byte) (*found, error) {
	var f found
	for ; len(data) >= 20; data = data[20:] {
		var b [4]int
		for i := range b {
			v := float(data[4*i:])
			b[i] = int(v)
			if float32(b[i]) != v {
				return nil, fmt.Errorf("box %d has a corner at %v: want whole numbers", len(f.boxes), v)
			}
		}
		f.boxes, f.scores = append(f.boxes, b), append(f.scores, float(data[16:]))
	}
	return &f, nil
}

// parseInference reads boxes and scores of an answer of the inference protocol.
func parseInference(got *answer) (*found, error) {
	head, tail := got.body, []byte(nil)
	if text := got.header.Get(openinference.HeaderLength); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > len(head) {
			return nil, fmt.Errorf("%s %q of a body of %d bytes", openinference.HeaderLength, text, len(head))
		}
		head, tail = head[:n], head[n:]
	}
	var res struct {
		Outputs []struct {
			Name, Datatype string
			Shape          []int
			Data           []float32
			Parameters     struct {
				Size *int `json:"binary_data_size"`
			}
		}
	}
	if err := json.Unmarshal(head, &res); err != nil {
		return nil, fmt.Errorf("%w in %.200q", err, head)
	}
	tensors := map[string][]float32{}
	for _, o := range res.Outputs {
		data := o.Data
		if size := o.Parameters.Size; size != nil {
			if *size > len(tail) || *size%4 != 0 {
				return nil, fmt.Errorf("output %s has %d bytes, and there are %d", o.Name, *size, len(tail))
			}
			for i := 0; i < *size; i += 4 {
				data = append(data, float(tail[i:]))
			}
			tail = tail[*size:]
		}
		n := 1
		for _, side := range o.Shape {
			n *= side
		}
		if o.Datatype != "FP32" || n != len(data) {
			return nil, fmt.Errorf("output %s is %s %v with %d numbers", o.Name, o.Datatype, o.Shape, len(data))
		}
		tensors[o.Name] = data
	}
	boxes, scores := tensors["boxes"], tensors["scores"]
	if len(tail) > 0 || len(boxes) != 4*len(scores) {
		return nil, fmt.Errorf("%d numbers of boxes, %d scores, and %d bytes are left", len(boxes), len(scores), len(tail))
	}
	f := &found{scores: scores}
	for ; len(boxes) >= 4; boxes = boxes[4:] {
		f.boxes = append(f.boxes, [4]int{int(boxes[0]), int(boxes[1]), int(boxes[2]), int(boxes[3])})
	}
	return f, nil
}

// checkDrawing checks that an answer is a picture of the picture's size.
func checkDrawing(p *picture, data []byte, format string) error {
	cfg, got, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || got != format || cfg.Width != p.width || cfg.Height != p.height {
		return fmt.Errorf("%s: a drawing in %q of %d×%d (%w): want %s of %d×%d", p.name, got, cfg.Width, cfg.Height, err, format, p.width, p.height)
	}
	return nil
}

// checkRoIs checks a minibatch.
func checkRoIs(p *picture, data []byte, truths int) error {
	var m struct {
		Width, Height          int
		RoIs                   [][4]int `json:"rois"`
		Labels, Truth          []int
		IoUs                   []float64 `json:"ious"`
		Deltas                 []*[4]float64
		Foreground, Background int
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%w in %.200q", err, data)
	}
	n := len(m.RoIs)
	if m.Width != p.width || m.Height != p.height || n == 0 || len(m.Labels) != n || len(m.Truth) != n ||
		len(m.IoUs) != n || len(m.Deltas) != n || m.Foreground+m.Background != n {
		return fmt.Errorf("%s: a minibatch of %d RoIs, %d labels, %d ious, %d + %d", p.name, n, len(m.Labels), len(m.IoUs), m.Foreground, m.Background)
	}
	for i, b := range m.RoIs {
		fore := m.Labels[i] == 1
		if b[0] < 0 || b[1] < 0 || b[2] > p.width || b[3] > p.height || b[0] >= b[2] || b[1] >= b[3] ||
			fore != (m.Deltas[i] != nil) || fore != (m.Truth[i] >= 0) || m.Truth[i] >= truths || m.IoUs[i] < 0 || m.IoUs[i] > 1 {
			return fmt.Errorf("%s: RoI %d is %v, label %d, truth %d, IoU %v", p.name, i, b, m.Labels[i], m.Truth[i], m.IoUs[i])
		}
	}
	return nil
}
