package web_test

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/api/web"

	"github.com/go-chi/chi/v5"
)

// The service's answers for assets/table.jpg: the first 60 boxes of mode fast, and the tree of
// strategy 3 for the image shrunk to 180 × 120.
var (
	//go:embed testdata/modes.json
	modesJSON []byte
	//go:embed testdata/proposals.json
	proposalsJSON []byte
	//go:embed testdata/tree.json
	treeJSON []byte
)

// A double is a test double of the service that knows a few images.
type double struct {
	token string // the required token; empty: none
	// blocked, unless nil, gets a value for each request in mode best, which then waits until
	// its client has disconnected; aborted gets a value for each that has.
	blocked, aborted chan struct{}
	// corrupt, unless nil, changes the answers for an image.
	corrupt func([]byte) []byte
}

func (d *double) serve(t *testing.T) (url string) {
	t.Helper()
	r := chi.NewRouter()
	web.Mount(r)
	r.Get("/v1/modes", d.guarded(func(w http.ResponseWriter, _ *http.Request) { answer(w, modesJSON) }))
	r.Post("/v1/proposals", d.guarded(d.propose))
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return server.URL
}

func (d *double) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if d.token != "" && r.Header.Get("Authorization") != "Bearer "+d.token {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "token", "a valid token is required")
			return
		}
		h(w, r)
	}
}

func (d *double) propose(w http.ResponseWriter, r *http.Request) {
	img, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	query := r.URL.Query()
	if d.blocked != nil && query.Get("mode") == "best" {
		d.blocked <- struct{}{}
		<-r.Context().Done()
		d.aborted <- struct{}{}
		return
	}
	tree := query.Get("tree") == "1"
	switch {
	case !tree && (query.Get("masks") != "rle" || query.Get("evidence") != "1"):
		refuse(w, http.StatusBadRequest, "option", "the page requests masks and evidence", "masks", query.Get("masks"), "rle")
	case bytes.HasPrefix(img, []byte("II*\x00")):
		answer(w, []byte(`{"file":"","width":64,"height":48,"seconds":0.001,"decode_seconds":0.001,"boxes":[[4,4,40,40],[0,0,64,48]],"scores":[0.5,0.25]}`))
	case !bytes.HasPrefix(img, []byte("\xff\xd8")):
		refuse(w, http.StatusUnsupportedMediaType, "format", "the image's format is not supported", "image", "not supported", "a JPEG, PNG, WebP, GIF, BMP or TIFF file")
	case tree:
		answer(w, d.corrupted(treeJSON))
	case bytes.Equal(img, must(os.ReadFile("assets/meadow.jpg"))):
		answer(w, many(500))
	default:
		answer(w, d.corrupted(proposalsJSON))
	}
}

func (d *double) corrupted(body []byte) []byte {
	if d.corrupt == nil {
		return body
	}
	return d.corrupt(body)
}

func answer(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// refuse writes a problem; field is the name, the value and what was wanted.
func refuse(w http.ResponseWriter, status int, kind, detail string, field ...string) {
	problem := map[string]any{"type": "urn:proposer:problem:" + kind, "title": http.StatusText(status), "status": status, "detail": detail}
	if field != nil {
		problem["errors"] = []any{map[string]string{"name": field[0], "value": field[1], "want": field[2]}}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(must(json.Marshal(problem)))
}

// many returns an answer with n boxes, without masks and evidence.
func many(n int) []byte {
	const width, height = 720, 480
	r := rand.New(rand.NewPCG(1, 2))
	boxes := make([]string, n)
	scores := make([]string, n)
	for i := range boxes {
		x, y := []int{r.IntN(width), r.IntN(width)}, []int{r.IntN(height), r.IntN(height)}
		slices.Sort(x)
		slices.Sort(y)
		boxes[i] = fmt.Sprintf("[%d,%d,%d,%d]", x[0], y[0], x[1]+1, y[1]+1)
		scores[i] = fmt.Sprint(float32(n-i) / float32(n+1))
	}
	return fmt.Appendf(nil, `{"file":"","width":%d,"height":%d,"seconds":0.1,"decode_seconds":0.01,"boxes":[%s],"scores":[%s]}`,
		width, height, strings.Join(boxes, ","), strings.Join(scores, ","))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
