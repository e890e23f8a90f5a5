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

// maxText is the longest name or value of a parameter, in bytes as JSON has it: some
// strategies' worth of colours and scales.
const maxText = 1024

// Parse reads a request: its body, and the values of its header [HeaderLength], of which
// there may be none. An error is an [*Error] of status 400.
func Parse(body []byte, headerLength []string) (*Request, error) {
	header, tail := body, []byte(nil)
	if len(headerLength) > 0 {
		n, err := strconv.ParseUint(headerLength[0], 10, 64)
		switch {
		case len(headerLength) > 1:
			return nil, bad("%d headers %s: want one, or none", len(headerLength), HeaderLength)
		case err != nil || n > uint64(len(body)):
			return nil, bad("%s %.40q: want a whole number from 0 to %d, the bytes of the body", HeaderLength, headerLength[0], len(body))
		case n == 0 && len(body) == 0:
			return nil, bad("the body is empty: want a picture")
		case n == 0:
			// The body is the one element of the tensor, without its length before it.
			return &Request{Image: body, Options: map[string]string{}, Outputs: outputs(true)}, nil
		}
		header, tail = body[:n], body[n:]
	}
	if err := check(header); err != nil {
		return nil, err
	}
	r := reader{c: cursor{header}, options: map[string]string{}}
	if err := r.request(); err != nil {
		return nil, err
	}
	image, err := r.image.decode(tail, len(headerLength) > 0)
	if err != nil {
		return nil, err
	}
	return &Request{ID: r.id, Image: image, Options: r.options, Outputs: r.asked()}, nil
}

// check looks whether a text is JSON.
func check(text []byte) error {
	switch {
	case len(text) == 0:
		return bad(`the body is empty: want {"inputs":[...]}`)
	case !utf8.Valid(text):
		return bad("the JSON is not UTF-8: want UTF-8; if binary tensors follow it, %s must have its length", HeaderLength)
	case json.Valid(text):
		return nil
	}
	// Unmarshal looks at the whole text, as Valid did, before it takes memory.
	wrong, _ := errors.AsType[*json.SyntaxError](json.Unmarshal(text, new(any)))
	return bad("the JSON is wrong at byte %d: %v; if binary tensors follow it, %s must have its length", wrong.Offset, wrong, HeaderLength)
}

// reader goes through a request's JSON.
type reader struct {
	c       cursor
	id      string
	options map[string]string
	binary  bool // what outputs are that do not say it
	image   *input
	outputs []output
}

// output is one that is asked for; binary may be for the request to say.
type output struct {
	name   string
	binary *bool
}

func (r *reader) request() error {
	err := r.c.object("the request", func(key string) (err error) {
		switch key {
		case "id":
			r.id, err = r.c.text("id")
		case "parameters":
			err = r.c.parameters("parameters", r.parameter)
		case "inputs":
			err = r.c.list("inputs", r.input)
		case "outputs":
			err = r.c.list("outputs", r.output)
		default:
			r.c.value()
		}
		return err
	})
	if err == nil && r.image == nil {
		err = bad("the request has no input: want one, %q", Image)
	}
	return err
}

// parameter takes one of the request's.
func (r *reader) parameter(name string, value []byte) (err error) {
	switch name {
	case "binary_data_output":
		r.binary, err = flag("parameters: "+name, value)
	case "sequence_id", "sequence_start", "sequence_end", "priority", "timeout":
	default:
		if len(value) > maxText || len(name) > maxText {
			return bad("parameter %.40q is %d bytes long, and its name %d: want at most %d each", name, len(value), len(name), maxText)
		}
		r.options[name], err = option(name, value)
	}
	return err
}

// option writes a parameter's value as the options' parser wants it.
func option(name string, value []byte) (string, error) {
	switch text := string(value); {
	case value[0] == '"':
		return unquote(value), nil
	case value[0] == 't' || value[0] == 'f' || !strings.ContainsAny(text, ".eE"):
		return text, nil // whole numbers may be longer than a float64 can tell
	default:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", bad("parameter %.40q: %.40s: want a number that a float64 holds", name, text)
		}
		return strconv.FormatFloat(f, 'f', -1, 64), nil // 1e2 and 100.0 are 100
	}
}

// input takes one of the request's, of which there may be one.
func (r *reader) input() error {
	if r.image != nil {
		return bad("the request has more than one input: want one, %q", Image)
	}
	r.image = &input{}
	return r.c.object("input", func(key string) (err error) {
		switch key {
		case "name":
			r.image.name, err = r.c.text("input: name")
		case "datatype":
			r.image.datatype, err = r.c.text("input: datatype")
		case "shape":
			r.image.shape = r.c.value()
		case "data":
			r.image.data = r.c.value()
		case "parameters":
			err = r.c.parameters("input: parameters", func(name string, value []byte) error {
				if name == "binary_data_size" {
					r.image.size = value
				}
				return offered("input", name)
			})
		default:
			r.c.value()
		}
		return err
	})
}

// output takes one of those that the request asks for.
func (r *reader) output() error {
	var o output
	err := r.c.object("output", func(key string) (err error) {
		switch key {
		case "name":
			o.name, err = r.c.text("output: name")
		case "parameters":
			err = r.c.parameters("output: parameters", func(name string, value []byte) error {
				if name == "binary_data" {
					binary, err := flag("output: parameters: "+name, value)
					o.binary = &binary
					return err
				}
				return offered("output", name)
			})
		default:
			r.c.value()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !isOutput(o.name):
		return bad("output %.40q is unknown: want %q or %q", o.name, Boxes, Scores)
	case slices.ContainsFunc(r.outputs, func(other output) bool { return other.name == o.name }):
		return bad("output %q is asked for twice: want it once", o.name)
	}
	r.outputs = append(r.outputs, o)
	return nil
}

// offered refuses the parameters of a tensor that would have another answer.
func offered(what, name string) error {
	if name == "classification" || strings.HasPrefix(name, "shared_memory_") {
		return bad("%s: parameters: %.40q is not offered: want the tensor itself, as data or in binary", what, name)
	}
	return nil
}

// asked are the outputs that the request asks for; without any it means all.
func (r *reader) asked() []Output {
	if len(r.outputs) == 0 {
		return outputs(r.binary)
	}
	asked := make([]Output, len(r.outputs))
	for i, o := range r.outputs {
		asked[i] = Output{o.name, r.binary}
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
	dims := ones(in.shape)
	switch {
	case in.name != Image:
		return nil, bad("input %.40q is unknown: want %q", in.name, Image)
	case in.datatype != "BYTES":
		return nil, bad(`input %q: datatype %.40q: want "BYTES"`, Image, in.datatype)
	case in.shape == nil:
		return nil, bad("input %q has no shape: want [1]", Image)
	case dims != 1 && dims != 2:
		return nil, bad("input %q: shape %.40s: want [1] or [1,1], for one picture a request", Image, in.shape)
	case in.data == nil && in.size == nil:
		return nil, bad(`input %q has neither data nor the parameter binary_data_size: want one of them`, Image)
	case in.data != nil && in.size != nil:
		return nil, bad(`input %q has data and the parameter binary_data_size: want one of them`, Image)
	case in.size != nil && !header:
		return nil, bad("input %q has binary_data_size, and the request no %s: want the length of the JSON there", Image, HeaderLength)
	case in.size != nil:
		return in.decodeBinary(tail)
	case len(tail) > 0:
		return nil, bad("%d bytes follow the JSON, and no input has the parameter binary_data_size: want none, or the size", len(tail))
	}
	return in.decodeText(dims)
}

func (in *input) decodeBinary(tail []byte) ([]byte, error) {
	size, err := strconv.ParseUint(string(in.size), 10, 64)
	if err != nil || size != uint64(len(tail)) {
		return nil, bad("input %q: binary_data_size %.40s: want %d, the bytes that follow the JSON", Image, in.size, len(tail))
	}
	if size < 4 {
		return nil, bad("input %q: %d binary bytes: want 4 with the length of the picture, little-endian, and the picture", Image, size)
	}
	if n := binary.LittleEndian.Uint32(tail); uint64(n) != size-4 {
		return nil, bad("input %q: the first 4 binary bytes say that %d follow: want %d, little-endian", Image, n, size-4)
	}
	if size == 4 {
		return nil, errNoPicture
	}
	return tail[4:], nil
}

// decodeText takes the one element of as many nested lists as the shape has sides, or of
// one, as tensors may be written flat.
func (in *input) decodeText(dims int) ([]byte, error) {
	text, ok := only(in.data)
	if ok && dims == 2 && text[0] == '[' {
		text, ok = only(text)
	}
	if !ok || text[0] != '"' {
		return nil, bad("input %q: data: want a list of one string, the picture in base64", Image)
	}
	code := text[1 : len(text)-1]
	if bytes.IndexByte(code, '\\') >= 0 { // some write / as \/
		code = []byte(unquote(text))
	}
	image, err := base64.StdEncoding.AppendDecode(nil, code)
	if err != nil {
		return nil, bad("input %q: data: %v: want the picture in standard base64, padded (RFC 4648, section 4)", Image, err)
	}
	if len(image) == 0 {
		return nil, errNoPicture
	}
	return image, nil
}

var errNoPicture = bad("input %q is empty: want a picture", Image)

// ones is the number of sides of a shape that are all 1; 0 if it is another.
func ones(shape []byte) int {
	c := cursor{shape}
	n := 0
	if !c.skip('[') {
		return 0
	}
	for ; !c.skip(']'); n++ {
		if string(c.value()) != "1" {
			return 0
		}
		c.skip(',')
	}
	return n
}
