package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proposer/proposer/export"
	"github.com/proposer/proposer/imageio"
	"github.com/proposer/proposer/pipeline"
)

const (
	// formOverhead is what a multipart form may add to its picture.
	formOverhead = 64 << 10
	// trust is how many bytes of memory a Content-Length alone is given.
	trust = 1 << 20
)

// options are the query parameters: how many threads is for the operator to say.
var options = slices.DeleteFunc(pipeline.Names(), func(name string) bool { return name == "threads" })

// propose answers POST /v1/proposals. What is cheap to refuse is refused first.
func (s *Server) propose(w http.ResponseWriter, r *http.Request) {
	opts, p := s.parseOptions(r.URL.RawQuery)
	if p != nil {
		fail(w, r, p)
		return
	}
	if !s.places.TryAcquire(1) {
		fail(w, r, s.fullProblem())
		return
	}
	defer s.places.Release(1)
	if s.draining.Load() { // checked with the place in hand: Serve waits for all places
		fail(w, r, drainingProblem())
		return
	}

	file, data, p := s.readPicture(w, r)
	if p != nil {
		fail(w, r, p)
		return
	}
	// BodyTimeout is over: it would cancel the request while it is worked on.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a test's recorder has none
	header, err := imageio.Inspect(data, s.cfg.Limits)
	rec := recordOf(r)
	rec.attrs = append(rec.attrs, slog.Int("picture_bytes", len(data)), slog.String("format", header.Format),
		slog.Int("width", header.Width), slog.Int("height", header.Height))
	if err != nil {
		fail(w, r, problemOf(r.Context(), err))
		return
	}

	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	result, err := s.runInTurn(ctx, data, opts)
	if err != nil {
		fail(w, r, problemOf(r.Context(), err))
		return
	}
	s.metrics.stages(result)
	rec.attrs = append(rec.attrs, slog.Int("boxes", len(result.Boxes)),
		slog.Float64("decode_seconds", result.Decode.Seconds()), slog.Float64("search_seconds", result.Search.Seconds()))

	body, err := export.AppendJSON(nil, result.Row(file))
	if err != nil {
		fail(w, r, problemOf(r.Context(), err))
		return
	}
	body = append(body, '\n')
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)) // likewise
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // nobody to tell
}

// runInTurn waits for a free worker and runs one picture.
func (s *Server) runInTurn(ctx context.Context, data []byte, opts pipeline.Options) (*pipeline.Result, error) {
	if err := s.work.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.work.Release(1)
	return s.run(ctx, data, opts)
}

func (s *Server) fullProblem() *problem {
	if s.draining.Load() {
		return drainingProblem()
	}
	return newProblem(http.StatusServiceUnavailable, "full",
		"the service has as many requests as it may: try again after Retry-After seconds")
}

// parseOptions reads the query. Everything wrong with it is in the problem.
func (s *Server) parseOptions(rawQuery string) (pipeline.Options, *problem) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		p := newProblem(http.StatusBadRequest, "request", "the query cannot be taken apart: "+err.Error(),
			field{"query", rawQuery, "name=value pairs, separated by &, in percent encoding"})
		return pipeline.Options{}, p
	}
	var errs []*pipeline.OptionError
	values := make(map[string]string, len(query))
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch given := query[name]; {
		case !slices.Contains(options, name):
			errs = append(errs, &pipeline.OptionError{
				Name: name, Value: given[0], Want: "a parameter that exists: " + strings.Join(options, ", "),
			})
		case len(given) > 1:
			errs = append(errs, &pipeline.OptionError{Name: name, Value: strings.Join(given, ", "), Want: "one value"})
		default:
			values[name] = given[0]
		}
	}
	if _, ok := values["max"]; !ok {
		values["max"] = strconv.Itoa(DefaultMax)
	}
	opts, err := pipeline.ParseOptions(values)
	if errs = append(errs, pipeline.OptionErrors(err)...); len(errs) > 0 {
		return pipeline.Options{}, optionProblem(errs)
	}
	opts.Decode.Limits = s.cfg.Limits
	opts.Search.Threads = s.cfg.Threads
	if s.cfg.Ranker != nil {
		opts.Search.Ranker = s.cfg.Ranker
	}
	return opts, nil
}

// readPicture takes the picture, and the name a form gives it, from the body.
func (s *Server) readPicture(w http.ResponseWriter, r *http.Request) (file string, data []byte, p *problem) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // unreadable: the body speaks for itself
	form := media == "multipart/form-data"
	limit := s.cfg.Limits.MaxBytes
	if form {
		limit += formOverhead
	}
	if r.ContentLength > limit {
		return "", nil, problemOf(r.Context(), &imageio.LimitError{What: "bytes", Got: r.ContentLength, Max: s.cfg.Limits.MaxBytes})
	}
	body := &bodyReader{ReadCloser: http.MaxBytesReader(w, r.Body, limit)}
	r.Body = body
	hint := min(max(r.ContentLength, 0), trust, s.cfg.Limits.MaxBytes)
	var err error
	if form {
		file, data, p, err = readForm(r, hint, s.cfg.Limits.MaxBytes)
	} else {
		data, err = pipeline.ReadAll(body, hint, s.cfg.Limits.MaxBytes)
	}
	switch {
	case body.err != nil:
		return "", nil, body.problem(r.Context(), s.cfg.Limits.MaxBytes)
	case p != nil:
		return "", nil, p
	case err != nil:
		if _, ok := errors.AsType[*imageio.LimitError](err); ok {
			return "", nil, problemOf(r.Context(), err)
		}
		return "", nil, newProblem(http.StatusBadRequest, "request", "the form cannot be taken apart: "+err.Error(),
			field{"body", media, "a multipart form as RFC 7578 has it"})
	case len(data) == 0:
		return "", nil, newProblem(http.StatusBadRequest, "request", "there is no picture",
			field{"image", "", "a picture as the body, or as the field image of a multipart form"})
	}
	return file, data, nil
}

// readForm takes the one field that a form may have.
func readForm(r *http.Request, hint, limit int64) (file string, data []byte, p *problem, err error) {
	form, err := r.MultipartReader()
	if err != nil {
		return "", nil, nil, err
	}
	found := false
	for {
		part, err := form.NextPart()
		if err == io.EOF { // a wrapped one is a form that ends early
			break
		}
		if err != nil {
			return "", nil, nil, err
		}
		if name := part.FormName(); name != "image" || found {
			return "", nil, newProblem(http.StatusBadRequest, "request", "the form has another field than one picture",
				field{name, part.FileName(), "one field image; options are query parameters"}), nil
		}
		found = true
		file = part.FileName()
		if data, err = pipeline.ReadAll(part, hint, limit); err != nil {
			return "", nil, nil, err
		}
	}
	// To the very end, or the client's going away would not be seen while it waits.
	_, err = io.Copy(io.Discard, r.Body)
	return file, data, nil, err
}

// bodyReader remembers why a body could not be read to its end, which a form's
// reader may hide.
type bodyReader struct {
	io.ReadCloser
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// problem says what the error means. A picture may have at most maxBytes.
func (b *bodyReader) problem(ctx context.Context, maxBytes int64) *problem {
	if e, ok := errors.AsType[*http.MaxBytesError](b.err); ok {
		return problemOf(ctx, &imageio.LimitError{What: "bytes", Got: e.Limit + 1, Max: maxBytes})
	}
	p := newProblem(http.StatusBadRequest, "request", "the body cannot be taken apart: "+b.err.Error())
	if e, ok := errors.AsType[net.Error](b.err); ok && e.Timeout() {
		p = newProblem(http.StatusRequestTimeout, "slow", "the body did not come in the time that the service allows")
	} else if ok || errors.Is(b.err, io.ErrUnexpectedEOF) {
		p = newProblem(statusGone, "gone", "the client went away")
	}
	p.cause = b.err
	return p
}
