package openinference

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/testutil/inferencepb"
)

// rawRequest returns a request as tritonclient sends it.
func rawRequest(image []byte) *inferencepb.ModelInferRequest {
	return &inferencepb.ModelInferRequest{
		ModelName:        ModelName,
		Inputs:           []*inferencepb.ModelInferRequest_InferInputTensor{{Name: Image, Datatype: "BYTES", Shape: []int64{1}}},
		RawInputContents: [][]byte{append(binary.LittleEndian.AppendUint32(nil, uint32(len(image))), image...)},
	}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	message, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestParseMessage(t *testing.T) {
	image := []byte("an image")
	all := []Output{{Boxes, true}, {Scores, true}}
	for name, c := range map[string]struct {
		change func(*inferencepb.ModelInferRequest)
		want   Request
	}{
		"raw": {func(*inferencepb.ModelInferRequest) {}, Request{Image: image, Outputs: all}},
		"contents": {func(r *inferencepb.ModelInferRequest) {
			r.RawInputContents = nil
			r.Inputs[0].Contents = &inferencepb.InferTensorContents{BytesContents: [][]byte{image}}
		}, Request{Image: image, Outputs: allOutputs(false)}},
		"empty contents and raw": {func(r *inferencepb.ModelInferRequest) {
			r.Inputs[0].Contents = &inferencepb.InferTensorContents{}
		}, Request{Image: image, Outputs: all}},
		"outputs": {func(r *inferencepb.ModelInferRequest) {
			r.Id, r.ModelVersion, r.Inputs[0].Shape = "42", "1", []int64{1, 1}
			r.Outputs = []*inferencepb.ModelInferRequest_InferRequestedOutputTensor{{Name: Scores, Parameters: map[string]*inferencepb.InferParameter{"x": nil}}}
		}, Request{ID: "42", Image: image, Outputs: []Output{{Scores, true}}}},
		"parameters": {func(r *inferencepb.ModelInferRequest) {
			r.Parameters = map[string]*inferencepb.InferParameter{
				"a": {ParameterChoice: &inferencepb.InferParameter_BoolParam{}},
				"b": {ParameterChoice: &inferencepb.InferParameter_BoolParam{BoolParam: true}},
				"c": {ParameterChoice: &inferencepb.InferParameter_Int64Param{Int64Param: math.MinInt64}},
				"d": {ParameterChoice: &inferencepb.InferParameter_Uint64Param{Uint64Param: math.MaxUint64}},
				"e": {ParameterChoice: &inferencepb.InferParameter_DoubleParam{DoubleParam: 0.8}},
				"f": {ParameterChoice: &inferencepb.InferParameter_DoubleParam{DoubleParam: 1e2}},
				"g": {ParameterChoice: &inferencepb.InferParameter_StringParam{StringParam: "HSV,Läb"}},
				"":  {ParameterChoice: &inferencepb.InferParameter_StringParam{}},
				// These concern schedulers.
				"priority": {ParameterChoice: &inferencepb.InferParameter_Uint64Param{}}, "timeout": nil, "sequence_id": nil,
			}
		}, Request{Image: image, Outputs: all, Options: map[string]string{
			"a": "false", "b": "true", "c": "-9223372036854775808", "d": "18446744073709551615", "e": "0.8", "f": "100", "g": "HSV,Läb", "": "",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := rawRequest(image)
			c.change(r)
			if c.want.Options == nil {
				c.want.Options = map[string]string{}
			}
			if got, err := ParseMessage(marshal(t, r)); err != nil || !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

// A field may be repeated, of another type, or unknown: the last one counts, or it is ignored.
func TestParseMessageFields(t *testing.T) {
	message := appendString(nil, 1, "resnet")
	message = append(message, marshal(t, rawRequest([]byte("image")))...)
	message = protowire.AppendTag(message, 1, protowire.VarintType)
	message = protowire.AppendVarint(message, 1)
	message = appendString(message, 99, "x")
	message = protowire.AppendTag(message, 98, protowire.Fixed64Type)
	message = protowire.AppendFixed64(message, 1)
	if r, err := ParseMessage(message); err != nil || string(r.Image) != "image" {
		t.Errorf("got %v, %v", r, err)
	}
	for n := range message {
		_, _ = ParseMessage(message[:n]) // does not panic
	}
	repeated := appendString(nil, 1, ModelName)
	for range 2 {
		entry := appendString(appendString(nil, 1, "max"), 2, "\x10\x05")
		repeated = protowire.AppendBytes(protowire.AppendTag(repeated, 4, protowire.BytesType), entry)
	}
	if _, err := ParseMessage(repeated); err == nil || !strings.Contains(err.Error(), `duplicate member "max"`) {
		t.Errorf("got %v", err)
	}
}

// Messages that are made of many small fields do not make ParseMessage allocate more than it states.
func TestParseMessageMemory(t *testing.T) {
	const n = 1 << 20
	field := func(number protowire.Number, value string) string { return string(appendField(nil, number, value)) }
	repeat := func(s string) string { return strings.Repeat(s, n/len(s)) }
	valid := string(marshal(t, rawRequest([]byte("image"))))
	var params string
	for i := range maxParameters {
		params += field(4, field(1, fmt.Sprintf("%03d", i)+strings.Repeat("x", maxParameterLen-3))+field(2, field(3, strings.Repeat("y", maxParameterLen))))
	}
	for name, c := range map[string]struct {
		message string
		ok      bool
	}{
		"image":              {string(marshal(t, rawRequest(make([]byte, n)))), true},
		"empty inputs":       {repeat(field(5, "")), false},
		"empty outputs":      {repeat(field(6, "")), false},
		"raw inputs":         {valid + repeat(field(7, "")), false},
		"parameters":         {valid + repeat(field(4, "")), false},
		"longest parameters": {valid + params, true},
		"names":              {repeat(field(1, ModelName)) + valid, false},
		"dimensions":         {field(1, ModelName) + field(5, field(1, Image)+field(2, "BYTES")+field(3, repeat("\x01"))), false},
		"contents":           {field(1, ModelName) + field(5, field(1, Image)+field(2, "BYTES")+field(3, "\x01")+field(5, repeat(field(8, "")))), false},
		"numbers":            {field(1, ModelName) + field(5, field(1, Image)+field(2, "BYTES")+field(3, "\x01")+field(5, field(4, repeat("\x01")))), false},
		"unknown fields":     {valid + repeat(field(100, "")), false},
		"groups":             {repeat("\xa3\x06"), false},
		"truncated":          {field(7, repeat("x"))[:n/2], false},
	} {
		t.Run(name, func(t *testing.T) {
			message := []byte(c.message)
			var err error
			got := allocated(func() { _, err = ParseMessage(message) })
			if want := uint64(MessageMemory(message)); (err == nil) != c.ok || got > want {
				t.Errorf("got %d bytes allocated for %d, error %v; want at most %d, valid: %t", got, len(message), err, want, c.ok)
			}
		})
	}
}

func appendField(dst []byte, number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), value)
}

// FuzzParseMessage compares with generated code: what ParseMessage accepts is a message with that
// content.
func FuzzParseMessage(f *testing.F) {
	full := rawRequest([]byte("image"))
	full.Id, full.ModelVersion = "1", "1"
	full.Parameters = map[string]*inferencepb.InferParameter{"max": {ParameterChoice: &inferencepb.InferParameter_Int64Param{Int64Param: 5}}}
	full.Outputs = []*inferencepb.ModelInferRequest_InferRequestedOutputTensor{{Name: Scores}}
	contents := rawRequest(nil)
	contents.RawInputContents = nil
	contents.Inputs[0].Contents = &inferencepb.InferTensorContents{BytesContents: [][]byte{[]byte("image")}}
	for _, r := range []*inferencepb.ModelInferRequest{rawRequest([]byte("image")), full, contents, {}} {
		f.Add(marshal(f, r))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := ParseMessage(message)
		if e, ok := errors.AsType[*Error](err); err != nil && (!ok || e.Status != http.StatusBadRequest && e.Status != http.StatusNotFound || !utf8.ValidString(e.Message) || len(e.Message) > 1024) {
			t.Fatalf("got %v", err)
		}
		var m inferencepb.ModelInferRequest
		if invalid := proto.Unmarshal(message, &m); invalid != nil || err != nil {
			if err == nil && !strings.Contains(invalid.Error(), "UTF-8") { // of fields that are not read
				t.Fatalf("accepted, but %v", invalid)
			}
			return
		}
		var image []byte
		raw := len(m.RawInputContents) > 0
		if raw {
			image = m.RawInputContents[0][4:]
		} else {
			image = m.Inputs[0].Contents.BytesContents[0]
		}
		if !bytes.Equal(r.Image, image) || r.ID != m.Id || len(m.Inputs) != 1 || m.ModelName != ModelName {
			t.Fatalf("got %+v of %v", r, &m)
		}
		if len(m.Outputs) > 0 && !slices.EqualFunc(r.Outputs, m.Outputs, func(o Output, want *inferencepb.ModelInferRequest_InferRequestedOutputTensor) bool {
			return o == Output{want.Name, raw}
		}) {
			t.Fatalf("got outputs %v of %v", r.Outputs, &m)
		}
		for name, p := range m.Parameters {
			var want any
			switch choice := p.GetParameterChoice().(type) {
			case *inferencepb.InferParameter_BoolParam:
				want = choice.BoolParam
			case *inferencepb.InferParameter_Int64Param:
				want = choice.Int64Param
			case *inferencepb.InferParameter_Uint64Param:
				want = choice.Uint64Param
			case *inferencepb.InferParameter_StringParam:
				want = choice.StringParam
			default:
				continue
			}
			if got := r.Options[name]; !isProtocolParameter(name) && got != fmt.Sprint(want) {
				t.Fatalf("parameter %q: got %q, want %v", name, got, want)
			}
		}
	})
}

func TestAppendMessage(t *testing.T) {
	outputs := rapid.SampledFrom([][]string{{Boxes}, {Scores}, {Boxes, Scores}, {Scores, Boxes}})
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.Bool().Draw(t, "raw")
		req := &Request{ID: rapid.String().Draw(t, "id")}
		for _, name := range outputs.Draw(t, "outputs") {
			req.Outputs = append(req.Outputs, Output{name, raw})
		}
		n := rapid.IntRange(0, 20).Draw(t, "n")
		values := map[string][]float32{Boxes: {}, Scores: make([]float32, n)}
		shapes := map[string][]int64{Boxes: {int64(n), 4}, Scores: {int64(n)}}
		coordinate := rapid.Int32Range(-maxCoordinate, maxCoordinate)
		boxes := make([]box.Box, n)
		for i := range boxes {
			b := box.Box{X0: coordinate.Draw(t, "x0"), Y0: coordinate.Draw(t, "y0"), X1: coordinate.Draw(t, "x1"), Y1: coordinate.Draw(t, "y1")}
			boxes[i] = b
			values[Boxes] = append(values[Boxes], float32(b.X0), float32(b.Y0), float32(b.X1), float32(b.Y1))
			values[Scores][i] = rapid.Float32().Draw(t, "score")
		}
		message, err := AppendMessage([]byte("before"), req, boxes, values[Scores])
		if err != nil {
			t.Fatal(err)
		}
		message, ok := bytes.CutPrefix(message, []byte("before"))
		var m inferencepb.ModelInferResponse
		if err := proto.Unmarshal(message, &m); err != nil || !ok {
			t.Fatalf("%v: %q", err, message)
		}
		if m.ModelName != ModelName || m.ModelVersion != ModelVersion || m.Id != req.ID || len(m.Outputs) != len(req.Outputs) ||
			len(m.ProtoReflect().GetUnknown()) > 0 || raw && len(m.RawOutputContents) != len(req.Outputs) || !raw && m.RawOutputContents != nil {
			t.Fatalf("got %v", &m)
		}
		for i, o := range m.Outputs {
			got := o.GetContents().GetFp32Contents()
			if raw {
				got = make([]float32, len(m.RawOutputContents[i])/4)
				if _, err := binary.Decode(m.RawOutputContents[i], binary.LittleEndian, got); err != nil || o.Contents != nil {
					t.Fatalf("%v: %v", err, o)
				}
			}
			if want := req.Outputs[i].Name; o.Name != want || o.Datatype != "FP32" || !slices.Equal(o.Shape, shapes[want]) || !slices.Equal(got, values[want]) {
				t.Fatalf("got %v, want %s %v %v", o, want, shapes[want], values[want])
			}
		}
	})
	if message, err := AppendMessage([]byte("x"), &Request{}, make([]box.Box, 1), nil); err == nil || string(message) != "x" {
		t.Errorf("got %q, %v", message, err)
	}
}
