package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/proposer/proposer/api/openinference"
)

const inferPath = "/v2/models/selective_search/infer"

// failure checks that the response is an error of the protocol and returns its text.
func (r response) failure(t testing.TB, status int) string {
	t.Helper()
	var e struct {
		Error string `json:"error"`
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || r.status != status || e.Error == "" || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s: %v; want %d", r.status, r.header, r.body, err, status)
	}
	return e.Error
}

func TestInferenceMetadata(t *testing.T) {
	s := start(t, func(c *Config) { c.Version = "v7" })
	const (
		server = `{"name":"proposer","version":"v7","extensions":["binary_tensor_data"]}`
		model  = `{"name":"selective_search","versions":["1"],"platform":"proposer_selective_search",` +
			`"inputs":[{"name":"image","datatype":"BYTES","shape":[1]}],` +
			`"outputs":[{"name":"boxes","datatype":"FP32","shape":[-1,4]},{"name":"scores","datatype":"FP32","shape":[-1]}]}`
		ready = `{"name":"selective_search","ready":true}`
	)
	for path, want := range map[string]string{
		"/v2":                                    server,
		"/v2/":                                   server,
		"/v2/health/live":                        `{"live":true}`,
		"/v2/health/ready":                       `{"ready":true}`,
		"/v2/models/selective_search":            model,
		"/v2/models/selective_search/versions/1": model,
		"/v2/models/selective_search/ready":      ready,
		"/v2/models/selective_search/versions/1/ready": ready,
	} {
		t.Run(path, func(t *testing.T) {
			r := s.do(t, "GET", path, "", nil)
			if string(r.body) != want || r.status != 200 || r.header.Get("Content-Type") != "application/json" {
				t.Errorf("got %d %v %s, want %s", r.status, r.header, r.body, want)
			}
			if r := s.do(t, "HEAD", path, "", nil); r.status != 200 {
				t.Errorf("HEAD: got %d", r.status)
			}
		})
	}
	for _, path := range []string{"/v2", "/v2/", "/v2/models/selective_search", "/v2/models/selective_search/versions/1/", "/v2/models/selective_search/ready"} {
		r := s.do(t, "DELETE", path, "", nil)
		r.failure(t, http.StatusMethodNotAllowed)
		if allow := r.header.Get("Allow"); allow != "GET, HEAD" {
			t.Errorf("%s: Allow %s", path, allow)
		}
	}
	s.do(t, "GET", inferPath, "", nil).failure(t, http.StatusMethodNotAllowed)
	s.draining.Store(true)
	s.do(t, "GET", "/v2/health/ready", "", nil).failure(t, http.StatusServiceUnavailable)
	s.do(t, "GET", "/v2/models/selective_search/ready", "", nil).failure(t, http.StatusServiceUnavailable)
	s.postWith(t, inferPath, "", nil).failure(t, http.StatusServiceUnavailable)
	if r := s.do(t, "GET", "/v2/health/live", "", nil); string(r.body) != `{"live":true}` {
		t.Errorf("got %d %s while draining, want the server to be live", r.status, r.body)
	}
}

// What Triton's and KServe's clients call beyond the protocol, and unknown models, are errors that they can decode.
func TestInferenceUnknown(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/v2/models/resnet", "selective_search"},
		{"GET", "/v2/models/resnet/ready", "selective_search"},
		{"GET", "/v2/models/selective_search/versions/2/ready", "version"},
		{"GET", "/v2/models/stats", "selective_search"},
		{"GET", "/v2/models/selective_search/stats", "extensions"},
		{"GET", "/v2/models/selective_search/versions/1/stats", "extensions"},
		{"GET", "/v2/models/selective_search/config", "extensions"},
		{"GET", "/v2/models/selective_search/trace/setting", "extensions"},
		{"GET", "/v2/models", "extensions"},
		{"POST", "/v2/repository/index", "extensions"},
		{"POST", "/v2/repository/models/selective_search/load", "extensions"},
		{"GET", "/v2/systemsharedmemory/status", "extensions"},
		{"POST", "/v2/cudasharedmemory/unregister", "extensions"},
		{"GET", "/v2/logging", "extensions"},
		{"GET", "/v2/nothing/", "extensions"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			if text := s.do(t, c.method, c.path, "", nil).failure(t, http.StatusNotFound); !strings.Contains(text, c.want) {
				t.Errorf("got %q, want it to contain %q", text, c.want)
			}
		})
	}
}

// Requests as KServe's InferenceRESTClient and tritonclient.http send them, and what these read in the responses.
func TestInferenceClients(t *testing.T) {
	s := start(t, nil)
	png := small().PNG()
	_, want := s.post(t, "mode=single&max=5", png).proposals(t)
	tensor := append(binary.LittleEndian.AppendUint32(nil, uint32(len(png))), png...)
	size := len(tensor)
	for name, c := range map[string]struct {
		json    string
		headers []string
		binary  bool // the outputs
	}{
		"KServe, binary": {
			json: fmt.Sprintf(`{"id":"2f8b8f3e-4a51-4c92-9a9e-5f6a34b1c2d3","model_name":"selective_search","inputs":[{"name":"image","shape":[1],"datatype":"BYTES",`+
				`"parameters":{"binary_data_size":%d}}],"parameters":{"mode":"single","max":5}}`, size),
			headers: []string{"Content-Type: application/octet-stream", "Accept: */*", "Accept-Encoding: gzip, deflate"},
		},
		"KServe, binary outputs": {
			json: fmt.Sprintf(`{"id":"1","model_name":"selective_search","inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}],`+
				`"outputs":[{"name":"boxes","parameters":{"binary_data":true}},{"name":"scores","parameters":{"binary_data":true}}],"parameters":{"mode":"single","max":5}}`, size),
			headers: []string{"Content-Type: application/octet-stream"}, binary: true,
		},
		"Triton": {
			json: fmt.Sprintf(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}],`+
				`"parameters":{"binary_data_output":true,"mode":"single","max":5}}`, size),
			binary: true,
		},
		"Triton, all arguments": {
			json: fmt.Sprintf(`{"id":"7","inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}],`+
				`"outputs":[{"name":"boxes","parameters":{"binary_data":false}},{"name":"scores","parameters":{"binary_data":false}}],`+
				`"parameters":{"sequence_id":3,"sequence_start":true,"sequence_end":false,"priority":3,"timeout":5000000,"mode":"single","max":5}}`, size),
			headers: []string{"Accept-Encoding: gzip"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			headers := append(c.headers, openinference.HeaderLength+": "+strconv.Itoa(len(c.json)))
			r := s.postWith(t, inferPath, "", append([]byte(c.json), tensor...), headers...)
			header, data := r.body, []byte(nil)
			if length := r.header.Get(openinference.HeaderLength); length != "" {
				n, err := strconv.Atoi(length)
				if err != nil {
					t.Fatal(err)
				}
				header, data = r.body[:n], r.body[n:]
			}
			var res struct {
				Model   string `json:"model_name"`
				Version string `json:"model_version"`
				Outputs []struct {
					Name       string
					Shape      []int
					Datatype   string
					Parameters struct {
						Size int `json:"binary_data_size"`
					}
					Data []float32
				}
			}
			if err := json.Unmarshal(header, &res); err != nil || r.status != 200 || r.header.Get("Content-Encoding") != "" {
				t.Fatalf("%d %v %s: %v", r.status, r.header, header, err)
			}
			if res.Model != "selective_search" || res.Version != "1" || len(res.Outputs) != 2 || res.Outputs[0].Name != "boxes" || res.Outputs[1].Name != "scores" {
				t.Fatalf("got %+v", res)
			}
			for i, width := range []int{4, 1} {
				o := res.Outputs[i]
				if c.binary {
					o.Data = make([]float32, o.Parameters.Size/4)
					n, err := binary.Decode(data, binary.LittleEndian, o.Data)
					if err != nil {
						t.Fatal(err)
					}
					data = data[n:]
				}
				if o.Datatype != "FP32" || o.Shape[0] != len(want) || len(o.Data) != width*len(want) {
					t.Errorf("got %+v, want %d boxes", o, len(want))
				}
			}
			if len(data) > 0 {
				t.Errorf("%d bytes follow the outputs", len(data))
			}
		})
	}
}

// A slash at the end of a path is ignored.
func TestTrailingSlash(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{"/healthz/", "/readyz/", "/docs/", "/openapi.yaml/", "/v1/modes/", "/v2/health/live/"} {
		if r := s.do(t, "GET", path, "", nil); r.status != http.StatusOK {
			t.Errorf("GET %s: got %d, want 200", path, r.status)
		}
	}
	s.postWith(t, "/v1/proposals/?mode=single", "", small().PNG()).proposals(t)
	s.do(t, "GET", "/v1/nothing/", "", nil).problem(t, http.StatusNotFound, "path")
	s.do(t, "GET", "/v1/modes//", "", nil).problem(t, http.StatusNotFound, "path")
	if r := s.do(t, "PUT", "/v1/proposals/", "", nil); r.header.Get("Allow") != "POST" {
		t.Errorf("got Allow %q, want POST", r.header.Get("Allow"))
	}
}

// All three forms of a request return the boxes of /v1/proposals.
func TestInfer(t *testing.T) {
	s := start(t, nil)
	png := small().PNG()
	_, want := s.post(t, "mode=single&max=20", png).proposals(t)
	flat := func(boxes [][4]int) (f []float32) {
		for _, b := range boxes {
			for _, v := range b {
				f = append(f, float32(v))
			}
		}
		return f
	}

	r := s.postWith(t, inferPath, "application/json", fmt.Appendf(nil,
		`{"id":"42","inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":[%q]}],"parameters":{"mode":"single","max":20}}`,
		base64.StdEncoding.EncodeToString(png)))
	var res struct {
		ID      string `json:"id"`
		Outputs []struct {
			Name  string    `json:"name"`
			Shape []int     `json:"shape"`
			Data  []float32 `json:"data"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(r.body, &res); err != nil || r.status != 200 || res.ID != "42" || len(res.Outputs) != 2 ||
		!slices.Equal(res.Outputs[0].Shape, []int{len(want), 4}) || !slices.Equal(res.Outputs[0].Data, flat(want)) || !slices.Equal(res.Outputs[1].Shape, []int{len(want)}) {
		t.Errorf("JSON: %v %s", err, r.body)
	}

	header := fmt.Sprintf(`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":%d}}],`+
		`"outputs":[{"name":"boxes","parameters":{"binary_data":true}}],"parameters":{"mode":"single","max":20}}`, len(png)+4)
	body := append([]byte(header), binary.LittleEndian.AppendUint32(nil, uint32(len(png)))...)
	body = append(body, png...)
	r = s.postWith(t, "/v2/models/selective_search/versions/1/infer", "application/octet-stream", body, openinference.HeaderLength+": "+strconv.Itoa(len(header)))
	n, err := strconv.Atoi(r.header.Get(openinference.HeaderLength))
	if err != nil || r.status != 200 || len(r.body)-n != 16*len(want) {
		t.Fatalf("binary: %d %v, %d bytes of JSON in %d", r.status, err, n, len(r.body))
	}
	got := make([]float32, 4*len(want))
	if _, err := binary.Decode(r.body[n:], binary.LittleEndian, got); err != nil || !slices.Equal(got, flat(want)) {
		t.Errorf("binary: the boxes differ from /v1/proposals, error %v", err)
	}

	r = s.postWith(t, inferPath, "application/octet-stream", png, openinference.HeaderLength+": 0")
	if n, err := strconv.Atoi(r.header.Get(openinference.HeaderLength)); err != nil || r.status != 200 || (len(r.body)-n)%20 != 0 {
		t.Errorf("raw: %d %v, %d bytes of JSON in %d", r.status, err, n, len(r.body))
	}
}

func TestInferRejects(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxImageBytes = 20_000 })
	png := base64.StdEncoding.EncodeToString(small().PNG())
	with := func(image, parameters string) []byte {
		return fmt.Appendf(nil, `{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":[%q]}],"parameters":%s}`, image, parameters)
	}
	for name, c := range map[string]struct {
		path   string
		body   []byte
		header string
		status int
		want   string
	}{
		"unknown model":  {"/v2/models/resnet/infer", with(png, "{}"), "", 404, "selective_search"},
		"no JSON":        {inferPath, []byte("x"), "", 400, "JSON"},
		"not an image":   {inferPath, with(base64.StdEncoding.EncodeToString([]byte("hello, this is no image")), "{}"), "", 415, "JPEG"},
		"truncated":      {inferPath, with(base64.StdEncoding.EncodeToString(small().PNG()[:100]), "{}"), "", 422, "png"},
		"option":         {inferPath, with(png, `{"mode":"slow","max":-1}`), "", 400, "mode"},
		"threads":        {inferPath, with(png, `{"threads":4}`), "", 400, "threads"},
		"header length":  {inferPath, with(png, "{}"), "99999999", 400, "body"},
		"two lengths":    {inferPath, with(png, "{}"), "1", 400, ""},
		"too many bytes": {inferPath, make([]byte, 200_000), "", 413, "bytes"},
		"deep":           {inferPath, bytes.Repeat([]byte("["), 50_000), "", 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = append(headers, openinference.HeaderLength+": "+c.header)
			}
			if text := s.postWith(t, c.path, "application/json", c.body, headers...).failure(t, c.status); !strings.Contains(text, c.want) {
				t.Errorf("got %q, want it to contain %q", text, c.want)
			}
		})
	}
}
