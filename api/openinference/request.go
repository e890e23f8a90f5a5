package openinference

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/proposer/proposer/internal/jsonscan"
)

// maxParameterLen is the maximum length of a parameter's name or value, in bytes of JSON, and of an id. Lists
// of color spaces and scales fit.
const maxParameterLen = 1024

// maxParameters is the maximum number of parameters of a request.
const maxParameters = 100

// ParseMemory returns a bound, in bytes, of the memory that [Parse] allocates, including that of the
// image.
func ParseMemory(body []byte, headerLength []string) int64 {
	text := body
	if len(headerLength) > 0 {
		n, err := strconv.ParseUint(headerLength[0], 10, 64)
		if err != nil || n > uint64(len(body)) {
			return 0
		}
		text = body[:n]
	}
	n := int64(len(text))
	if bytes.IndexByte(text, '\\') >= 0 {
		n *= 4 // the base64 is copied twice
	}
	return n - n/4 + min(3*int64(len(text)), 3*maxParameters*maxParameterLen)
}

// Parse parses a request, given its body and the values of its header [HeaderLength], of which there
// may be none. Errors are of type [*Error] with status 400.
func Parse(body []byte, headerLength []string) (*Request, error) {
	header, tail := body, []byte(nil)
	if len(headerLength) > 0 {
		n, err := strconv.ParseUint(headerLength[0], 10, 64)
		switch {
		case len(headerLength) > 1:
			return nil, invalid("%d headers %s: want one, or none", len(headerLength), HeaderLength)
		case err != nil || n > uint64(len(body)):
			return nil, invalid("%s %.40q: want a whole number from 0 to %d, the bytes of the body", HeaderLength, headerLength[0], len(body))
		case n == 0 && len(body) == 0:
			return nil, invalid("the body is empty: want an image")
		case n == 0:
			// The body is the only element of the tensor, without a length before it.
			return &Request{Image: body, Options: map[string]string{}, Outputs: allOutputs(true)}, nil
		}
		header, tail = body[:n], body[n:]
	}
	if err := validateJSON(header); err != nil {
		return nil, err
	}
	r := requestParser{json: scanner{jsonscan.New(header)}, options: map[string]string{}}
	if err := r.request(); err != nil {
		return nil, err
	}
	image, err := r.image.decode(tail, len(headerLength) > 0)
	if err != nil {
		return nil, err
	}
	return &Request{ID: r.id, Image: image, Options: r.options, Outputs: r.requestedOutputs()}, nil
}

// validateJSON returns an error unless the text is UTF-8 and JSON.
func validateJSON(text []byte) error {
	switch {
	case len(text) == 0:
		return invalid(`the body is empty: want {"inputs":[...]}`)
	case !utf8.Valid(text):
		return invalid("the JSON is not UTF-8: want UTF-8; if binary tensors follow it, %s must have its length", HeaderLength)
	case json.Valid(text):
		return nil
	}
	// Unmarshal checks the whole text before it allocates memory.
	wrong, _ := errors.AsType[*json.SyntaxError](json.Unmarshal(text, new(any)))
	return invalid("the JSON is wrong at byte %d: %v; if binary tensors follow it, %s must have its length", wrong.Offset, wrong, HeaderLength)
}

// requestParser parses the JSON of a request.
type requestParser struct {
	json          scanner
	id            string
	options       map[string]string
	binaryDefault bool // for outputs without the parameter binary_data
	image         *input
	outputs       []outputSpec
}

// outputSpec is a requested output. If binary is nil the default of the request applies.
type outputSpec struct {
	name   string
	binary *bool
}

func (r *requestParser) request() error {
	err := r.json.object("the request", func(key string) (err error) {
		switch key {
		case "id":
			if r.id, err = r.json.str("id"); len(r.id) > maxParameterLen {
				err = invalid("id is %d bytes long: want at most %d", len(r.id), maxParameterLen)
			}
		case "parameters":
			err = r.json.parameters("parameters", r.parameter)
		case "inputs":
			err = r.json.array("inputs", r.input)
		case "outputs":
			err = r.json.array("outputs", r.output)
		default:
			r.json.Value()
		}
		return err
	})
	if err == nil && r.image == nil {
		err = errNoInput
	}
	return err
}

// parameter reads a parameter of the request.
func (r *requestParser) parameter(name string, value []byte) (err error) {
	switch {
	case name == binaryDataOutput:
		r.binaryDefault, err = parseBool("parameters: "+name, value)
	case isProtocolParameter(name):
	default:
		if len(value) > maxParameterLen || len(name) > maxParameterLen {
			return invalid("parameter %.40q is %d bytes long, and its name %d: want at most %d each", name, len(value), len(name), maxParameterLen)
		}
		if len(r.options) == maxParameters {
			return invalid("more than %d parameters: want at most %d", maxParameters, maxParameters)
		}
		r.options[name], err = optionText(name, value)
	}
	return err
}

const binaryDataOutput = "binary_data_output"

// isProtocolParameter reports whether the protocol defines a parameter, which is no option then.
func isProtocolParameter(name string) bool {
	switch name {
	case binaryDataOutput, "sequence_id", "sequence_start", "sequence_end", "priority", "timeout":
		return true
	}
	return false
}

// optionText converts a parameter's value to the syntax of options.
func optionText(name string, value []byte) (string, error) {
	switch text := string(value); {
	case value[0] == '"':
		return jsonscan.Unquote(value), nil
	case value[0] == 't' || value[0] == 'f' || !strings.ContainsAny(text, ".eE"):
		return text, nil // integers may exceed the precision of a float64
	default:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", invalid("parameter %.40q: %.40s: want a number in the range of float64", name, text)
		}
		return strconv.FormatFloat(f, 'f', -1, 64), nil // 1e2 and 100.0 are 100
	}
}

// input reads an input. A request has exactly one.
func (r *requestParser) input() error {
	if r.image != nil {
		return invalid("the request has more than one input: want one, %q", Image)
	}
	r.image = &input{}
	return r.json.object("input", func(key string) (err error) {
		switch key {
		case "name":
			r.image.name, err = r.json.str("input: name")
		case "datatype":
			r.image.datatype, err = r.json.str("input: datatype")
		case "shape":
			r.image.shape = r.json.Value()
		case "data":
			r.image.data = r.json.Value()
		case "parameters":
			err = r.json.parameters("input: parameters", func(name string, value []byte) error {
				if name == "binary_data_size" {
					r.image.size = value
				}
				return checkTensorParameter("input", name)
			})
		default:
			r.json.Value()
		}
		return err
	})
}

// output reads a requested output.
func (r *requestParser) output() error {
	var o outputSpec
	err := r.json.object("output", func(key string) (err error) {
		switch key {
		case "name":
			o.name, err = r.json.str("output: name")
		case "parameters":
			err = r.json.parameters("output: parameters", func(name string, value []byte) error {
				if name == "binary_data" {
					binary, err := parseBool("output: parameters: "+name, value)
					o.binary = &binary
					return err
				}
				return checkTensorParameter("output", name)
			})
		default:
			r.json.Value()
		}
		return err
	})
	if err == nil {
		err = checkOutput(o.name, slices.ContainsFunc(r.outputs, func(other outputSpec) bool { return other.name == o.name }))
	}
	r.outputs = append(r.outputs, o)
	return err
}

// checkOutput rejects requested outputs that do not exist or are repeated.
func checkOutput(name string, repeated bool) error {
	switch {
	case !isOutputName(name):
		return invalid("output %.40q is unknown: want %q or %q", name, Boxes, Scores)
	case repeated:
		return invalid("output %q is requested twice: want it once", name)
	}
	return nil
}

// checkTensorParameter rejects parameters of a tensor that ask for something other than its data.
func checkTensorParameter(what, name string) error {
	if name == "classification" || strings.HasPrefix(name, "shared_memory_") {
		return invalid("%s: parameters: %.40q is not supported: want the tensor itself, as data or in binary", what, name)
	}
	return nil
}

// requestedOutputs returns the outputs that the request asks for, by default all.
func (r *requestParser) requestedOutputs() []Output {
	if len(r.outputs) == 0 {
		return allOutputs(r.binaryDefault)
	}
	asked := make([]Output, len(r.outputs))
	for i, o := range r.outputs {
		asked[i] = Output{o.name, r.binaryDefault}
		if o.binary != nil {
			asked[i].Binary = *o.binary
		}
	}
	return asked
}

// input is an input tensor as the JSON describes it. Missing members are nil or empty.
type input struct {
	name, datatype    string
	shape, data, size []byte // JSON
}

// decode returns the image. tail is what follows the JSON; hasHeader reports whether the request has the
// header [HeaderLength].
func (in *input) decode(tail []byte, hasHeader bool) ([]byte, error) {
	dims := unitDims(in.shape)
	if err := checkInput(in.name, in.datatype, string(in.shape), dims); err != nil {
		return nil, err
	}
	switch {
	case in.data == nil && in.size == nil:
		return nil, invalid(`input %q has neither data nor the parameter binary_data_size: want one of them`, Image)
	case in.data != nil && in.size != nil:
		return nil, invalid(`input %q has data and the parameter binary_data_size: want one of them`, Image)
	case in.size != nil && !hasHeader:
		return nil, invalid("input %q has binary_data_size, but the request has no header %s: want it, with the length of the JSON", Image, HeaderLength)
	case in.size != nil:
		return in.decodeBinary(tail)
	case len(tail) > 0:
		return nil, invalid("%d bytes follow the JSON, but no input has the parameter binary_data_size: want no bytes, or the parameter", len(tail))
	}
	return in.decodeText(dims)
}

// checkInput rejects inputs that are not one image. The shape is a text, empty if there is none; dims is
// its number of dimensions if all of them are 1, and 0 otherwise.
func checkInput(name, datatype, shape string, dims int) error {
	switch {
	case name != Image:
		return invalid("input %.40q is unknown: want %q", name, Image)
	case datatype != "BYTES":
		return invalid(`input %q: datatype %.40q: want "BYTES"`, Image, datatype)
	case shape == "":
		return invalid("input %q has no shape: want [1]", Image)
	case dims != 1 && dims != 2:
		return invalid("input %q: shape %.40s: want [1] or [1,1], for one image per request", Image, shape)
	}
	return nil
}

func (in *input) decodeBinary(tail []byte) ([]byte, error) {
	size, err := strconv.ParseUint(string(in.size), 10, 64)
	if err != nil || size != uint64(len(tail)) {
		return nil, invalid("input %q: binary_data_size %.40s: want %d, the bytes that follow the JSON", Image, in.size, len(tail))
	}
	return decodeElement(tail)
}

// decodeElement returns the only element of a binary tensor.
func decodeElement(tensor []byte) ([]byte, error) {
	size := uint64(len(tensor))
	if size < 4 {
		return nil, invalid("input %q: %d binary bytes: want 4 with the length of the image, little-endian, and the image", Image, size)
	}
	if n := binary.LittleEndian.Uint32(tensor); uint64(n) != size-4 {
		return nil, invalid("input %q: the first 4 binary bytes announce %d more: want %d, little-endian", Image, n, size-4)
	}
	if size == 4 {
		return nil, errEmptyImage
	}
	return tensor[4:], nil
}

// decodeText returns the image in base64: the only element of dims nested lists, or of one list, as
// tensors may be flat.
func (in *input) decodeText(dims int) ([]byte, error) {
	text, ok := singleItem(in.data)
	if ok && dims == 2 && text[0] == '[' {
		text, ok = singleItem(text)
	}
	if !ok || text[0] != '"' {
		return nil, invalid("input %q: data: want a list of one string, the image in base64", Image)
	}
	code := text[1 : len(text)-1]
	if bytes.IndexByte(code, '\\') >= 0 { // some encoders escape slashes
		code = []byte(jsonscan.Unquote(text))
	}
	image, err := base64.StdEncoding.AppendDecode(nil, code)
	if err != nil {
		return nil, invalid("input %q: data: %v: want the image in standard base64, padded (RFC 4648, section 4)", Image, err)
	}
	if len(image) == 0 {
		return nil, errEmptyImage
	}
	return image, nil
}

var (
	errEmptyImage = invalid("input %q is empty: want an image", Image)
	errNoInput    = invalid("the request has no input: want one, %q", Image)
)

// unitDims returns the number of dimensions of a shape if all of them are 1, and 0 otherwise.
func unitDims(shape []byte) int {
	c := scanner{jsonscan.New(shape)}
	n := 0
	if !c.Consume('[') {
		return 0
	}
	for ; !c.Consume(']'); n++ {
		if string(c.Value()) != "1" {
			return 0
		}
		c.Consume(',')
	}
	return n
}
