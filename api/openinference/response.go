package openinference

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/proposer/proposer/box"
)

// maxCoordinate is the greatest that a float32 tells from its neighbours.
const maxCoordinate = 1 << 24

// AppendResponse appends the response to a request that [Parse] returned: boxes, best first,
// and their scores, by the model and version, which may be empty if there are no versions.
//
// The header length is how many of the appended bytes are JSON, for the header
// [HeaderLength], if an output is to be binary, were it empty; else -1. [ContentType] goes
// with it. Numbers are exact: in JSON the shortest decimals that read back as the same
// float32, in one flat list a tensor.
//
// It refuses boxes without as many scores, coordinates beyond ±2²⁴, which FP32 does
// not hold, and scores that are not finite; then dst comes back as it was.
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

// ContentType is the media type of a response with the header length that [AppendResponse]
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

// tensor is an output: its data is in the JSON, or the parameters say how much follows.
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

// outputTensors are the outputs by name.
func outputTensors(boxes []box.Box, scores []float32) (map[string]tensor, error) {
	if len(boxes) != len(scores) {
		return nil, fmt.Errorf("openinference: %d boxes and %d scores: want as many", len(boxes), len(scores))
	}
	corners := make([]float32, 0, 4*len(boxes)) // never nil, which would not be []
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

// appendJSON appends a value's JSON, with &, < and > as they are.
func appendJSON(dst []byte, v any) []byte {
	buf := bytes.NewBuffer(dst)
	e := json.NewEncoder(buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // texts and finite numbers only
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
