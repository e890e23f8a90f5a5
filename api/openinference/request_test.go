package openinference

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var imageBytes = []byte("\x89PNG\xff?/")

const imageBase64 = "iVBOR/8/Lw=="

// frame is a binary element.
func frame(element []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(element))), element...)
}

// length is the header for a body whose JSON is head.
func length(head string) []string { return []string{strconv.Itoa(len(head))} }

// The specifications' examples with the model's tensors, byte by byte, and what clients vary.
func TestParse(t *testing.T) {
	both := []Output{{Boxes, false}, {Scores, false}}
	bothBinary := []Output{{Boxes, true}, {Scores, true}}
	head := `{
  "model_name" : "selective_search",
  "inputs" : [
    {
      "name" : "image",
      "shape" : [ 1 ],
      "datatype" : "BYTES",
      "parameters" : {
        "binary_data_size" : 11
      }
    }
  ],
  "outputs" : [
    {
      "name" : "scores",
      "parameters" : {
        "binary_data" : true
      }
    }
  ]
}`
	// As Triton's Python client writes it when no outputs are named.
	client := `{"id":"7","inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":11}}],` +
		`"parameters":{"sequence_id":3,"sequence_start":true,"sequence_end":false,"priority":1,"timeout":5000,"binary_data_output":true,"mode":"fast"}}`
	plain := func(data string) string {
		return `{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":` + data + `}]}`
	}
	asking := func(outputs string) string {
		return `{"outputs":` + outputs + `,"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["` + imageBase64 + `"]}],"parameters":{"binary_data_output":true}}`
	}
	for name, c := range map[string]struct {
		body   string
		header []string
		want   Request
	}{
		"json": {
			`{
      "id" : "42",
      "inputs" : [
        {
          "name" : "image",
          "shape" : [ 1 ],
          "datatype" : "BYTES",
          "data" : [ "iVBOR/8/Lw==" ]
        }
      ],
      "outputs" : [
        {
          "name" : "boxes"
        }
      ]
    }`, nil, Request{ID: "42", Image: imageBytes, Outputs: []Output{{Boxes, false}}},
		},
		"binary":       {head + string(frame(imageBytes)), length(head), Request{Image: imageBytes, Outputs: []Output{{Scores, true}}}},
		"raw":          {string(imageBytes), []string{"0"}, Request{Image: imageBytes, Outputs: bothBinary}},
		"raw of JSON":  {"{}", []string{"00"}, Request{Image: []byte("{}"), Outputs: bothBinary}},
		"client":       {client + string(frame(imageBytes)), length(client), Request{ID: "7", Image: imageBytes, Options: map[string]string{"mode": "fast"}, Outputs: bothBinary}},
		"header, JSON": {plain(`["AA=="]`), length(plain(`["AA=="]`)), Request{Image: []byte{0}, Outputs: both}},
		"escapes":      {plain(`["iVBOR\/8\u002fLw=\u003d"]`), nil, Request{Image: imageBytes, Outputs: both}},
		"lines":        {plain(`["iVBOR/8\n/Lw==\r\n"]`), nil, Request{Image: imageBytes, Outputs: both}},
		"batch": {
			`{"inputs":[{"data":[["AA=="]],"datatype":"BYTES","shape":[1,1],"name":"image"}]}`, nil,
			Request{Image: []byte{0}, Outputs: both},
		},
		"batch, flat": {
			"\t{\"inputs\":\r\n[{\"data\":[\"AA==\"],\"datatype\":\"BYTES\",\"shape\":[1, 1],\"name\":\"image\"}]} ", nil,
			Request{Image: []byte{0}, Outputs: both},
		},
		"names are case-sensitive, others are passed over": {
			`{"ID":"x","Outputs":7,"x":[{"y":"]}\\\""},-1.5e3,null],"inputs":[{"name":"image","Name":"x","shape":[1],"datatype":"BYTES","data":["AA=="],"parameters":{"content_type":"base64"}}],
			"outputs":[{"name":"scores","parameters":{"content_type":"np"},"x":{}}]}`, nil,
			Request{Image: []byte{0}, Outputs: []Output{{Scores, false}}},
		},
		"escaped names":      {`{"\u0069d":"\u00e9\ud83d\ude00\"","inputs":[{"n\u0061me":"im\u0061ge","shape":[1],"datatype":"BYTES","data":["AA=="]}]}`, nil, Request{ID: `é😀"`, Image: []byte{0}, Outputs: both}},
		"no outputs are all": {asking(`[]`), nil, Request{Image: imageBytes, Outputs: bothBinary}},
		"outputs override":   {asking(`[{"name":"scores","parameters":{"binary_data":false}},{"name":"boxes","parameters":{}}]`), nil, Request{Image: imageBytes, Outputs: []Output{{Scores, false}, {Boxes, true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(c.body), c.header)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Options == nil {
				c.want.Options = map[string]string{}
			}
			if !reflect.DeepEqual(got, &c.want) {
				t.Errorf("got  %+v\nwant %+v", got, &c.want)
			}
		})
	}
}

// An image that is not in base64 is not copied.
func TestImageIsPartOfTheBody(t *testing.T) {
	head := `{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":11}}]}`
	for _, c := range []struct {
		body   []byte
		header string
	}{{bytes.Clone(imageBytes), "0"}, {append([]byte(head), frame(imageBytes)...), strconv.Itoa(len(head))}} {
		r, err := Parse(c.body, []string{c.header})
		if err != nil {
			t.Fatal(err)
		}
		if c.body[len(c.body)-1] = 'x'; r.Image[len(r.Image)-1] != 'x' {
			t.Errorf("header %s: the image is a copy", c.header)
		}
	}
}

func TestOptions(t *testing.T) {
	for value, want := range map[string]string{
		`"off"`:                `off`,
		`"a\u002cb"`:           `a,b`,
		`""`:                   ``,
		`true`:                 `true`,
		`false`:                `false`,
		`100`:                  `100`,
		`-1`:                   `-1`,
		`0.8`:                  `0.8`,
		`100.0`:                `100`,
		`1e2`:                  `100`,
		`1E-7`:                 `0.0000001`,
		`18446744073709551615`: `18446744073709551615`,
		`0.1000000000000000055511151231257827021181583404541015625`: `0.1`,
	} {
		body := `{"parameters":{"k":` + value + `},"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["AA=="]}]}`
		if r, err := Parse([]byte(body), nil); err != nil || !maps.Equal(r.Options, map[string]string{"k": want}) {
			t.Errorf("%s: %v, %+v, want %s", value, err, r, want)
		}
	}
}

func TestParseRejects(t *testing.T) {
	const image = `{"name":"image","shape":[1],"datatype":"BYTES","data":["AA=="]}`
	const binary8 = `{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":8}}]}`
	tensor := func(members string) string { return `{"inputs":[{` + members + `}]}` }
	shape := func(s string) string { return tensor(`"name":"image","datatype":"BYTES","data":["AA=="],"shape":` + s) }
	data := func(s string) string { return tensor(`"name":"image","datatype":"BYTES","shape":[1],"data":` + s) }
	size := func(s string) string {
		return tensor(`"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":` + s + `}`)
	}
	parameters := func(s string) string { return `{"inputs":[` + image + `],"parameters":` + s + `}` }
	outputs := func(s string) string { return `{"inputs":[` + image + `],"outputs":` + s + `}` }
	deep := strings.Repeat("[", 100_000)
	many := new(strings.Builder)
	for i := range 65 {
		fmt.Fprintf(many, `"p%d":1,`, i)
	}
	for _, c := range []struct {
		name, json, tail string
		header           []string // nil: the JSON's length if there is a tail
		want             string
	}{
		// The header.
		{"", "{}", "", []string{"3"}, `Inference-Header-Content-Length "3": want a whole number from 0 to 2, the bytes of the body`},
		{"", "{}", "", []string{"-1"}, `Inference-Header-Content-Length "-1": want a whole number`},
		{"", "{}", "", []string{""}, `Inference-Header-Content-Length "": want a whole number`},
		{"", "{}", "", []string{"+1"}, `"+1": want a whole number`},
		{"", "{}", "", []string{"0x1"}, `"0x1": want a whole number`},
		{"", "{}", "", []string{"18446744073709551617"}, `"18446744073709551617": want a whole number`},
		{"", "{}", "", []string{"9223372036854775808"}, `"9223372036854775808": want a whole number`},
		{"", "{}", "", []string{"2", "2"}, `2 headers Inference-Header-Content-Length: want one, or none`},
		{"", "", "", []string{"0"}, `the body is empty: want an image`},

		// The JSON.
		{"", "", "", nil, `the body is empty: want {"inputs":[...]}`},
		{"", "{", "", nil, `the JSON is wrong at byte 1: unexpected end of JSON input`},
		{"", "{}x", "", nil, `the JSON is wrong at byte 3: invalid character 'x' after top-level value; if binary tensors follow it, Inference-Header-Content-Length must have its length`},
		{"", "\x89PNG", "", nil, `the JSON is not UTF-8: want UTF-8; if binary`},
		{"", "{\"id\":\"\xff\"}", "", nil, `the JSON is not UTF-8`},
		{"deep", deep, "", nil, `the JSON is wrong at byte 10001: invalid character '[' exceeded max depth`},
		{"deep value", `{"x":` + deep + strings.Repeat("]", 100_000) + "}", "", nil, `exceeded max depth`},
		{"", "[]", "", nil, `the request: want an object`},
		{"", "null", "", nil, `the request: want an object`},
		{"", `{"id":1}`, "", nil, `id: want a string`},
		{"", `{"id":null}`, "", nil, `id: want a string`},
		{"", `{"id":"` + strings.Repeat("<", 1025) + `"}`, "", nil, `id is 1025 bytes long: want at most 1024`},
		{"", `{"id":"1","\u0069d":"1"}`, "", nil, `the request: duplicate member "id": want it once`},
		{"", `{"inputs":[` + image + `],"inputs":[]}`, "", nil, `the request: duplicate member "inputs"`},
		{"65 members", "{" + many.String() + `"x":1}`, "", nil, `the request: more than 64 members: want fewer`},

		// The input.
		{"", `{}`, "", nil, `the request has no input: want one, "image"`},
		{"", `{"inputs":[]}`, "", nil, `the request has no input`},
		{"", `{"inputs":{}}`, "", nil, `inputs: want a list`},
		{"", `{"inputs":[1]}`, "", nil, `input: want an object`},
		{"", `{"inputs":[` + image + `,` + image + `]}`, "", nil, `the request has more than one input: want one, "image"`},
		{"", tensor(`"shape":[1],"datatype":"BYTES","data":["AA=="]`), "", nil, `input "" is unknown: want "image"`},
		{"", tensor(`"name":"Image","shape":[1],"datatype":"BYTES","data":["AA=="]`), "", nil, `input "Image" is unknown: want "image"`},
		{"", tensor(`"name":7`), "", nil, `input: name: want a string`},
		{"", tensor(`"name":"image","name":"image"`), "", nil, `input: duplicate member "name"`},
		{"", tensor(`"name":"image","shape":[1],"data":["AA=="]`), "", nil, `input "image": datatype "": want "BYTES"`},
		{"", tensor(`"name":"image","shape":[1],"datatype":"UINT8","data":[1]`), "", nil, `input "image": datatype "UINT8": want "BYTES"`},
		{"", tensor(`"name":"image","datatype":["BYTES"]`), "", nil, `input: datatype: want a string`},
		{"", tensor(`"name":"image","datatype":"BYTES","data":["AA=="]`), "", nil, `input "image" has no shape: want [1]`},
		{"", shape(`[1000000000]`), "", nil, `input "image": shape [1000000000]: want [1] or [1,1], for one image per request`},
		{"", shape(`[1e9]`), "", nil, `shape [1e9]: want [1]`},
		{"", shape(`[99999999999999999999999]`), "", nil, `shape [99999999999999999999999]: want [1]`},
		{"", shape(`[2]`), "", nil, `shape [2]: want [1]`},
		{"", shape(`[-1]`), "", nil, `shape [-1]: want [1]`},
		{"", shape(`[]`), "", nil, `shape []: want [1]`},
		{"", shape(`[1,1,1]`), "", nil, `shape [1,1,1]: want [1]`},
		{"", shape(`["1"]`), "", nil, `shape ["1"]: want [1]`},
		{"", shape(`[[1]]`), "", nil, `shape [[1]]: want [1]`},
		{"", shape(`1`), "", nil, `shape 1: want [1]`},
		{"long shape", shape(`[` + strings.Repeat("1,", 10_000) + `1]`), "", nil, `shape [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1: want [1]`},
		{"", tensor(`"name":"image","shape":[1],"datatype":"BYTES"`), "", nil, `input "image" has neither data nor the parameter binary_data_size: want one of them`},
		{"", tensor(`"name":"image","shape":[1],"datatype":"BYTES","data":["AA=="],"parameters":{"binary_data_size":8}`), frames(4), nil, `input "image" has data and the parameter binary_data_size: want one of them`},
		{"", tensor(`"parameters":[]`), "", nil, `input: parameters: want an object`},
		{"", tensor(`"parameters":{"x":{}}`), "", nil, `input: parameters: "x": want a string, a number, true or false`},
		{"", tensor(`"parameters":{"shared_memory_region":"r","shared_memory_byte_size":8}`), "", nil, `input: parameters: "shared_memory_region" is not supported: want the tensor itself`},

		// Its data.
		{"", data(`"AA=="`), "", nil, `input "image": data: want a list of one string, the image in base64`},
		{"", data(`[]`), "", nil, `data: want a list of one string`},
		{"", data(`["AA==","AA=="]`), "", nil, `data: want a list of one string`},
		{"", data(`[["AA=="]]`), "", nil, `data: want a list of one string`},
		{"", data(`[65]`), "", nil, `data: want a list of one string`},
		{"", data(`null`), "", nil, `data: want a list of one string`},
		{"", tensor(`"name":"image","datatype":"BYTES","shape":[1,1],"data":[[]]`), "", nil, `data: want a list of one string`},
		{"", tensor(`"name":"image","datatype":"BYTES","shape":[1,1],"data":[["AA=="],"AA=="]`), "", nil, `data: want a list of one string`},
		{"", tensor(`"name":"image","datatype":"BYTES","shape":[1,1],"data":[[["AA=="]]]`), "", nil, `data: want a list of one string`},
		{"", data(`["data:image/png;base64,AA=="]`), "", nil, `input "image": data: illegal base64 data at input byte 4: want the image in standard base64, padded (RFC 4648, section 4)`},
		{"", data(`["AA"]`), "", nil, `illegal base64 data`},
		{"", data(`["_-8="]`), "", nil, `illegal base64 data at input byte 0`},
		{"", data(`["AA==AA=="]`), "", nil, `illegal base64 data at input byte 4`},
		{"", data(`["\u00e9A=="]`), "", nil, `illegal base64 data at input byte 0`},
		{"", data(`[""]`), "", nil, `input "image" is empty: want an image`},

		// Its bytes.
		{"", binary8, "", nil, `input "image" has binary_data_size, but the request has no header Inference-Header-Content-Length: want it, with the length of the JSON`},
		{"", binary8, frames(5), nil, `input "image": binary_data_size 8: want 9, the bytes that follow the JSON`},
		{"", binary8, "abcd", nil, `binary_data_size 8: want 4, the bytes`},
		{"", binary8, "", length(binary8), `binary_data_size 8: want 0, the bytes`},
		{"", size(`-8`), frames(4), nil, `binary_data_size -8: want 8, the bytes`},
		{"", size(`8.0`), frames(4), nil, `binary_data_size 8.0: want 8, the bytes`},
		{"", size(`"8"`), frames(4), nil, `binary_data_size "8": want 8, the bytes`},
		{"", size(`true`), frames(4), nil, `binary_data_size true: want 8, the bytes`},
		{"", size(`18446744073709551624`), frames(4), nil, `binary_data_size 18446744073709551624: want 8, the bytes`},
		{"", size(`18446744073709551615`), frames(4), nil, `binary_data_size 18446744073709551615: want 8, the bytes`},
		{"", size(`3`), "abc", nil, `input "image": 3 binary bytes: want 4 with the length of the image, little-endian, and the image`},
		{"", binary8, "\x00\x00\x00\x04abcd", nil, `input "image": the first 4 binary bytes announce 67108864 more: want 4, little-endian`},
		{"", binary8, "\xff\xff\xff\xffabcd", nil, `the first 4 binary bytes announce 4294967295 more: want 4`},
		{"", binary8, "\x03\x00\x00\x00abcd", nil, `the first 4 binary bytes announce 3 more: want 4`},
		{"", size(`4`), frames(0), nil, `input "image" is empty: want an image`},
		{"", `{"inputs":[` + image + `]}`, "x", nil, `1 bytes follow the JSON, but no input has the parameter binary_data_size: want no bytes, or the parameter`},

		// The request's parameters.
		{"", parameters(`[]`), "", nil, `parameters: want an object`},
		{"", parameters(`null`), "", nil, `parameters: want an object`},
		{"", parameters(`{"k":[50,100]}`), "", nil, `parameters: "k": want a string, a number, true or false`},
		{"", parameters(`{"k":{"a":1}}`), "", nil, `parameters: "k": want a string, a number, true or false`},
		{"", parameters(`{"k":null}`), "", nil, `parameters: "k": want a string`},
		{"", parameters(`{"timeout":[]}`), "", nil, `parameters: "timeout": want a string, a number, true or false`},
		{"", parameters(`{"k":1,"k":2}`), "", nil, `parameters: duplicate member "k": want it once`},
		{"", parameters(`{"k":1e999}`), "", nil, `parameter "k": 1e999: want a number in the range of float64`},
		{"long number", parameters(`{"k":` + strings.Repeat("9", 1025) + `}`), "", nil, `parameter "k" is 1025 bytes long, and its name 1: want at most 1024 each`},
		{"long name", parameters(`{"` + strings.Repeat("n", 1025) + `":1}`), "", nil, `parameter "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" is 1 bytes long, and its name 1025`},
		{"65 parameters", parameters("{" + strings.TrimSuffix(many.String(), ",") + "}"), "", nil, `parameters: more than 64 members: want fewer`},
		{"", parameters(`{"binary_data_output":1}`), "", nil, `parameters: binary_data_output: 1: want true or false`},
		{"", parameters(`{"binary_data_output":"true"}`), "", nil, `parameters: binary_data_output: "true": want true or false`},

		// The outputs.
		{"", outputs(`{}`), "", nil, `outputs: want a list`},
		{"", outputs(`["boxes"]`), "", nil, `output: want an object`},
		{"", outputs(`[{}]`), "", nil, `output "" is unknown: want "boxes" or "scores"`},
		{"", outputs(`[{"name":"labels"}]`), "", nil, `output "labels" is unknown: want "boxes" or "scores"`},
		{"", outputs(`[{"name":3}]`), "", nil, `output: name: want a string`},
		{"", outputs(`[{"name":"boxes"},{"name":"scores"},{"name":"boxes"}]`), "", nil, `output "boxes" is requested twice: want it once`},
		{"", outputs(`[{"name":"boxes","parameters":3}]`), "", nil, `output: parameters: want an object`},
		{"", outputs(`[{"name":"boxes","parameters":{"binary_data":0}}]`), "", nil, `output: parameters: binary_data: 0: want true or false`},
		{"", outputs(`[{"name":"scores","parameters":{"classification":2}}]`), "", nil, `output: parameters: "classification" is not supported: want the tensor itself, as data or in binary`},
		{"", outputs(`[{"name":"scores","parameters":{"shared_memory_byte_size":2}}]`), "", nil, `output: parameters: "shared_memory_byte_size" is not supported`},
	} {
		name := c.name
		if name == "" {
			name = c.json + c.tail
		}
		if c.header == nil && c.tail != "" {
			c.header = length(c.json)
		}
		t.Run(fmt.Sprintf("%.60s", name), func(t *testing.T) {
			r, err := Parse([]byte(c.json+c.tail), c.header)
			e, ok := errors.AsType[*Error](err)
			if !ok || r != nil || e.Status != http.StatusBadRequest || !strings.HasPrefix(err.Error(), "openinference: ") ||
				!strings.Contains(e.Message, c.want) || len(e.Message) > 300 {
				t.Errorf("%.200s, header %q: got %v\nwant %s", name, c.header, err, c.want)
			}
		})
	}
}

// frames is a binary element of n bytes.
func frames(n int) string { return string(frame(bytes.Repeat([]byte("a"), n))) }

// message is the content of a request.
type message struct {
	form    string // json, binary or raw
	id      string
	image   []byte
	options map[string]any
	outputs []any // as in the JSON; nil leaves the member out
	binary  *bool // binary_data_output
}

// encode encodes a request as a client does, with encoding/json.
func (m *message) encode(indent string) (body []byte, header []string) {
	if m.form == "raw" {
		return m.image, []string{"0"}
	}
	input := map[string]any{"name": "image", "shape": []int{1}, "datatype": "BYTES"}
	var tail []byte
	if m.form == "binary" {
		tail = frame(m.image)
		input["parameters"] = map[string]any{"binary_data_size": len(tail)}
	} else {
		input["data"] = []string{base64.StdEncoding.EncodeToString(m.image)}
	}
	parameters := maps.Clone(m.options)
	if m.binary != nil {
		parameters["binary_data_output"] = *m.binary
	}
	request := map[string]any{"inputs": []any{input}, "parameters": parameters}
	if m.id != "" {
		request["id"] = m.id
	}
	if m.outputs != nil {
		request["outputs"] = m.outputs
	}
	head, err := json.MarshalIndent(request, "", indent)
	if err != nil {
		panic(err)
	}
	if tail == nil {
		return head, nil
	}
	return append(head, tail...), []string{strconv.Itoa(len(head))}
}

// Parse returns what a client encoded.
func TestParseRoundTrip(t *testing.T) {
	text := rapid.String().Filter(func(s string) bool { return len(s) < 100 })
	rapid.Check(t, func(t *rapid.T) {
		m := message{
			form:    rapid.SampledFrom([]string{"json", "binary", "raw"}).Draw(t, "form"),
			image:   rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "image"),
			options: map[string]any{},
		}
		want := &Request{Image: m.image, Options: map[string]string{}, Outputs: []Output{{Boxes, true}, {Scores, true}}}
		if m.form != "raw" {
			m.id = text.Draw(t, "id")
			want.ID = m.id
			binary := false
			if rapid.Bool().Draw(t, "binary_data_output said") {
				binary = rapid.Bool().Draw(t, "binary_data_output")
				m.binary = &binary
			}
			for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,8}-[a-z"\\é]{0,3}`), 0, 5, rapid.ID).Draw(t, "names") {
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
					v := text.Draw(t, "text")
					m.options[name], want.Options[name] = v, v
				case 1:
					v := rapid.Uint64().Draw(t, "whole")
					m.options[name], want.Options[name] = v, strconv.FormatUint(v, 10)
				case 2:
					v := rapid.Float64Range(-1e6, 1e6).Draw(t, "number")
					m.options[name], want.Options[name] = v, strconv.FormatFloat(v, 'f', -1, 64)
				case 3:
					v := rapid.Bool().Draw(t, "flag")
					m.options[name], want.Options[name] = v, strconv.FormatBool(v)
				}
			}
			want.Outputs = []Output{{Boxes, binary}, {Scores, binary}}
			names := rapid.SampledFrom([][]string{nil, {}, {Boxes}, {Scores}, {Boxes, Scores}, {Scores, Boxes}}).Draw(t, "outputs")
			if names != nil {
				m.outputs = []any{}
			}
			if len(names) > 0 {
				want.Outputs = nil
			}
			for _, name := range names {
				o := Output{name, binary}
				asked := map[string]any{"name": name}
				if rapid.Bool().Draw(t, "binary_data said") {
					o.Binary = rapid.Bool().Draw(t, "binary_data")
					asked["parameters"] = map[string]any{"binary_data": o.Binary}
				}
				m.outputs = append(m.outputs, asked)
				want.Outputs = append(want.Outputs, o)
			}
		}
		body, header := m.encode(rapid.SampledFrom([]string{"", "\t"}).Draw(t, "indent"))
		before := bytes.Clone(body)
		got, err := Parse(body, header)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q, %v: %v\ngot  %+v\nwant %+v", body, header, err, got, want)
		}
		if !bytes.Equal(body, before) {
			t.Fatal("Parse modified the body")
		}
	})
}

// allocated returns the memory that f allocates, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// maxAllocated returns the maximum memory that Parse may allocate for a body, in bytes.
func maxAllocated(body []byte, header []string) uint64 {
	if len(header) == 1 && strings.Trim(header[0], "0") == "" && header[0] != "" {
		return 64 << 10
	}
	const deepest = 10_000 // nesting that encoding/json allows, with an int for each level
	return 64<<10 + 5*uint64(len(body)) + 24*uint64(min(len(body), deepest))
}

// Bodies that announce or contain much more than an image do not make Parse allocate more.
func TestParseMemory(t *testing.T) {
	const n = 1 << 20
	tensor := func(members string) string {
		return `{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES",` + members + `}]}`
	}
	repeat := func(s string) string { return strings.Repeat(s, n/len(s)) }
	for name, c := range map[string]struct {
		body   string
		header []string
		ok     bool
	}{
		"raw":           {repeat("x"), []string{"0"}, true},
		"base64":        {tensor(`"data":["` + repeat("AAAA") + `"]`), nil, true},
		"escaped":       {tensor(`"data":["` + repeat(`AA\u0041A`) + `"]`), nil, true},
		"slashes":       {tensor(`"data":["` + repeat(`\/`) + `"]`), nil, true},
		"many data":     {tensor(`"data":[` + repeat(`"",`) + `""]`), nil, false},
		"many inputs":   {`{"inputs":[` + repeat(`{},`) + `{}]}`, nil, false},
		"many outputs":  {`{"outputs":[` + repeat(`{},`) + `{}]}`, nil, false},
		"many sides":    {`{"inputs":[{"name":"image","datatype":"BYTES","data":[""],"shape":[` + repeat(`1,`) + `1]}]}`, nil, false},
		"many members":  {`{` + repeat(`"":0,`) + `"":0}`, nil, false},
		"deep":          {repeat("["), nil, false},
		"deep, allowed": {`{"x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `,` + tensor(`"data":["AA=="]`)[1:], nil, true},
		"long id":       {`{"id":"` + repeat(`\u0041`) + `",` + tensor(`"data":["AA=="]`)[1:], nil, false},
		"long name":     {`{"` + repeat(`\u0041`) + `":0,` + tensor(`"data":["AA=="]`)[1:], nil, true},
		"huge size":     {tensor(`"parameters":{"binary_data_size":9223372036854775807}`), length(tensor(`"parameters":{"binary_data_size":9223372036854775807}`)), false},
		"huge element":  {tensor(`"parameters":{"binary_data_size":8}`) + "\xff\xff\xff\xffabcd", length(tensor(`"parameters":{"binary_data_size":8}`)), false},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(c.body)
			var err error
			got := allocated(func() { _, err = Parse(body, c.header) })
			if want := maxAllocated(body, c.header); (err == nil) != c.ok || got > want {
				t.Errorf("got %d bytes allocated for a body of %d, error %v; want at most %d, valid: %t", got, len(body), err, want, c.ok)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, form := range []string{"json", "binary", "raw"} {
		binary := true
		m := message{form: form, id: "1", image: imageBytes, options: map[string]any{"max": 100, "sigma": 0.8}, binary: &binary, outputs: []any{map[string]any{"name": "scores"}}}
		body, header := m.encode("")
		f.Add(body, strings.Join(header, ","))
	}
	f.Add([]byte(`{"x":[{"y":"]\""},-1.5e3,null],"inputs":[{"name":"image","shape":[1,1],"datatype":"BYTES","data":[["A\u0041=="]]}]}`), "")
	f.Add([]byte(`{"inputs":[{"parameters":{"shared_memory_region":"r"}}],"outputs":[{"name":"boxes","parameters":{"classification":1}}]}`), "113")
	f.Fuzz(func(t *testing.T, body []byte, lengths string) {
		var header []string
		if lengths != "" {
			header = strings.Split(lengths, ",")
		}
		before := bytes.Clone(body)
		var r *Request
		var err error
		if got := allocated(func() { r, err = Parse(body, header) }); got > maxAllocated(body, header) {
			t.Fatalf("%d bytes of memory for %d", got, len(body))
		}
		if !bytes.Equal(body, before) {
			t.Fatal("Parse modified the body")
		}
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || r != nil || e.Status != http.StatusBadRequest || e.Message == "" {
				t.Fatalf("%+v, %v", r, err)
			}
			var told struct{ Error string }
			if err := json.Unmarshal(AppendError(nil, err.(*Error).Message), &told); err != nil || told.Error == "" {
				t.Fatal(err)
			}
			return
		}
		if len(r.Image) == 0 || len(r.Image) > len(body) || r.Options == nil || len(r.Options) > maxMembers {
			t.Fatalf("a body of %d bytes became %+v", len(body), r)
		}
		if n := len(r.Outputs); n == 0 || n > 2 || slices.ContainsFunc(r.Outputs, func(o Output) bool { return !isOutputName(o.Name) }) ||
			n == 2 && r.Outputs[0].Name == r.Outputs[1].Name {
			t.Fatalf("outputs %+v", r.Outputs)
		}
		checkResponse(t, r, sampleBoxes, []float32{1, -0.1, math.MaxFloat32, 1e-45})

		// Encoding and parsing it again gives the same request.
		m := message{form: "binary", id: r.ID, image: r.Image, options: map[string]any{}, outputs: []any{}}
		for name, value := range r.Options {
			m.options[name] = value
		}
		for _, o := range r.Outputs {
			m.outputs = append(m.outputs, map[string]any{"name": o.Name, "parameters": map[string]any{"binary_data": o.Binary}})
		}
		again, err := Parse(m.encode("  "))
		if tooLong := err != nil && strings.Contains(err.Error(), "bytes long"); tooLong {
			return // escapes that the first writer did not need
		}
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v\ngot  %+v\nwant %+v", err, again, r)
		}
	})
}
