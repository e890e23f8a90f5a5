// Package openinference encodes and decodes messages of the Open Inference Protocol, version 2,
// which KServe, Triton and their clients use. [Parse] turns the bytes of a request over HTTP into
// an image and options, [AppendResponse] turns boxes and scores into the bytes of a response;
// [ParseMessage] and [AppendMessage] do so over gRPC. The package neither serves requests nor decodes
// images.
//
// There is one model, [ModelName], with one input and two outputs:
//
//	image   BYTES [1]     an image file: JPEG, PNG, WebP, GIF, BMP or TIFF
//	boxes   FP32  [N,4]   x0 y0 x1 y1 in pixels of the upright image, half-open, best first
//	scores  FP32  [N]     in the order of the boxes
//
// The header [HeaderLength] distinguishes three forms of a request:
//
//   - If it is absent, the body is JSON and the image is a base64 string in it.
//   - If it is the length of the JSON, the tensor "image" follows the JSON in the format of the
//     binary tensor data extension: the length of the image in four bytes, little-endian, and the
//     image.
//   - If it is 0, the body is the image, and both outputs of the response are binary.
//
// The parameters of a request are options of the search, except for those the protocol defines:
// binary_data_output is the default for outputs without the parameter binary_data; sequence_id,
// sequence_start, sequence_end, priority and timeout are ignored, as they concern schedulers.
// Unknown members of objects and unknown parameters of tensors are ignored, except for requests
// for classification and shared memory, which are rejected.
//
// Over gRPC, open_inference_grpc.proto describes the messages. The image is the only element of
// raw_input_contents, in the format above, and the outputs are raw_output_contents, or it is in
// bytes_contents, and the outputs in fp32_contents. Where the protocol leaves a choice, both forms have
// the same rules and the same messages of errors.
//
// The time to parse a request is linear in its length. So is the memory, see [ParseMemory]: little for
// a binary image.
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

// HeaderLength is the HTTP header that holds the length, in bytes, of the JSON at the beginning of the
// body. Requests and responses with binary tensors have it.
const HeaderLength = "Inference-Header-Content-Length"

// Request is an inference request.
type Request struct {
	// ID is the client's identifier of the request, or empty.
	ID string
	// Image is the image file. It is not empty. Unless it was encoded in base64, it shares
	// memory with the body passed to Parse.
	Image []byte
	// Options holds the request's parameters as texts: 100 is "100", 0.8 is "0.8", true is
	// "true". It is never nil. Names and values are not checked.
	Options map[string]string
	// Outputs lists the outputs to return, in this order and without duplicates.
	Outputs []Output
}

// Output is a requested output tensor.
type Output struct {
	Name   string // Boxes or Scores
	Binary bool   // follows the JSON instead of being a part of it
}

// An Error describes an invalid request.
type Error struct {
	// Status is the HTTP status, as Triton chooses it: 400 for an invalid request, 404 for an
	// unknown model or version.
	Status int
	// Message states what is wrong and what is expected. It is meant for the client.
	Message string
}

func (e *Error) Error() string { return "openinference: " + e.Message }

// invalid returns an [*Error] of status 400.
func invalid(format string, args ...any) error {
	return &Error{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// CheckModel returns an [*Error] of status 404 unless the model exists, and also the version if it is
// not empty.
func CheckModel(name, version string) error {
	switch {
	case name != ModelName:
		return &Error{http.StatusNotFound, fmt.Sprintf("model %.60q is unknown: want %q", name, ModelName)}
	case version != "" && version != ModelVersion:
		return &Error{http.StatusNotFound, fmt.Sprintf("model %q has no version %.60q: want %q or none", ModelName, version, ModelVersion)}
	}
	return nil
}

// ServerMetadata is the response of GET /v2.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// Server returns the metadata of the service. The version is that of the program.
func Server(version string) ServerMetadata {
	return ServerMetadata{Name: "proposer", Version: version, Extensions: []string{"binary_tensor_data"}}
}

// ServerLive is the response of GET /v2/health/live.
type ServerLive struct {
	Live bool `json:"live"`
}

// ServerReady is the response of GET /v2/health/ready.
type ServerReady struct {
	Ready bool `json:"ready"`
}

// ModelReady is the response of GET /v2/models/selective_search/ready.
type ModelReady struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

// ModelMetadata is the response of GET /v2/models/selective_search.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata describes an input or output. In its shape, -1 is a dimension of variable size.
type TensorMetadata struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// Model returns the metadata of the model.
func Model() ModelMetadata {
	return ModelMetadata{
		Name:     ModelName,
		Versions: []string{ModelVersion},
		Platform: "proposer_selective_search",
		Inputs:   []TensorMetadata{{Image, "BYTES", []int{1}}},
		Outputs:  []TensorMetadata{{Boxes, "FP32", []int{-1, 4}}, {Scores, "FP32", []int{-1}}},
	}
}

// allOutputs returns all outputs.
func allOutputs(binary bool) []Output { return []Output{{Boxes, binary}, {Scores, binary}} }

// isOutputName reports whether there is an output of that name.
func isOutputName(name string) bool {
	return slices.ContainsFunc(allOutputs(false), func(o Output) bool { return o.Name == name })
}
