package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/internal/propose"
)

// routeInference adds the routes of the Open Inference Protocol, except for the server health.
func (s *Server) routeInference(r chi.Router) {
	r.Get("/v2", func(w http.ResponseWriter, _ *http.Request) { s.writeJSON(w, openinference.Server(s.cfg.Version)) })
	r = r.With(checkModel)
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		r.Get(model, func(w http.ResponseWriter, _ *http.Request) { s.writeJSON(w, openinference.Model()) })
		r.Get(model+"/ready", s.serveReady)
		r.With(s.admit).Post(model+"/infer", s.handleInfer)
	}
}

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
	limit := s.cfg.MaxImageBytes/3*4 + formOverhead
	b, hint, p := s.openBody(w, r, limit)
	if p != nil {
		fail(w, r, p)
		return
	}
	defer b.release()
	body, err := boundedio.ReadAll(b, hint, limit)
	if p := s.bodyProblem(r.Context(), b, nil, err, "body"); p != nil {
		fail(w, r, p)
		return
	}
	s.clearReadDeadline(w)
	req, err := openinference.Parse(body, r.Header.Values(openinference.HeaderLength))
	if err != nil {
		fail(w, r, inferenceProblem(err))
		return
	}
	values := url.Values{}
	for name, value := range req.Options {
		values.Set(name, value)
	}
	opts, _, p := s.readSearchOptions(s.newSearchParser(values, searchOptions, DefaultMax))
	if p != nil {
		fail(w, r, p)
		return
	}
	headerLength := -1
	resp, p := s.enqueue(r.Context(), recordOf(r), req.Image, s.searchJob(opts, func(_ context.Context, result *propose.Result) (body []byte, err error) {
		body, headerLength, err = openinference.AppendResponse(
			nil, req, result.Boxes, result.Scores, openinference.ModelName, openinference.ModelVersion)
		return body, err
	}))
	if p != nil {
		fail(w, r, p)
		return
	}
	if headerLength >= 0 {
		w.Header().Set(openinference.HeaderLength, strconv.Itoa(headerLength))
	}
	s.writeSearched(w, openinference.ContentType(headerLength), resp)
}

// writeJSON responds with a value as JSON.
func (s *Server) writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // a struct of strings and numbers always encodes
	}
	s.writeResponse(w, "application/json", body)
}
