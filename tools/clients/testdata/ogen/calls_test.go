package ogen

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-faster/jx"
	ht "github.com/ogen-go/ogen/http"
)

var ctx = context.Background()

// A client sends a token, unless it is empty, and an Accept header, unless it is empty.
type client struct{ token, accept string }

func (c client) Token(context.Context, OperationName) (Token, error) {
	return Token{Token: c.token}, nil
}

func (c client) Do(req *http.Request) (*http.Response, error) {
	if c.accept != "" {
		req.Header.Set("Accept", c.accept)
	}
	return http.DefaultClient.Do(req)
}

func newClient(t *testing.T, url string, c client) *Client {
	t.Helper()
	client, err := NewClient(os.Getenv(url), c, WithClient(c))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(os.Getenv("IMAGES"), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func body(t *testing.T, name string) ProposeReq {
	return &ProposeReqApplicationOctetStream{Data: bytes.NewReader(read(t, name))}
}

func file(t *testing.T, name string) ht.MultipartFile {
	return ht.MultipartFile{Name: name, File: bytes.NewReader(read(t, name))}
}

func TestPropose(t *testing.T) {
	c := newClient(t, "SERVICE", client{})
	params := ProposeParams{Mode: NewOptMode(ModeSingle), Max: NewOptInt(5), Sigma: NewOptFloat64(0.5), Evidence: NewOptProposeEvidence(ProposeEvidence1)}
	image := &ProposeReqImageWithContentType{ContentType: mime.TypeByExtension(".png"), Content: ProposeReqImage{Data: bytes.NewReader(read(t, "a.png"))}}
	res, err := c.Propose(ctx, image, params)
	r, ok := res.(*ProposalsHeaders)
	if err != nil || !ok || len(r.Response.Boxes) != 5 || len(r.Response.Scores) != 5 || r.Response.Width != 64 || len(r.Response.Evidence) != 5 {
		t.Fatalf("JSON: %v, %+v", err, res)
	}
	params.IfNoneMatch = r.ETag
	res, err = c.Propose(ctx, body(t, "a.png"), params)
	if _, ok := res.(*ProposeNotModified); !ok || err != nil {
		t.Errorf("If-None-Match: %v, %+v", err, res)
	}
	for media, start := range map[string]string{
		"text/csv": "file,width", "application/x-npy": "\x93NUMPY", "application/octet-stream": "\x40\x00\x00\x00", "image/png": "\x89PNG", "image/jpeg": "\xff\xd8",
	} {
		c := newClient(t, "SERVICE", client{accept: media})
		res, err := c.Propose(ctx, body(t, "a.png"), ProposeParams{Mode: NewOptMode(ModeSingle)})
		var data io.Reader
		switch r := res.(type) {
		case *ProposeOKTextCsvHeaders:
			data = r.Response.Data
		case *ProposeOKApplicationXNpyHeaders:
			data = r.Response.Data
		case *ProposeOKApplicationOctetStreamHeaders:
			data = r.Response.Data
		case *ProposeOKImagePNGHeaders:
			data = r.Response.Data
		case *ProposeOKImageJpegHeaders:
			data = r.Response.Data
		default:
			t.Fatalf("%s: %v, %+v", media, err, res)
		}
		if content, err := io.ReadAll(data); err != nil || !strings.HasPrefix(string(content), start) {
			t.Errorf("%s: %v, %.20q", media, err, content)
		}
	}
}

func TestProposeForm(t *testing.T) {
	c := newClient(t, "SERVICE", client{})
	res, err := c.Propose(ctx, &ProposeReqMultipartFormData{
		Image:   []ht.MultipartFile{file(t, "a.png"), file(t, "broken.png"), file(t, "b.png")},
		Options: NewOptProposeReqMultipartFormDataOptions(ProposeReqMultipartFormDataOptions{"mode": jx.Raw(`"single"`), "max": jx.Raw("3")}),
	}, ProposeParams{})
	r, ok := res.(*ProposeOKApplicationXNdjsonHeaders)
	if !ok {
		t.Fatalf("%v, %+v", err, res)
	}
	var got []string
	for lines := json.NewDecoder(r.Response.Data); ; {
		var line json.RawMessage
		if err := lines.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		var p Proposals
		if err := p.UnmarshalJSON(line); err == nil && len(p.Boxes) == 3 && p.Index.Set {
			got = append(got, p.File)
			continue
		}
		var failed struct {
			File    string
			Problem Problem
		}
		if err := json.Unmarshal(line, &failed); err != nil {
			t.Fatal(err)
		}
		got = append(got, failed.File+" "+string(failed.Problem.Type))
	}
	slices.Sort(got)
	if want := []string{"a.png", "b.png", "broken.png urn:proposer:problem:picture"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRois(t *testing.T) {
	c := newClient(t, "SERVICE", client{})
	res, err := c.Rois(ctx, &RoisReq{
		Image: file(t, "a.png"), Truth: Truth{Boxes: [][]float64{{4, 4, 40, 40}}, Classes: []int{3}},
	}, RoisParams{Size: NewOptInt(16), RoisSeed: NewOptInt64(7)})
	r, ok := res.(*MinibatchHeaders)
	if err != nil || !ok || len(r.Response.Rois) == 0 || r.Response.Seed != 7 {
		t.Fatalf("%v, %+v", err, res)
	}
	for i, deltas := range r.Response.Deltas {
		if foreground := r.Response.Labels[i] == 1; foreground != (deltas != nil) {
			t.Errorf("region %d: label %d, deltas %v", i, r.Response.Labels[i], deltas)
		}
	}
}

func TestSegments(t *testing.T) {
	c := newClient(t, "SERVICE", client{accept: "application/json"})
	res, err := c.Segments(ctx, &SegmentsReqApplicationOctetStream{Data: bytes.NewReader(read(t, "a.png"))}, SegmentsParams{K: NewOptFloat64(50)})
	if r, ok := res.(*SegmentsHeaders); !ok || err != nil || r.Response.Regions < 1 || len(r.Response.Labels) < 2 {
		t.Errorf("JSON: %v, %+v", err, res)
	}
	c = newClient(t, "SERVICE", client{})
	res, err = c.Segments(ctx, &SegmentsReqMultipartFormData{Image: file(t, "a.png")}, SegmentsParams{})
	if _, ok := res.(*SegmentsOKImagePNGHeaders); !ok || err != nil {
		t.Errorf("PNG: %v, %+v", err, res)
	}
}

func TestInformation(t *testing.T) {
	c := newClient(t, "SERVICE", client{})
	modes, err := c.Modes(ctx)
	if r, ok := modes.(*Modes); !ok || err != nil || r.DefaultMode != "fast" || r.Limits.MaxBytes == 0 {
		t.Errorf("modes: %v, %+v", err, modes)
	}
	server, err := c.ServerMetadata(ctx)
	if r, ok := server.(*ServerMetadata); !ok || err != nil || r.Name != "proposer" {
		t.Errorf("server: %v, %+v", err, server)
	}
	live, err := c.ServerLive(ctx)
	if r, ok := live.(*ServerLive); !ok || err != nil || !r.Live {
		t.Errorf("live: %v, %+v", err, live)
	}
	ready, err := c.ServerReady(ctx)
	if r, ok := ready.(*ServerReady); !ok || err != nil || !r.Ready {
		t.Errorf("ready: %v, %+v", err, ready)
	}
	model, err := c.ModelMetadata(ctx, ModelMetadataParams{Model: ModelSelectiveSearch})
	if r, ok := model.(*ModelMetadata); !ok || err != nil || len(r.Outputs) != 2 {
		t.Errorf("model: %v, %+v", err, model)
	}
	modelReady, err := c.VersionReady(ctx, VersionReadyParams{Model: ModelSelectiveSearch, Version: Version1})
	if r, ok := modelReady.(*ModelReady); !ok || err != nil || !r.Ready || r.Name != string(ModelSelectiveSearch) {
		t.Errorf("model ready: %v, %+v", err, modelReady)
	}
	health, err := c.Healthz(ctx)
	if _, ok := health.(*HealthzOK); !ok || err != nil {
		t.Errorf("healthz: %v, %+v", err, health)
	}
}

func TestInfer(t *testing.T) {
	c := newClient(t, "SERVICE", client{})
	img := read(t, "a.png")
	request := &InferenceRequest{
		ID:         NewOptString("7"),
		Inputs:     []InputTensor{{Name: InputTensorNameImage, Datatype: InputTensorDatatypeBYTES, Shape: []int{1}, Data: []string{base64.StdEncoding.EncodeToString(img)}}},
		Parameters: NewOptInferenceRequestParameters(InferenceRequestParameters{"mode": jx.Raw(`"single"`), "max": jx.Raw("5")}),
	}
	params := InferParams{Model: ModelSelectiveSearch}
	res, err := c.Infer(ctx, request, params)
	if r, ok := res.(*InferenceResponseHeaders); !ok || err != nil || len(r.Response.Outputs) != 2 || len(r.Response.Outputs[0].Data) != 20 || r.Response.ID.Value != "7" {
		t.Fatalf("JSON: %v, %+v", err, res)
	}
	res, err = c.Infer(ctx, &InferReqApplicationOctetStream{Data: bytes.NewReader(img)}, InferParams{Model: ModelSelectiveSearch, InferenceHeaderContentLength: NewOptInt(0)})
	r, ok := res.(*TensorsApplicationOctetStreamHeaders)
	if !ok || err != nil {
		t.Fatalf("binary: %v, %+v", err, res)
	}
	content, err := io.ReadAll(r.Response)
	var header InferenceResponse
	if err != nil || header.UnmarshalJSON(content[:r.InferenceHeaderContentLength.Value]) != nil || len(header.Outputs) != 2 {
		t.Errorf("binary: %v, %+v", err, header)
	}
	params.Model = "resnet"
	res, err = c.Infer(ctx, request, params)
	if r, ok := res.(*InferNotFound); !ok || err != nil || r.Response.Error == "" {
		t.Errorf("unknown model: %v, %+v", err, res)
	}
	request.Parameters.Value["mode"] = jx.Raw(`"slow"`)
	res, err = c.Infer(ctx, request, InferParams{Model: ModelSelectiveSearch})
	if r, ok := res.(*InferBadRequest); !ok || err != nil || r.Response.Error == "" {
		t.Errorf("unknown mode: %v, %+v", err, res)
	}
}

func TestProblems(t *testing.T) {
	c := newClient(t, "SERVICE", client{})
	post := func(params ProposeParams, image string) ProposeRes {
		t.Helper()
		res, err := c.Propose(ctx, body(t, image), params)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	params := ProposeParams{Mode: NewOptMode("slow"), Max: NewOptInt(-1)}
	if r, ok := post(params, "a.png").(*ProposeBadRequest); !ok || r.Response.Type != ProblemTypeUrnProposerProblemOption || len(r.Response.Errors) != 2 {
		t.Errorf("options: got %+v", r)
	}
	if r, ok := post(ProposeParams{}, "text.txt").(*ProposeUnsupportedMediaType); !ok || r.Response.Type != ProblemTypeUrnProposerProblemFormat {
		t.Errorf("text: got %+v", r)
	}
	if r, ok := post(ProposeParams{}, "broken.png").(*ProposeUnprocessableEntity); !ok || r.Response.Status != 422 {
		t.Errorf("broken image: got %+v", r)
	}
	c = newClient(t, "SERVICE", client{accept: "text/html"})
	if r, ok := post(ProposeParams{}, "a.png").(*ProposeNotAcceptable); !ok || r.Response.Type != ProblemTypeUrnProposerProblemAccept {
		t.Errorf("Accept: got %+v", r)
	}

	c = newClient(t, "LIMITED", client{token: "wrong"}) // one request a minute, with a token
	if r, ok := post(ProposeParams{}, "a.png").(*ProposeUnauthorized); !ok || !r.WWWAuthenticate.Set {
		t.Errorf("wrong token: got %+v", r)
	}
	c = newClient(t, "LIMITED", client{token: "secret"})
	for range 3 {
		if r, ok := post(ProposeParams{}, "a.png").(*ProposeTooManyRequests); ok {
			if r.Response.Type != ProblemTypeUrnProposerProblemRate || r.RetryAfter.Value < 1 {
				t.Errorf("rate: got %+v", r)
			}
			return
		}
	}
	t.Error("the rate is not limited")
}
