package openinference

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/proposer/proposer/box"
)

// ParseMessage parses a ModelInferRequest. The image shares memory with the message. Errors are of type
// [*Error], with status 404 if the model is unknown and 400 otherwise.
//
// The message is read in place: generated code would take up to 80 times the memory of a message
// that is made of empty tensors.
func ParseMessage(message []byte) (*Request, error) {
	r := messageParser{options: map[string]string{}}
	err := readFields("the request", message, r.field)
	if err != nil {
		return nil, err
	}
	if err := CheckModel(string(r.model), string(r.version)); err != nil {
		return nil, err
	}
	image, err := r.decodeImage()
	if err != nil {
		return nil, err
	}
	raw := r.rawInputs > 0
	req := &Request{ID: string(r.id), Image: image, Options: r.options, Outputs: allOutputs(raw)}
	if len(r.outputs) > 0 {
		req.Outputs = req.Outputs[:0]
		for _, name := range r.outputs {
			req.Outputs = append(req.Outputs, Output{name, raw})
		}
	}
	return req, nil
}

// MessageMemory returns a bound, in bytes, of the memory that [ParseMessage] allocates.
func MessageMemory(message []byte) int64 {
	return 4<<10 + min(2*int64(len(message)), 3*maxParameters*maxParameterLen)
}

// messageParser holds what is known of a ModelInferRequest. Texts are copied at the end, as a field may be
// repeated.
type messageParser struct {
	model, version, id []byte
	options            map[string]string
	parameters         int
	image              *messageInput
	outputs            []string
	rawInputs          int    // number of raw_input_contents
	raw                []byte // the first of them
}

// messageInput is an InferInputTensor.
type messageInput struct {
	name, datatype []byte
	parameters     int
	dims           int   // number of dimensions
	shape          []int // the first of them
	contents       []byte
	elements       int  // number of bytes_contents
	otherContents  bool // there are contents of another type
}

// maxShownDims is the number of dimensions that a message shows.
const maxShownDims = 4

func (r *messageParser) field(number protowire.Number, wire protowire.Type, value []byte) (err error) {
	if wire != protowire.BytesType {
		return nil
	}
	switch number {
	case 1:
		r.model, err = readString("model_name", value)
	case 2:
		r.version, err = readString("model_version", value)
	case 3:
		r.id, err = readString("id", value)
	case 4:
		err = readParameter("parameters", value, &r.parameters, r.parameter)
	case 5:
		err = r.input(value)
	case 6:
		err = r.output(value)
	case 7:
		if r.rawInputs++; r.rawInputs == 1 {
			r.raw = value
		}
	}
	return err
}

// parameter adds a parameter of the request. Its value is an InferParameter.
func (r *messageParser) parameter(name string, value []byte) error {
	text, ok, err := readParameterValue(name, value)
	switch _, repeated := r.options[name]; {
	case err != nil:
		return err
	case isProtocolParameter(name):
		return nil
	case !ok:
		return invalid("parameters: %.40q: want a string, a number, true or false", name)
	case repeated:
		return invalid("parameters: duplicate member %.40q: want it once", name)
	}
	r.options[name] = text
	return nil
}

func (r *messageParser) input(value []byte) error {
	if r.image != nil {
		return invalid("the request has more than one input: want one, %q", Image)
	}
	in := &messageInput{}
	r.image = in
	return readFields("input", value, func(number protowire.Number, wire protowire.Type, value []byte) (err error) {
		switch {
		case number == 3 && wire == protowire.VarintType:
			_, err = in.dimension(value)
		case number == 3 && wire == protowire.BytesType:
			for len(value) > 0 && err == nil && in.dims <= maxShownDims { // more are invalid anyway
				value, err = in.dimension(value)
			}
		case wire != protowire.BytesType:
		case number == 1:
			in.name, err = readString("input: name", value)
		case number == 2:
			in.datatype, err = readString("input: datatype", value)
		case number == 4:
			err = readParameter("input: parameters", value, &in.parameters, func(name string, _ []byte) error {
				return checkTensorParameter("input", name)
			})
		case number == 5:
			err = readFields("input: contents", value, in.content)
		}
		return err
	})
}

// dimension reads a dimension of the shape and returns what follows it.
func (in *messageInput) dimension(value []byte) ([]byte, error) {
	v, n := protowire.ConsumeVarint(value)
	if n < 0 {
		return nil, errMessage("input: shape")
	}
	if in.dims++; in.dims <= maxShownDims {
		in.shape = append(in.shape, int(max(min(int64(v), math.MaxInt32), math.MinInt32)))
	}
	return value[n:], nil
}

// content reads a field of InferTensorContents.
func (in *messageInput) content(number protowire.Number, wire protowire.Type, value []byte) error {
	switch {
	case number == 8 && wire == protowire.BytesType:
		if in.elements++; in.elements == 1 {
			in.contents = value
		}
	case number >= 1 && number <= 7:
		in.otherContents = true
	}
	return nil
}

func (r *messageParser) output(value []byte) error {
	var name []byte
	parameters := 0
	err := readFields("output", value, func(number protowire.Number, wire protowire.Type, value []byte) (err error) {
		switch {
		case wire != protowire.BytesType:
		case number == 1:
			name, err = readString("output: name", value)
		case number == 2:
			err = readParameter("output: parameters", value, &parameters, func(name string, _ []byte) error {
				return checkTensorParameter("output", name)
			})
		}
		return err
	})
	if err == nil {
		err = checkOutput(string(name), slices.Contains(r.outputs, string(name)))
	}
	r.outputs = append(r.outputs, string(name))
	return err
}

// decodeImage returns the image.
func (r *messageParser) decodeImage() ([]byte, error) {
	in := r.image
	if in == nil {
		return nil, errNoInput
	}
	dims, shape := 0, ""
	if in.dims > 0 {
		shape = in.shapeText()
	}
	if in.dims <= 2 && !slices.ContainsFunc(in.shape, func(d int) bool { return d != 1 }) {
		dims = in.dims
	}
	if err := checkInput(string(in.name), string(in.datatype), shape, dims); err != nil {
		return nil, err
	}
	hasContents := in.elements > 0 || in.otherContents
	switch {
	case hasContents && r.rawInputs > 0:
		return nil, invalid("input %q has contents, and the request has raw_input_contents: want one of them", Image)
	case in.otherContents:
		return nil, invalid("input %q has contents of another type than BYTES: want bytes_contents", Image)
	case in.elements > 1:
		return nil, invalid("input %q has %d bytes_contents: want one, the image", Image, in.elements)
	case r.rawInputs > 1:
		return nil, invalid("the request has %d raw_input_contents: want one, for the input %q", r.rawInputs, Image)
	case r.rawInputs == 1:
		return decodeElement(r.raw)
	case in.elements == 0:
		return nil, invalid("input %q has no contents, and the request has no raw_input_contents: want one of them", Image)
	case len(in.contents) == 0:
		return nil, errEmptyImage
	}
	return in.contents, nil
}

func (in *messageInput) shapeText() string {
	text := []byte{'['}
	for i, d := range in.shape {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(d), 10)
	}
	if in.dims > len(in.shape) {
		text = append(text, ",..."...)
	}
	return string(append(text, ']'))
}

// ParseModelRequest parses a ModelReadyRequest or a ModelMetadataRequest. The errors are those of
// [CheckModel], and an [*Error] of status 400 if the message is invalid.
func ParseModelRequest(message []byte) error {
	var name, version []byte
	err := readFields("the request", message, func(number protowire.Number, wire protowire.Type, value []byte) (err error) {
		switch {
		case wire != protowire.BytesType:
		case number == 1:
			name, err = readString("name", value)
		case number == 2:
			version, err = readString("version", value)
		}
		return err
	})
	if err != nil {
		return err
	}
	return CheckModel(string(name), string(version))
}

// ParseHealthRequest returns the service that a HealthCheckRequest of grpc.health.v1 names, or an
// [*Error] of status 400.
func ParseHealthRequest(message []byte) (service string, err error) {
	var name []byte
	err = readFields("the request", message, func(number protowire.Number, wire protowire.Type, value []byte) (err error) {
		if number == 1 && wire == protowire.BytesType {
			name, err = readString("service", value)
		}
		return err
	})
	return string(name), err
}

// AppendHealth appends a HealthCheckResponse of grpc.health.v1.
func AppendHealth(dst []byte, serving bool) []byte {
	status := uint64(2) // NOT_SERVING
	if serving {
		status = 1
	}
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	return protowire.AppendVarint(dst, status)
}

// maxFields is the maximum number of fields of a message, so that one that is made of empty fields is
// rejected early.
const maxFields = 1000

// readFields calls f with each field of a message. The value of a field of type bytes is its content;
// that of others is as encoded.
func readFields(what string, message []byte, f func(number protowire.Number, wire protowire.Type, value []byte) error) error {
	for fields := 0; len(message) > 0; fields++ {
		if fields == maxFields {
			return invalid("%s: more than %d fields: want fewer", what, maxFields)
		}
		number, wire, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errMessage(what)
		}
		message = message[n:]
		n = protowire.ConsumeFieldValue(number, wire, message)
		if n < 0 {
			return errMessage(what)
		}
		value := message[:n]
		if wire == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		if err := f(number, wire, value); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

func errMessage(what string) error {
	return invalid("%s: the bytes are not a message of Protocol Buffers: want one of the protocol's .proto file", what)
}

// readString returns the text of a string field.
func readString(what string, value []byte) ([]byte, error) {
	switch {
	case len(value) > maxParameterLen:
		return nil, invalid("%s is %d bytes long: want at most %d", what, len(value), maxParameterLen)
	case !utf8.Valid(value):
		return nil, invalid("%s is not UTF-8: want UTF-8", what)
	}
	return value, nil
}

// readParameter calls f with the name and the InferParameter of an entry of a map. count is the number
// of entries before it.
func readParameter(what string, entry []byte, count *int, f func(name string, value []byte) error) error {
	if *count == maxParameters {
		return invalid("%s: more than %d: want fewer", what, maxParameters)
	}
	*count++
	var name, value []byte
	err := readFields(what, entry, func(number protowire.Number, wire protowire.Type, v []byte) (err error) {
		switch {
		case wire != protowire.BytesType:
		case number == 1:
			name, err = readString(what+": name", v)
		case number == 2:
			value = v
		}
		return err
	})
	if err != nil {
		return err
	}
	return f(string(name), value)
}

// readParameterValue returns the value of an InferParameter in the syntax of options, and whether there
// is one.
func readParameterValue(name string, message []byte) (text string, ok bool, err error) {
	what := "parameters: " + strconv.Quote(name[:min(len(name), 40)])
	var number protowire.Number // of the last choice, which counts
	var value []byte
	err = readFields(what, message, func(n protowire.Number, wire protowire.Type, v []byte) (err error) {
		switch {
		case n == 3 && wire == protowire.BytesType:
			v, err = readString(what, v)
		case n == 4 && wire == protowire.Fixed64Type:
		case (n == 1 || n == 2 || n == 5) && wire == protowire.VarintType:
		default:
			return nil
		}
		number, value = n, v
		return err
	})
	switch number {
	case 3:
		return string(value), true, err
	case 4:
		v, _ := protowire.ConsumeFixed64(value)
		return strconv.FormatFloat(math.Float64frombits(v), 'f', -1, 64), true, err
	}
	v, _ := protowire.ConsumeVarint(value)
	switch number {
	case 1:
		text = strconv.FormatBool(v != 0)
	case 2:
		text = strconv.FormatInt(int64(v), 10)
	case 5:
		text = strconv.FormatUint(v, 10)
	}
	return text, text != "", err
}

// AppendMessage appends the ModelInferResponse to a request that [ParseMessage] returned. The outputs are
// raw if the input was. The errors are those of [AppendResponse].
func AppendMessage(dst []byte, req *Request, boxes []box.Box, scores []float32) ([]byte, error) {
	tensors, err := outputTensors(boxes, scores)
	if err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, 256+len(req.ID)+20*len(boxes))
	dst = appendString(dst, 1, ModelName)
	dst = appendString(dst, 2, ModelVersion)
	dst = appendString(dst, 3, req.ID)
	for _, o := range req.Outputs {
		t := tensors[o.Name]
		size := 4 * len(t.Data)
		description := appendTensor(nil, TensorMetadata{t.Name, t.Datatype, t.Shape})
		length := len(description)
		content := protowire.SizeTag(6) + protowire.SizeBytes(size)
		if !o.Binary {
			length += protowire.SizeTag(5) + protowire.SizeBytes(content)
		}
		dst = protowire.AppendTag(dst, 5, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(length))
		dst = append(dst, description...)
		if !o.Binary {
			dst = protowire.AppendTag(dst, 5, protowire.BytesType)
			dst = protowire.AppendVarint(dst, uint64(content))
			dst = appendFloats(dst, 6, t.Data)
		}
	}
	for _, o := range req.Outputs {
		if o.Binary {
			dst = appendFloats(dst, 6, tensors[o.Name].Data)
		}
	}
	return dst, nil
}

// AppendFlag appends a ServerLiveResponse, ServerReadyResponse or ModelReadyResponse.
func AppendFlag(dst []byte, value bool) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	return protowire.AppendVarint(dst, protowire.EncodeBool(value))
}

// AppendMessage appends the ServerMetadataResponse. It has no extensions, as they concern HTTP.
func (m ServerMetadata) AppendMessage(dst []byte) []byte {
	dst = appendString(dst, 1, m.Name)
	return appendString(dst, 2, m.Version)
}

// AppendMessage appends the ModelMetadataResponse.
func (m ModelMetadata) AppendMessage(dst []byte) []byte {
	dst = appendString(dst, 1, m.Name)
	for _, version := range m.Versions {
		dst = appendString(dst, 2, version)
	}
	dst = appendString(dst, 3, m.Platform)
	for _, in := range m.Inputs {
		dst = protowire.AppendTag(dst, 4, protowire.BytesType)
		dst = protowire.AppendBytes(dst, appendTensor(nil, in))
	}
	for _, out := range m.Outputs {
		dst = protowire.AppendTag(dst, 5, protowire.BytesType)
		dst = protowire.AppendBytes(dst, appendTensor(nil, out))
	}
	return dst
}

// appendTensor appends the name, the datatype and the shape of a tensor, which have the same numbers in
// all messages.
func appendTensor(dst []byte, t TensorMetadata) []byte {
	dst = appendString(dst, 1, t.Name)
	dst = appendString(dst, 2, t.Datatype)
	var shape []byte
	for _, d := range t.Shape {
		shape = protowire.AppendVarint(shape, uint64(d))
	}
	dst = protowire.AppendTag(dst, 3, protowire.BytesType)
	return protowire.AppendBytes(dst, shape)
}

// appendString appends a string field unless it is empty.
func appendString(dst []byte, number protowire.Number, value string) []byte {
	if value == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendString(dst, value)
}

// appendFloats appends a field that holds little-endian float32 values: raw contents, or packed ones.
func appendFloats(dst []byte, number protowire.Number, values []float32) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(4*len(values)))
	for _, v := range values {
		dst = protowire.AppendFixed32(dst, math.Float32bits(v))
	}
	return dst
}
