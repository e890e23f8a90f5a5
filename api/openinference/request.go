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
)

// maxParameterLen is the longest name or value of a parameter, in bytes as JSON has it: some
// strategies' worth of colours and scales.
const maxParameterLen = 1024

// Parse reads a request: its body, and the values of its header [HeaderLength], of which
// there may be none. An error is an [*Error] of status 400.
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
			return nil, invalid("the body is empty: want a picture")
		case n == 0:
			// The body is the one element of the tensor, without its length before it.
			return &Request{Image: body, Options: map[string]string{}, Outputs: allOutputs(true)}, nil
		}
		header, tail = body[:n], body[n:]
	}
	if err := validateJSON(header); err != nil {
		return nil, err
	}
	r := requestParser{json: scanner{header}, options: map[string]string{}}
	if err := r.request(); err != nil {
		return nil, err
	}
	image, err := r.image.decode(tail, len(headerLength) > 0)
	if err != nil {
		return nil, err
	}
	return &Request{ID: r.id, Image: image, Options: r.options, Outputs: r.requestedOutputs()}, nil
}

// validateJSON looks whether a text is JSON.
func validateJSON(text []byte) error {
	switch {
	case len(text) == 0:
		return invalid(`the body is empty: want {"inputs":[...]}`)
	case !utf8.Valid(text):
		return invalid("the JSON is not UTF-8: want UTF-8; if binary tensors follow it, %s must have its length", HeaderLength)
	case json.Valid(text):
		return nil
	}
	// Unmarshal looks at the whole text, as Valid did, before it takes memory.
	wrong, _ := errors.AsType[*json.SyntaxError](json.Unmarshal(text, new(any)))
	return invalid("the JSON is wrong at byte %d: %v; if binary tensors follow it, %s must have its length", wrong.Offset, wrong, HeaderLength)
}

// requestParser goes through a request's JSON.
type requestParser struct {
	json          scanner
	id            string
	options       map[string]string
	binaryDefault bool // what outputs are that do not say it
	image         *input
	outputs       []outputSpec
}

// outputSpec is one that is asked for; binary may be for the request to say.
type outputSpec struct {
	name   string
	binary *bool
}

func (r *requestParser) request() error {
	err := r.json.object("the request", func(key string) (err error) {
		switch key {
		case "id":
			r.id, err = r.json.str("id")
		case "parameters":
			err = r.json.parameters("parameters", r.parameter)
		case "inputs":
			err = r.json.array("inputs", r.input)
		case "outputs":
			err = r.json.array("outputs", r.output)
		default:
			r.json.value()
		}
		return err
	})
	if err == nil && r.image == nil {
		err = invalid("the request has no input: want one, %q", Image)
	}
	return err
}

// parameter takes one of the request's.
func (r *requestParser) parameter(name string, value []byte) (err error) {
	switch name {
	case "binary_data_output":
		r.binaryDefault, err = parseBool("parameters: "+name, value)
	case "sequence_id", "sequence_start", "sequence_end", "priority", "timeout":
	default:
		if len(value) > maxParameterLen || len(name) > maxParameterLen {
			return invalid("parameter %.40q is %d bytes long, and its name %d: want at most %d each", name, len(value), len(name), maxParameterLen)
		}
		r.options[name], err = optionText(name, value)
	}
	return err
}

// optionText writes a parameter's value as the options' parser wants it.
func optionText(name string, value []byte) (string, error) {
	switch text := string(value); {
	case value[0] == '"':
		return unquote(value), nil
	case value[0] == 't' || value[0] == 'f' || !strings.ContainsAny(text, ".eE"):
		return text, nil // whole numbers may be longer than a float64 can tell
	default:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", invalid("parameter %.40q: %.40s: want a number that a float64 holds", name, text)
		}
		return strconv.FormatFloat(f, 'f', -1, 64), nil // 1e2 and 100.0 are 100
	}
}

// input takes one of the request's, of which there may be one.
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
			r.image.shape = r.json.value()
		case "data":
			r.image.data = r.json.value()
		case "parameters":
			err = r.json.parameters("input: parameters", func(name string, value []byte) error {
				if name == "binary_data_size" {
					r.image.size = value
				}
				return checkTensorParameter("input", name)
			})
		default:
			r.json.value()
		}
		return err
	})
}

// output takes one of those that the request asks for.
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
			r.json.value()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !isOutputName(o.name):
		return invalid("output %.40q is unknown: want %q or %q", o.name, Boxes, Scores)
	case slices.ContainsFunc(r.outputs, func(other outputSpec) bool { return other.name == o.name }):
		return invalid("output %q is asked for twice: want it once", o.name)
	}
	r.outputs = append(r.outputs, o)
	return nil
}

// checkTensorParameter refuses the parameters of a tensor that would have another answer.
func checkTensorParameter(what, name string) error {
	if name == "classification" || strings.HasPrefix(name, "shared_memory_") {
		return invalid("%s: parameters: %.40q is not offered: want the tensor itself, as data or in binary", what, name)
	}
	return nil
}

// requestedOutputs are the outputs that the request asks for; without any it means all.
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

// input is a tensor as the JSON describes it. What is not given is nil or empty.
type input struct {
	name, datatype    string
	shape, data, size []byte // JSON
}

// decode is the picture. The tail is what follows the JSON, if a header says where that ends.
func (in *input) decode(tail []byte, header bool) ([]byte, error) {
	dims := unitDims(in.shape)
	switch {
	case in.name != Image:
		return nil, invalid("input %.40q is unknown: want %q", in.name, Image)
	case in.datatype != "BYTES":
		return nil, invalid(`input %q: datatype %.40q: want "BYTES"`, Image, in.datatype)
	case in.shape == nil:
		return nil, invalid("input %q has no shape: want [1]", Image)
	case dims != 1 && dims != 2:
		return nil, invalid("input %q: shape %.40s: want [1] or [1,1], for one picture a request", Image, in.shape)
	case in.data == nil && in.size == nil:
		return nil, invalid(`input %q has neither data nor the parameter binary_data_size: want one of them`, Image)
	case in.data != nil && in.size != nil:
		return nil, invalid(`input %q has data and the parameter binary_data_size: want one of them`, Image)
	case in.size != nil && !header:
		return nil, invalid("input %q has binary_data_size, and the request no %s: want the length of the JSON there", Image, HeaderLength)
	case in.size != nil:
		return in.decodeBinary(tail)
	case len(tail) > 0:
		return nil, invalid("%d bytes follow the JSON, and no input has the parameter binary_data_size: want none, or the size", len(tail))
	}
	return in.decodeText(dims)
}

func (in *input) decodeBinary(tail []byte) ([]byte, error) {
	size, err := strconv.ParseUint(string(in.size), 10, 64)
	if err != nil || size != uint64(len(tail)) {
		return nil, invalid("input %q: binary_data_size %.40s: want %d, the bytes that follow the JSON", Image, in.size, len(tail))
	}
	if size < 4 {
		return nil, invalid("input %q: %d binary bytes: want 4 with the length of the picture, little-endian, and the picture", Image, size)
	}
	if n := binary.LittleEndian.Uint32(tail); uint64(n) != size-4 {
		return nil, invalid("input %q: the first 4 binary bytes say that %d follow: want %d, little-endian", Image, n, size-4)
	}
	if size == 4 {
		return nil, errEmptyImage
	}
	return tail[4:], nil
}

// decodeText takes the one element of as many nested lists as the shape has sides, or of
// one, as tensors may be written flat.
func (in *input) decodeText(dims int) ([]byte, error) {
	text, ok := singleItem(in.data)
	if ok && dims == 2 && text[0] == '[' {
		text, ok = singleItem(text)
	}
	if !ok || text[0] != '"' {
		return nil, invalid("input %q: data: want a list of one string, the picture in base64", Image)
	}
	code := text[1 : len(text)-1]
	if bytes.IndexByte(code, '\\') >= 0 { // some write / as \/
		code = []byte(unquote(text))
	}
	image, err := base64.StdEncoding.AppendDecode(nil, code)
	if err != nil {
		return nil, invalid("input %q: data: %v: want the picture in standard base64, padded (RFC 4648, section 4)", Image, err)
	}
	if len(image) == 0 {
		return nil, errEmptyImage
	}
	return image, nil
}

var errEmptyImage = invalid("input %q is empty: want a picture", Image)

// unitDims is the number of sides of a shape that are all 1; 0 if it is another.
func unitDims(shape []byte) int {
	c := scanner{shape}
	n := 0
	if !c.consume('[') {
		return 0
	}
	for ; !c.consume(']'); n++ {
		if string(c.value()) != "1" {
			return 0
		}
		c.consume(',')
	}
	return n
}
