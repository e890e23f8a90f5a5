// Package openinference is the codec of the Open Inference Protocol, version 2, over HTTP, as KServe
// and Triton speak it: a request's bytes become a picture and options ([Parse]), boxes and
// scores become a response's bytes ([AppendResponse]). It neither serves nor decodes.
//
// There is one model, [ModelName], with one input and two outputs:
//
//	image   BYTES [1]     a picture's file, one of the formats that package imageio reads
//	boxes   FP32  [N,4]   x0 y0 x1 y1 in the upright picture's pixels, half-open, best first
//	scores  FP32  [N]     in the order of the boxes
//
// A request comes in one of three forms, which the header [HeaderLength] tells apart:
//
//   - without it, the body is JSON, and the picture a base64 text in it;
//   - with the length of the JSON, the body goes on after it with the tensor "image" as
//     the binary tensor data extension has it: four bytes, little-endian, that count the
//     picture's, and the picture;
//   - with 0, the body is the picture, and both outputs are answered in binary.
//
// The request's parameters are options of the search, as texts, but for those that the
// protocol has for itself: binary_data_output says how outputs are answered that do not say
// it themselves; sequence_id, sequence_start, sequence_end, priority and timeout are for
// schedulers and without effect here. Members of objects that are not in the protocol are
// passed over, as are the parameters of a tensor that are not known, unless they ask for
// what is not offered: classification and shared memory.
//
// The time to parse grows with the body alone, and so does the memory: for JSON it is at most
// some four times its length, and half a MiB; a picture in binary takes none.
package openinference

import (
	"fmt"
	"net/http"
	"slices"
)

// The model and its tensors.
const (
	ModelName    = "selective_search"
	ModelVersion = "1"

	Image  = "image"
	Boxes  = "boxes"
	Scores = "scores"
)

// HeaderLength is the name of the HTTP header, of requests and responses, that has the
// number of bytes of JSON that the body begins with. It goes with any binary tensor.
const HeaderLength = "Inference-Header-Content-Length"

// Request is an inference request.
type Request struct {
	// ID is the client's name for the request, empty if it gave none.
	ID string
	// Image is the picture's file, not empty. Unless it came as base64, it is a part of
	// the body that was parsed.
	Image []byte
	// Options are the request's parameters, never nil, their values written as
	// pipeline.ParseOptions reads them: 100 is "100", 0.8 is "0.8", true is "true". Whether
	// there are such options is not looked at.
	Options map[string]string
	// Outputs are those to answer, in this order, each once.
	Outputs []Output
}

// Output is a tensor that is asked for.
type Output struct {
	Name   string // Boxes or Scores
	Binary bool   // after the JSON, not in it
}

// An Error is a request that cannot be answered.
type Error struct {
	// Status is that of HTTP, as Triton chooses it: 400 for what is wrong with the
	// request, 404 for a model or version that is not there.
	Status int
	// Message says what is wrong, and what would be right. It is the client's.
	Message string
}

func (e *Error) Error() string { return "openinference: " + e.Message }

// invalid is an error that the request is at fault for.
func invalid(format string, args ...any) error {
	return &Error{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// CheckModel returns an [*Error] of status 404 unless the model, and the version if it is not
// empty, are those that there are.
func CheckModel(name, version string) error {
	switch {
	case name != ModelName:
		return &Error{http.StatusNotFound, fmt.Sprintf("model %.60q is unknown: want %q", name, ModelName)}
	case version != "" && version != ModelVersion:
		return &Error{http.StatusNotFound, fmt.Sprintf("model %q has no version %.60q: want %q, or none", ModelName, version, ModelVersion)}
	}
	return nil
}

// ServerMetadata answers GET /v2.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// Server is the service's metadata; the version is the program's.
func Server(version string) ServerMetadata {
	return ServerMetadata{Name: "proposer", Version: version, Extensions: []string{"binary_tensor_data"}}
}

// ModelMetadata answers GET /v2/models/selective_search.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata describes an input or output; -1 in its shape is a side that varies.
type TensorMetadata struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// Model is the model's metadata.
func Model() ModelMetadata {
	return ModelMetadata{
		Name:     ModelName,
		Versions: []string{ModelVersion},
		Platform: "proposer_selective_search",
		Inputs:   []TensorMetadata{{Image, "BYTES", []int{1}}},
		Outputs:  []TensorMetadata{{Boxes, "FP32", []int{-1, 4}}, {Scores, "FP32", []int{-1}}},
	}
}

// allOutputs are all there are.
func allOutputs(binary bool) []Output { return []Output{{Boxes, binary}, {Scores, binary}} }

// isOutputName tells whether there is an output of the name.
func isOutputName(name string) bool {
	return slices.ContainsFunc(allOutputs(false), func(o Output) bool { return o.Name == name })
}
