package oapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const (
	model   = SelectiveSearch
	version = VersionN1
)

var ctx = context.Background()

func newClient(t *testing.T, url string) *ClientWithResponses {
	t.Helper()
	c, err := NewClientWithResponses(os.Getenv(url))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(os.Getenv("IMAGES"), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func form(t *testing.T, fields map[string]string, images ...string) (contentType string, body io.Reader) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for _, name := range images {
		part, err := w.CreateFormFile("image", name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(read(t, name))
	}
	for name, value := range fields {
		_ = w.WriteField(name, value)
	}
	_ = w.Close()
	return w.FormDataContentType(), &buf
}

func accept(media string) RequestEditorFn {
	return func(_ context.Context, req *http.Request) error {
		req.Header.Set("Accept", media)
		return nil
	}
}

func ptr[T any](v T) *T { return &v }

func TestPropose(t *testing.T) {
	c := newClient(t, "SERVICE")
	mode := ProposeParamsModeSingle
	evidence := ProposeParamsEvidence("1")
	params := &ProposeParams{Mode: &mode, Max: ptr(5), Sigma: ptr(0.5), Evidence: &evidence}
	r, err := c.ProposeWithBodyWithResponse(ctx, params, "image/png", bytes.NewReader(read(t, "a.png")))
	if err != nil || r.JSON200 == nil || len(r.JSON200.Boxes) != 5 || len(r.JSON200.Boxes[0]) != 4 || len(r.JSON200.Scores) != 5 ||
		r.JSON200.Width != 64 || r.JSON200.Evidence == nil || r.Headers200.XRequestId == nil {
		t.Fatalf("JSON: %v, %+v", err, r)
	}
	etag := r.Headers200.ETag
	params.IfNoneMatch = etag
	if r, err := c.ProposeWithBodyWithResponse(ctx, params, "image/png", bytes.NewReader(read(t, "a.png"))); err != nil || r.StatusCode() != 304 {
		t.Errorf("If-None-Match: %v, %+v", err, r)
	}
	for _, media := range []string{"text/csv", "application/x-npy", "application/octet-stream", "image/png", "image/jpeg"} {
		r, err := c.ProposeWithBodyWithResponse(ctx, &ProposeParams{Mode: &mode}, "application/octet-stream", bytes.NewReader(read(t, "a.png")), accept(media))
		if err != nil || r.StatusCode() != 200 || len(r.Body) == 0 || r.HTTPResponse.Header.Get("Content-Type") != media {
			t.Errorf("%s: %v, %+v", media, err, r)
		}
	}
}

// A client without responses reads the lines of NDJSON as they arrive.
func TestProposeForm(t *testing.T) {
	c := newClient(t, "SERVICE")
	contentType, body := form(t, map[string]string{"options": `{"mode":"single","max":3}`}, "a.png", "broken.png", "b.png")
	res, err := c.ClientInterface.ProposeWithBody(ctx, nil, contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got []string
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		var line Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if failed, err := line.AsFailedImage(); err == nil && failed.Problem.Status != 0 {
			got = append(got, failed.File+" "+string(failed.Problem.Type))
		} else if p, err := line.AsProposals(); err == nil && len(p.Boxes) == 3 && p.Index != nil {
			got = append(got, p.File)
		}
	}
	slices.Sort(got)
	if want := []string{"a.png", "b.png", "broken.png urn:proposer:problem:picture"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRois(t *testing.T) {
	c := newClient(t, "SERVICE")
	contentType, body := form(t, map[string]string{"truth": `{"boxes":[[4,4,40,40]],"classes":[3]}`}, "a.png")
	r, err := c.RoisWithBodyWithResponse(ctx, &RoisParams{Size: ptr(16), RoisSeed: ptr(int64(7))}, contentType, body)
	if err != nil || r.JSON200 == nil {
		t.Fatalf("%v, %+v", err, r)
	}
	m := r.JSON200
	if len(m.Rois) == 0 || m.Seed != 7 || m.Foreground+m.Background != len(m.Rois) {
		t.Errorf("got %+v", m)
	}
	for i, deltas := range m.Deltas {
		if foreground := m.Labels[i] == 1; foreground != (deltas != nil) {
			t.Errorf("region %d: label %d, deltas %v", i, m.Labels[i], deltas)
		}
	}
}

func TestSegments(t *testing.T) {
	c := newClient(t, "SERVICE")
	connectivity := SegmentsParamsConnectivity(4)
	params := &SegmentsParams{K: ptr(50.), Connectivity: &connectivity}
	r, err := c.SegmentsWithBodyWithResponse(ctx, params, "image/png", bytes.NewReader(read(t, "a.png")), accept("application/json"))
	if err != nil || r.JSON200 == nil || r.JSON200.Regions < 1 || len(r.JSON200.Labels) < 2 {
		t.Errorf("JSON: %v, %+v", err, r)
	}
	contentType, body := form(t, nil, "a.png")
	r, err = c.SegmentsWithBodyWithResponse(ctx, nil, contentType, body)
	if err != nil || r.StatusCode() != 200 || r.JSON200 != nil || !bytes.HasPrefix(r.Body, []byte("\x89PNG")) {
		t.Errorf("PNG: %v, %+v", err, r)
	}
}

func TestInformation(t *testing.T) {
	c := newClient(t, "SERVICE")
	if r, err := c.ModesWithResponse(ctx); err != nil || r.JSON200 == nil || r.JSON200.DefaultMode != "fast" || r.JSON200.Limits.MaxBytes == 0 {
		t.Errorf("modes: %v, %+v", err, r)
	}
	if r, err := c.ServerMetadataWithResponse(ctx); err != nil || r.JSON200 == nil || r.JSON200.Name != "proposer" {
		t.Errorf("server: %v, %+v", err, r)
	}
	if r, err := c.ServerLiveWithResponse(ctx); err != nil || r.JSON200 == nil || !r.JSON200.Live {
		t.Errorf("live: %v, %+v", err, r)
	}
	if r, err := c.ServerReadyWithResponse(ctx); err != nil || r.JSON200 == nil || !r.JSON200.Ready {
		t.Errorf("ready: %v, %+v", err, r)
	}
	if r, err := c.ModelMetadataWithResponse(ctx, model); err != nil || r.JSON200 == nil || len(r.JSON200.Outputs) != 2 {
		t.Errorf("model: %v, %+v", err, r)
	}
	if r, err := c.ModelReadyWithResponse(ctx, model); err != nil || r.JSON200 == nil || !r.JSON200.Ready {
		t.Errorf("model ready: %v, %+v", err, r)
	}
	if r, err := c.VersionReadyWithResponse(ctx, model, version); err != nil || r.JSON200 == nil || r.JSON200.Name != string(model) {
		t.Errorf("version ready: %v, %+v", err, r)
	}
	if r, err := c.HealthzWithResponse(ctx); err != nil || string(r.Body) != "alive\n" {
		t.Errorf("healthz: %v, %+v", err, r)
	}
}

func TestInfer(t *testing.T) {
	c := newClient(t, "SERVICE")
	img := read(t, "a.png")
	request := InferenceRequest{
		Id: ptr("7"),
		Inputs: []InputTensor{{
			Name: Image, Datatype: BYTES, Shape: []int{1}, Data: &[]string{base64.StdEncoding.EncodeToString(img)},
		}},
		Parameters: &map[string]any{"mode": "single", "max": 5},
	}
	r, err := c.InferWithResponse(ctx, model, nil, request)
	if err != nil || r.JSON200 == nil || len(r.JSON200.Outputs) != 2 || len(*r.JSON200.Outputs[0].Data) != 20 || *r.JSON200.Id != "7" {
		t.Fatalf("JSON: %v, %+v", err, r)
	}
	binary, err := c.InferVersionWithBodyWithResponse(ctx, model, version, &InferVersionParams{InferenceHeaderContentLength: ptr(0)},
		"application/octet-stream", bytes.NewReader(img))
	if err != nil || binary.StatusCode() != 200 || binary.Headers200.InferenceHeaderContentLength == nil {
		t.Fatalf("binary: %v, %+v", err, binary)
	}
	var header InferenceResponse
	if err := json.Unmarshal(binary.Body[:*binary.Headers200.InferenceHeaderContentLength], &header); err != nil || len(header.Outputs) != 2 {
		t.Errorf("binary: %v, %+v", err, header)
	}
	if r, err := c.InferWithResponse(ctx, "resnet", nil, request); err != nil || r.JSON404 == nil || r.JSON404.Error == "" {
		t.Errorf("unknown model: %v, %+v", err, r)
	}
	request.Parameters = &map[string]any{"mode": "slow"}
	if r, err := c.InferWithResponse(ctx, model, nil, request); err != nil || r.JSON400 == nil || r.JSON400.Error == "" {
		t.Errorf("unknown mode: %v, %+v", err, r)
	}
}

func TestProblems(t *testing.T) {
	c := newClient(t, "SERVICE")
	post := func(params *ProposeParams, image string, edit ...RequestEditorFn) *ProposeResponse {
		t.Helper()
		r, err := c.ProposeWithBodyWithResponse(ctx, params, "application/octet-stream", bytes.NewReader(read(t, image)), edit...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	mode := ProposeParamsMode("slow")
	if p := post(&ProposeParams{Mode: &mode, Max: ptr(-1)}, "a.png").ApplicationproblemJSON400; p == nil || p.Type != UrnProposerProblemOption || len(*p.Errors) != 2 {
		t.Errorf("options: got %+v", p)
	}
	if p := post(nil, "a.png", accept("text/html")).ApplicationproblemJSON406; p == nil || p.Type != UrnProposerProblemAccept {
		t.Errorf("Accept: got %+v", p)
	}
	if p := post(nil, "text.txt").ApplicationproblemJSON415; p == nil || p.Type != UrnProposerProblemFormat {
		t.Errorf("text: got %+v", p)
	}
	if p := post(nil, "broken.png").ApplicationproblemJSON422; p == nil || p.Type != UrnProposerProblemPicture || p.Status != 422 {
		t.Errorf("broken image: got %+v", p)
	}

	c = newClient(t, "LIMITED") // one request a minute, with a token
	if r := post(nil, "a.png"); r.ApplicationproblemJSON401 == nil || r.Headers401.WWWAuthenticate == nil {
		t.Errorf("no token: got %+v", r)
	}
	token := func(_ context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Bearer secret")
		return nil
	}
	for range 3 {
		if r := post(nil, "a.png", token); r.StatusCode() == 429 {
			if p := r.ApplicationproblemJSON429; p == nil || p.Type != UrnProposerProblemRate || r.Headers429.RetryAfter == nil || *r.Headers429.RetryAfter < 1 {
				t.Errorf("rate: got %+v", r)
			}
			return
		}
	}
	t.Error("the rate is not limited")
}
