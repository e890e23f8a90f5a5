package openinference

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/box"
)

var sampleBoxes = []box.Box{{X0: 0, Y0: 0, X1: 640, Y1: 480}, {X0: 12, Y0: 7, X1: 201, Y1: 333}, {X0: -1, Y0: -maxCoordinate, X1: maxCoordinate, Y1: 3}, {}}

// response is a response as a client decodes it.
type response struct {
	Model   string `json:"model_name"`
	Version string `json:"model_version"`
	ID      *string
	Outputs []struct {
		Name, Datatype string
		Shape          []int
		Parameters     *struct {
			Size *int `json:"binary_data_size"`
		}
		Data *[]float32
	}
}

// read decodes a response as a client does, in either form, and checks it against the protocol. It
// returns the values of each output.
func read(t rapid.TB, body []byte, headerLength int) (r response, data [][]float32) {
	head, tail := body, []byte(nil)
	if headerLength >= 0 {
		head, tail = body[:headerLength], body[headerLength:]
	}
	dec := json.NewDecoder(bytes.NewReader(head))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("%v in %s", err, head)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("more than an object: %s", head)
	}
	for _, o := range r.Outputs {
		n := 1
		for _, side := range o.Shape {
			n *= side
		}
		var values []float32
		switch {
		case o.Datatype != "FP32" || (o.Data == nil) == (o.Parameters == nil):
			t.Fatalf("output %+v of %s", o, head)
		case o.Data != nil:
			values = *o.Data
		case o.Parameters.Size == nil || headerLength < 0 || *o.Parameters.Size > len(tail):
			t.Fatalf("no binary data: %s", head)
		default:
			values = make([]float32, *o.Parameters.Size/4)
			if err := binary.Read(bytes.NewReader(tail), binary.LittleEndian, values); err != nil {
				t.Fatalf("%v of %s", err, head)
			}
			tail = tail[*o.Parameters.Size:]
		}
		if len(values) != n {
			t.Fatalf("%d values of shape %v", len(values), o.Shape)
		}
		data = append(data, values)
	}
	if len(tail) > 0 {
		t.Fatalf("%d bytes are left", len(tail))
	}
	return r, data
}

// checkResponse encodes a response, decodes it and compares the content.
func checkResponse(t rapid.TB, req *Request, boxes []box.Box, scores []float32) {
	const before = "HTTP/1.1 200 OK\r\n\r\n"
	body, headerLength, err := AppendResponse([]byte(before), req, boxes, scores, ModelName, ModelVersion)
	if err != nil {
		t.Fatalf("%v", err)
	}
	body, ok := bytes.CutPrefix(body, []byte(before))
	if !ok {
		t.Fatalf("got %s, want dst as the prefix", body)
	}
	r, data := read(t, body, headerLength)
	if r.Model != "selective_search" || r.Version != "1" || len(r.Outputs) != len(req.Outputs) ||
		(r.ID == nil) != (req.ID == "") || r.ID != nil && *r.ID != req.ID {
		t.Fatalf("%+v of %+v", r, req)
	}
	binary := false
	for i, o := range req.Outputs {
		binary = binary || o.Binary
		got := r.Outputs[i]
		if got.Name != o.Name || (got.Parameters != nil) != o.Binary {
			t.Fatalf("output %d: %+v, want %+v", i, got, o)
		}
		var want []float32
		shape := []int{len(boxes)}
		if o.Name == Scores {
			want = scores
		} else {
			shape = []int{len(boxes), 4}
			for _, b := range boxes {
				want = append(want, float32(b.X0), float32(b.Y0), float32(b.X1), float32(b.Y1))
			}
		}
		if !reflect.DeepEqual(got.Shape, shape) || len(data[i]) != len(want) {
			t.Fatalf("output %d: shape %v with %d values, want %v with %d", i, got.Shape, len(data[i]), shape, len(want))
		}
		for j, v := range want {
			if math.Float32bits(data[i][j]) != math.Float32bits(v) {
				t.Fatalf("%s %d: %v, want %v", o.Name, j, data[i][j], v)
			}
		}
	}
	if binary != (headerLength >= 0) {
		t.Fatalf("header length %d for %+v", headerLength, req.Outputs)
	}
}

func TestAppendResponse(t *testing.T) {
	boxes := []box.Box{{X0: 0, Y0: 0, X1: 640, Y1: 480}, {X0: 12, Y0: 7, X1: 201, Y1: 333}}
	scores := []float32{0.9, 1e-7}
	const (
		boxBytes = "\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x20\x44" + "\x00\x00\xf0\x43" +
			"\x00\x00\x40\x41" + "\x00\x00\xe0\x40" + "\x00\x00\x49\x43" + "\x00\x80\xa6\x43"
		scoreBytes = "\x66\x66\x66\x3f" + "\x95\xbf\xd6\x33"
	)
	for name, c := range map[string]struct {
		id         string
		outputs    []Output
		boxes      []box.Box
		scores     []float32
		version    string
		head, tail string
		length     bool
	}{
		"json": {
			"42",
			[]Output{{Boxes, false}, {Scores, false}},
			boxes, scores, "1",
			`{"model_name":"selective_search","model_version":"1","id":"42","outputs":[` +
				`{"name":"boxes","datatype":"FP32","shape":[2,4],"data":[0,0,640,480,12,7,201,333]},` +
				`{"name":"scores","datatype":"FP32","shape":[2],"data":[0.9,1e-7]}]}`, "", false,
		},
		"binary": {
			"",
			[]Output{{Boxes, true}, {Scores, true}},
			boxes, scores, "1",
			`{"model_name":"selective_search","model_version":"1","outputs":[` +
				`{"name":"boxes","datatype":"FP32","shape":[2,4],"parameters":{"binary_data_size":32}},` +
				`{"name":"scores","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}`, boxBytes + scoreBytes, true,
		},
		"in the requested order": {
			"",
			[]Output{{Scores, true}, {Boxes, true}},
			boxes, scores, "",
			`{"model_name":"selective_search","outputs":[` +
				`{"name":"scores","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}},` +
				`{"name":"boxes","datatype":"FP32","shape":[2,4],"parameters":{"binary_data_size":32}}]}`, scoreBytes + boxBytes, true,
		},
		"mixed": {
			"<&>",
			[]Output{{Scores, false}, {Boxes, true}},
			boxes, scores, "",
			`{"model_name":"selective_search","id":"<&>","outputs":[` +
				`{"name":"scores","datatype":"FP32","shape":[2],"data":[0.9,1e-7]},` +
				`{"name":"boxes","datatype":"FP32","shape":[2,4],"parameters":{"binary_data_size":32}}]}`, boxBytes, true,
		},
		"no boxes": {
			"",
			[]Output{{Boxes, false}, {Scores, false}},
			nil, nil, "",
			`{"model_name":"selective_search","outputs":[` +
				`{"name":"boxes","datatype":"FP32","shape":[0,4],"data":[]},` +
				`{"name":"scores","datatype":"FP32","shape":[0],"data":[]}]}`, "", false,
		},
		"no boxes, binary": {
			"",
			[]Output{{Boxes, true}},
			nil, nil, "",
			`{"model_name":"selective_search","outputs":[` +
				`{"name":"boxes","datatype":"FP32","shape":[0,4],"parameters":{"binary_data_size":0}}]}`, "", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			req := &Request{ID: c.id, Outputs: c.outputs}
			body, headerLength, err := AppendResponse(nil, req, c.boxes, c.scores, ModelName, c.version)
			want, contentType := -1, "application/json"
			if c.length {
				want, contentType = len(c.head), "application/octet-stream"
			}
			if err != nil || string(body) != c.head+c.tail || headerLength != want || ContentType(headerLength) != contentType {
				t.Errorf("%v, %d %s\ngot  %q\nwant %q", err, headerLength, ContentType(headerLength), body, c.head+c.tail)
			}
		})
	}
}

func TestResponseRoundTrip(t *testing.T) {
	outputs := rapid.SampledFrom([][]string{{Boxes}, {Scores}, {Boxes, Scores}, {Scores, Boxes}})
	rapid.Check(t, func(t *rapid.T) {
		req := &Request{ID: rapid.String().Draw(t, "id")}
		for _, name := range outputs.Draw(t, "outputs") {
			req.Outputs = append(req.Outputs, Output{name, rapid.Bool().Draw(t, "binary")})
		}
		n := rapid.IntRange(0, 20).Draw(t, "n")
		coordinate := rapid.Int32Range(-maxCoordinate, maxCoordinate)
		boxes := make([]box.Box, n)
		scores := make([]float32, n)
		for i := range n {
			boxes[i] = box.Box{X0: coordinate.Draw(t, "x0"), Y0: coordinate.Draw(t, "y0"), X1: coordinate.Draw(t, "x1"), Y1: coordinate.Draw(t, "y1")}
			scores[i] = rapid.Float32().Draw(t, "score")
		}
		checkResponse(t, req, boxes, scores)
	})
}

func TestAppendResponseRejects(t *testing.T) {
	req := &Request{Outputs: []Output{{Boxes, true}, {Scores, true}}}
	for _, c := range []struct {
		boxes  []box.Box
		scores []float32
		want   string
	}{
		{make([]box.Box, 2), make([]float32, 1), "openinference: 2 boxes and 1 scores: want equal numbers"},
		{make([]box.Box, 2), []float32{0, float32(math.NaN())}, "openinference: score 1 is NaN: want a finite number"},
		{make([]box.Box, 1), []float32{float32(math.Inf(-1))}, "openinference: score 0 is -Inf: want a finite number"},
		{[]box.Box{{}, {X1: 1<<24 + 1}}, make([]float32, 2), "openinference: box 1 is [0 0 16777217 0]: want coordinates from -16777216 to 16777216"},
		{[]box.Box{{Y0: math.MinInt32}}, make([]float32, 1), "openinference: box 0 is [0 -2147483648 0 0]: want coordinates"},
	} {
		t.Run(c.want, func(t *testing.T) {
			body, _, err := AppendResponse([]byte("x"), req, c.boxes, c.scores, ModelName, ModelVersion)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || string(body) != "x" {
				t.Errorf("got %v and body %q, want %s and dst", err, body, c.want)
			}
		})
	}
}

func TestUnknownOutputPanics(t *testing.T) {
	defer func() {
		if got := recover(); got != `openinference: there is no output "labels"` {
			t.Error(got)
		}
	}()
	_, _, _ = AppendResponse(nil, &Request{Outputs: []Output{{"labels", false}}}, nil, nil, ModelName, ModelVersion)
}

func TestAppendError(t *testing.T) {
	if got := string(AppendError([]byte("x"), "want <1> & \"2\"\n\xff")); got != `x{"error":"want <1> & \"2\"\n\ufffd"}` {
		t.Error(got)
	}
}

func TestCheckModel(t *testing.T) {
	for _, c := range []struct{ name, version, want string }{
		{ModelName, "", ""},
		{ModelName, "1", ""},
		{ModelName, "2", `model "selective_search" has no version "2": want "1" or none`},
		{ModelName, "01", `has no version "01"`},
		{"Selective_Search", "1", `model "Selective_Search" is unknown: want "selective_search"`},
		{"", "", `model "" is unknown`},
	} {
		t.Run(c.name+"/"+c.version, func(t *testing.T) {
			err := CheckModel(c.name, c.version)
			e, ok := errors.AsType[*Error](err)
			if c.want == "" && err != nil || c.want != "" && (!ok || e.Status != http.StatusNotFound || !strings.Contains(e.Message, c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{Server("v1.2"), `{"name":"proposer","version":"v1.2","extensions":["binary_tensor_data"]}`},
		{Model(), `{"name":"selective_search","versions":["1"],"platform":"proposer_selective_search",` +
			`"inputs":[{"name":"image","datatype":"BYTES","shape":[1]}],` +
			`"outputs":[{"name":"boxes","datatype":"FP32","shape":[-1,4]},{"name":"scores","datatype":"FP32","shape":[-1]}]}`},
	} {
		if got, err := json.Marshal(c.v); err != nil || string(got) != c.want {
			t.Errorf("%v\ngot  %s\nwant %s", err, got, c.want)
		}
	}
}
