package openinference

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/proposer/proposer/box"
)

// maxCoordinate is the largest integer up to which a float32 represents every integer.
const maxCoordinate = 1 << 24

// AppendResponse appends the response to a request that [Parse] returned: boxes, best first, and
// their scores. The model and the version are named in the response; an empty version is left out.
//
// If an output is binary, headerLength is the number of appended bytes that are JSON, for the
// header [HeaderLength]; otherwise it is -1. [ContentType] returns the matching media type. Numbers
// are exact: JSON has the shortest decimals that parse as the same float32. Each tensor is one flat
// list.
//
// AppendResponse returns dst unchanged and an error if the numbers of boxes and scores differ, if a
// coordinate is beyond ±2²⁴, which FP32 does not represent exactly, or if a score is not finite.
func AppendResponse(dst []byte, req *Request, boxes []box.Box, scores []float32, model, version string) (body []byte, headerLength int, err error) {
	tensors, err := outputTensors(boxes, scores)
	if err != nil {
		return dst, 0, err
	}
	response := struct {
		Model   string   `json:"model_name"`
		Version string   `json:"model_version,omitempty"`
		ID      string   `json:"id,omitempty"`
		Outputs []tensor `json:"outputs"`
	}{model, version, req.ID, make([]tensor, len(req.Outputs))}
	var tails [][]float32
	for i, o := range req.Outputs {
		t, ok := tensors[o.Name]
		if !ok {
			panic(fmt.Sprintf("openinference: there is no output %q", o.Name))
		}
		if o.Binary {
			tails = append(tails, t.Data)
			t.Parameters = &tensorParameters{4 * len(t.Data)}
			t.Data = nil
		}
		response.Outputs[i] = t
	}
	start := len(dst)
	dst = appendJSON(dst, response)
	if len(tails) == 0 {
		return dst, -1, nil
	}
	headerLength = len(dst) - start
	for _, data := range tails {
		for _, v := range data {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	}
	return dst, headerLength, nil
}

// ContentType returns the media type of a response, given the header length that [AppendResponse]
// returned.
func ContentType(headerLength int) string {
	if headerLength < 0 {
		return "application/json"
	}
	return "application/octet-stream"
}

// AppendError appends the response to a request that failed: {"error":"..."}.
func AppendError(dst []byte, message string) []byte {
	return appendJSON(dst, struct {
		Error string `json:"error"`
	}{message})
}

// tensor is an output in the JSON of a response. Either Data is set, or Parameters has the number of
// bytes that follow the JSON.
type tensor struct {
	Name       string            `json:"name"`
	Datatype   string            `json:"datatype"`
	Shape      []int             `json:"shape"`
	Parameters *tensorParameters `json:"parameters,omitempty"`
	Data       []float32         `json:"data,omitzero"`
}

type tensorParameters struct {
	Size int `json:"binary_data_size"`
}

// outputTensors returns the outputs by name.
func outputTensors(boxes []box.Box, scores []float32) (map[string]tensor, error) {
	if len(boxes) != len(scores) {
		return nil, fmt.Errorf("openinference: %d boxes and %d scores: want equal numbers", len(boxes), len(scores))
	}
	corners := make([]float32, 0, 4*len(boxes)) // not nil, which JSON encodes as null
	for i, b := range boxes {
		for _, v := range [...]int32{b.X0, b.Y0, b.X1, b.Y1} {
			if v < -maxCoordinate || v > maxCoordinate {
				return nil, fmt.Errorf("openinference: box %d is %v: want coordinates from %d to %d", i, b, -maxCoordinate, maxCoordinate)
			}
			corners = append(corners, float32(v))
		}
	}
	for i, s := range scores {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("openinference: score %d is %v: want a finite number", i, s)
		}
	}
	if scores == nil {
		scores = []float32{}
	}
	return map[string]tensor{
		Boxes:  {Name: Boxes, Datatype: "FP32", Shape: []int{len(boxes), 4}, Data: corners},
		Scores: {Name: Scores, Datatype: "FP32", Shape: []int{len(scores)}, Data: scores},
	}, nil
}

// appendJSON appends a value as JSON, without escaping &, < and >.
func appendJSON(dst []byte, v any) []byte {
	buf := bytes.NewBuffer(dst)
	e := json.NewEncoder(buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings and finite numbers always encode
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
