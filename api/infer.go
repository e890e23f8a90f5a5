package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/internal/propose"
)

// routeInference adds the routes of the Open Inference Protocol, except for the server health.
func (s *Server) routeInference(r chi.Router) {
	r.Get("/v2", s.serveJSON(openinference.Server(s.cfg.Version)))
	r = r.With(checkModel)
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		r.Get(model, s.serveJSON(openinference.Model()))
		r.Get(model+"/ready", s.whileReady(s.serveJSON(openinference.ModelReady{Name: openinference.ModelName, Ready: true})))
		r.With(s.admit).Post(model+"/infer", s.handleInfer)
	}
}

// isInferencePath reports whether errors have the form of the Open Inference Protocol.
func isInferencePath(path string) bool { return path == "/v2" || strings.HasPrefix(path, "/v2/") }

// checkModel rejects requests for an unknown model or version.
func checkModel(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := openinference.CheckModel(chi.URLParam(r, "model"), chi.URLParam(r, "version")); err != nil {
			fail(w, r, inferenceProblem(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// inferenceProblem returns the problem of an error of package openinference.
func inferenceProblem(err error) *problem {
	e, ok := errors.AsType[*openinference.Error](err)
	switch {
	case !ok:
		return newProblem(http.StatusInternalServerError, "internal", err.Error())
	case e.Status == http.StatusNotFound:
		return newProblem(e.Status, "path", e.Message)
	}
	return newProblem(e.Status, "request", e.Message)
}

// handleInfer responds with the boxes and scores of an image as tensors.
func (s *Server) handleInfer(w http.ResponseWriter, r *http.Request) {
	// Base64 needs four thirds of the bytes, and the JSON around it a little.
	body, release, p := s.readBody(w, r, s.cfg.MaxImageBytes/3*4+formOverhead)
	if p != nil {
		fail(w, r, p)
		return
	}
	defer release()
	headers := r.Header.Values(openinference.HeaderLength)
	// The image may be a copy in base64.
	if recordOf(r).memory.Reserve(openinference.ParseMemory(body, headers)) != nil {
		fail(w, r, overloadProblem())
		return
	}
	req, err := openinference.Parse(body, headers)
	if err != nil {
		fail(w, r, inferenceProblem(err))
		return
	}
	headerLength := -1
	resp, p := s.infer(r.Context(), recordOf(r), req, func(_ context.Context, result *propose.Result) (body []byte, err error) {
		body, headerLength, err = openinference.AppendResponse(
			nil, req, result.Boxes, result.Scores, openinference.ModelName, openinference.ModelVersion)
		return body, err
	})
	if p != nil {
		fail(w, r, p)
		return
	}
	if headerLength >= 0 {
		w.Header().Set(openinference.HeaderLength, strconv.Itoa(headerLength))
	}
	s.writeSearched(w, openinference.ContentType(headerLength), resp)
}

// readBody reads a request body of at most limit bytes. Its memory is reserved until release is called
// or the request ends.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), p *problem) {
	b, p := s.openBody(w, r, limit)
	if p != nil {
		return nil, nil, p
	}
	memory := recordOf(r).memory
	body, err := boundedio.ReadReserved(b, max(b.announced, 0), limit, memory)
	if p := s.bodyProblem(r.Context(), b, nil, err, "body"); p != nil {
		return nil, nil, p
	}
	s.clearReadDeadline(w)
	return body, func() { memory.Release(int64(cap(body))) }, nil
}

// infer searches the image of a request, with the options that its parameters are.
func (s *Server) infer(ctx context.Context, rec *requestRecord, req *openinference.Request, encode encoder) (encodedResult, *problem) {
	values := url.Values{}
	for name, value := range req.Options {
		values.Set(name, value)
	}
	opts, _, p := s.readSearchOptions(s.newSearchParser(values, searchOptions, DefaultMax))
	if p != nil {
		return encodedResult{}, p
	}
	return s.enqueue(ctx, rec, req.Image, s.searchJob(opts, limitBoxes(opts.Search.Max, encode)))
}

// serveJSON returns a handler that responds with a value as JSON.
func (s *Server) serveJSON(v any) http.HandlerFunc {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // a struct of strings and numbers always encodes
	}
	return func(w http.ResponseWriter, _ *http.Request) { s.writeResponse(w, "application/json", body) }
}
