package main

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/proposer/proposer/api/openinference"
)

// A row is the JSON object of one image.
type row struct {
	Index         *int            `json:"index"`
	File          string          `json:"file"`
	Error         string          `json:"error"`
	Problem       json.RawMessage `json:"problem"`
	Width         int             `json:"width"`
	Height        int             `json:"height"`
	Seconds       float64         `json:"seconds"`
	DecodeSeconds float64         `json:"decode_seconds"`
	Boxes         [][4]int        `json:"boxes"`
	Scores        []float32       `json:"scores"`
}

func parseRow(data []byte) (*row, error) {
	var r row
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%w in %.200q", err, data)
	}
	if r.Error == "" && (r.Seconds <= 0 || r.DecodeSeconds <= 0) {
		return nil, fmt.Errorf("%s: decoded in %v and searched in %v seconds: want more than 0", r.File, r.DecodeSeconds, r.Seconds)
	}
	return &r, nil
}

func (r *row) found() *found { return &found{r.Width, r.Height, r.Boxes, r.Scores} }

func parseJSON(data []byte) (*found, error) {
	r, err := parseRow(data)
	if err != nil {
		return nil, err
	}
	return r.found(), nil
}

func parseCSV(data []byte) (*found, error) {
	lines, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) < 2 || strings.Join(lines[0], ",") != "file,width,height,rank,x0,y0,x1,y1,score" {
		return nil, fmt.Errorf("CSV of %d lines: %.200q", len(lines), data)
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
			return nil, fmt.Errorf("CSV line %d: rank %d, score %q", i+2, n[2], line[8])
		}
		f.width, f.height = n[0], n[1]
		f.boxes = append(f.boxes, [4]int(n[3:]))
		f.scores = append(f.scores, float32(score))
	}
	return &f, nil
}

func parseNPY(data []byte) (*found, error) {
	if len(data) < 10 || string(data[:6]) != "\x93NUMPY" {
		return nil, fmt.Errorf("not an NPY file: %.40q", data)
	}
	end := 10 + int(binary.LittleEndian.Uint16(data[8:]))
	if end > len(data) {
		return nil, fmt.Errorf("NPY file with a truncated header: %.80q", data)
	}
	var n int
	header := string(data[10:end])
	if _, shape, ok := strings.Cut(header, "'shape': ("); ok {
		_, _ = fmt.Sscanf(shape, "%d, 5)", &n) // a wrong shape is found by the length
	}
	if !strings.Contains(header, "'<f4'") || len(data)-end != n*20 {
		return nil, fmt.Errorf("NPY file with %d bytes after %q", len(data)-end, header)
	}
	return parseFloats(data[end:])
}

func parseBinary(data []byte) (*found, error) {
	if len(data) < 12 || len(data) != 12+20*int(binary.LittleEndian.Uint32(data[8:])) {
		return nil, fmt.Errorf("binary response of %d bytes that begins with % x", len(data), data[:min(12, len(data))])
	}
	f, err := parseFloats(data[12:])
	if err == nil {
		f.width, f.height = int(binary.LittleEndian.Uint32(data)), int(binary.LittleEndian.Uint32(data[4:]))
	}
	return f, err
}

func float(data []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(data)) }

// parseFloats reads rows of x0, y0, x1, y1 and score.
func parseFloats(data []byte) (*found, error) {
	var f found
	for ; len(data) >= 20; data = data[20:] {
		var b [4]int
		for i := range b {
			v := float(data[4*i:])
			b[i] = int(v)
			if float32(b[i]) != v {
				return nil, fmt.Errorf("box %d has the coordinate %v: want an integer", len(f.boxes), v)
			}
		}
		f.boxes = append(f.boxes, b)
		f.scores = append(f.scores, float(data[16:]))
	}
	return &f, nil
}

// parseInference reads a response of the Open Inference Protocol, in JSON or with binary tensors.
func parseInference(res *response) (*found, error) {
	head, tail := res.body, []byte(nil)
	if text := res.header.Get(openinference.HeaderLength); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > len(head) {
			return nil, fmt.Errorf("%s %q with a body of %d bytes", openinference.HeaderLength, text, len(head))
		}
		head, tail = head[:n], head[n:]
	}
	var body struct {
		Outputs []struct {
			Name, Datatype string
			Shape          []int
			Data           []float32
			Parameters     struct {
				Size *int `json:"binary_data_size"`
			}
		}
	}
	if err := json.Unmarshal(head, &body); err != nil {
		return nil, fmt.Errorf("%w in %.200q", err, head)
	}

	tensors := map[string][]float32{}
	for _, o := range body.Outputs {
		data := o.Data
		if size := o.Parameters.Size; size != nil {
			if *size > len(tail) || *size%4 != 0 {
				return nil, fmt.Errorf("output %s: size %d with %d bytes left", o.Name, *size, len(tail))
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
			return nil, fmt.Errorf("output %s: %s %v with %d values", o.Name, o.Datatype, o.Shape, len(data))
		}
		tensors[o.Name] = data
	}

	boxes, scores := tensors["boxes"], tensors["scores"]
	if len(tail) > 0 || len(boxes) != 4*len(scores) {
		return nil, fmt.Errorf("%d coordinates, %d scores and %d trailing bytes", len(boxes), len(scores), len(tail))
	}
	f := &found{scores: scores}
	for ; len(boxes) >= 4; boxes = boxes[4:] {
		f.boxes = append(f.boxes, [4]int{int(boxes[0]), int(boxes[1]), int(boxes[2]), int(boxes[3])})
	}
	return f, nil
}
