package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/fairqueue"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/selective"
)

// detailOptions names the options that only JSON responses support, in sorted order.
var detailOptions = []string{"evidence", "masks", "strategy", "tree"}

// query is a parsed request for proposals.
type query struct {
	propose.Options
	rep                   *representation
	masks, evidence, tree bool
	strategy              int    // index of the strategy whose tree is wanted
	canonical             string // equal for queries with equal responses
}

// encoder encodes the result of a search as a response.
type encoder func(context.Context, *propose.Result) ([]byte, error)

// handleProposals serves POST /v1/proposals. It checks the header and the query before it reads
// the body.
func (s *Server) handleProposals(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	i, p := negotiate(r, mediaTypes())
	if p != nil {
		fail(w, r, p)
		return
	}
	rep := representations[i]
	q, p := s.parseQuery(r.URL.RawQuery, nil, rep)
	if p != nil {
		fail(w, r, p)
		return
	}
	up, release, p := s.readUpload(w, r, "options")
	if p != nil {
		fail(w, r, p)
		return
	}
	defer release()
	if form, ok := up.fields["options"]; ok {
		if q, p = s.parseQuery(r.URL.RawQuery, form, rep); p != nil {
			fail(w, r, p)
			return
		}
	}

	if len(up.images) > 1 && rep == representations[0] {
		q.rep = ndjson
	}
	switch {
	case q.rep.multiple:
		s.respondMany(w, r, up.images, q)
	case len(up.images) > 1:
		fail(w, r, multipleImagesProblem(rep))
	default:
		s.respondOne(w, r, up.images[0], q, release)
	}
}

// parseQuery parses the options of a request for proposals: those of the query string and those
// of the form, which may be nil. The problem lists every error.
func (s *Server) parseQuery(rawQuery string, form []byte, rep *representation) (query, *problem) {
	values, prob := optionValues(rawQuery, form)
	if prob != nil {
		return query{}, prob
	}
	p := s.newSearchParser(values, slices.Concat(searchOptions, detailOptions), rep.defaultMax)
	q := query{rep: rep}
	if rep.details {
		optparse.Value(p, "masks", "rle or off", parseMasks, &q.masks)
		optparse.Value(p, "evidence", "1 or 0", strconv.ParseBool, &q.evidence)
		optparse.Value(p, "tree", "1 or 0", strconv.ParseBool, &q.tree)
		p.Int("strategy", 0, selective.MaxStrategies-1, &q.strategy)
	} else {
		for _, name := range detailOptions {
			if value, ok := p.Lookup(name); ok {
				p.Fail(name, value, "a JSON response (Accept: application/json)")
			}
		}
	}
	opts, canonical, prob := s.readSearchOptions(p)
	if prob != nil {
		return query{}, prob
	}
	if n := len(opts.Search.Strategies); q.strategy >= n {
		p.Fail("strategy", strconv.Itoa(q.strategy), fmt.Sprintf("a whole number below the number of strategies, %d", n))
		return query{}, optionProblem(p.Err())
	}
	opts.Search.KeepRegions = q.masks || q.evidence || q.tree
	q.Options = opts
	q.canonical = canonical + fmt.Sprint(q.masks, q.evidence, q.tree, q.strategy)
	return q, nil
}

func parseMasks(s string) (bool, error) {
	if s != "rle" && s != "off" {
		return false, strconv.ErrSyntax
	}
	return s == "rle", nil
}

// respondOne responds with the proposals of one image.
func (s *Server) respondOne(w http.ResponseWriter, r *http.Request, img imageFile, q query, release func()) {
	s.respondCached(w, r, s.cacheKey(img, q), q.rep.media, img.data, s.proposalJob(q, img), release)
}

// respondCached responds with the result of a job, which may be in the cache of the client or of the
// service. It calls release before it writes the response, as a slow client may take a while to read it.
func (s *Server) respondCached(w http.ResponseWriter, r *http.Request, key cacheKey, media string, data []byte, j job, release func()) {
	h := w.Header()
	if key.notModified(r) {
		s.metrics.notModified.Inc()
		key.setHeaders(h)
		w.WriteHeader(http.StatusNotModified)
		return
	}

	cacheStatus := "hit"
	resp, ok := s.cache.get(key)
	switch {
	case ok && recordOf(r).memory.hold(resp) != nil:
		fail(w, r, overloadProblem())
		return
	case !ok:
		cacheStatus = "miss"
		var p *problem
		resp, p = s.enqueue(r.Context(), recordOf(r), data, j)
		if p != nil {
			fail(w, r, p)
			return
		}
		s.cache.set(key, resp)
	}
	release()
	key.setHeaders(h)
	h.Set("X-Cache", cacheStatus)
	s.writeSearched(w, media, resp)
}

// respondMany responds with one line for each image, written as soon as its search is done.
// The images wait for a worker one after another, in one slot of the queue. While a client reads
// slowly, its request holds neither a worker nor a slot.
func (s *Server) respondMany(w http.ResponseWriter, r *http.Request, images []imageFile, q query) {
	rec := recordOf(r)
	queued := s.admission.queue.Request(rec.client)
	if err := queued.Admit(); err != nil {
		fail(w, r, problemFor(r.Context(), err))
		return
	}
	if s.cfg.RateLimit > 0 {
		s.rates.charge(rec.client, len(images)-1)
	}
	rec.attrs = append(rec.attrs, slog.Int("pictures", len(images)))
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()

	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", q.rep.media)
	var mu sync.Mutex
	writeLine := func(l line) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)) // not supported by recorders
		_, err := w.Write(l.start)
		if err == nil {
			_, err = w.Write(l.rest)
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			cancel()
		}
	}

	var group errgroup.Group
	group.SetLimit(s.cfg.Workers)
	for i, img := range images {
		group.Go(func() error {
			l := s.searchLine(ctx, &requestRecord{id: rec.id, memory: rec.memory}, queued, i, img, q)
			writeLine(l)
			l.release()
			return nil
		})
	}
	_ = group.Wait() // the functions return no errors
}

// A line of a response for several images is the bytes of start and rest, until release is called.
type line struct {
	start, rest []byte
	release     func()
}

func (p *problem) line(index int, file string) line {
	return line{start: p.ndjsonLine(index, file), release: func() {}}
}

// searchLine returns the line for one of several images.
func (s *Server) searchLine(ctx context.Context, rec *requestRecord, queued *fairqueue.Request, index int, img imageFile, q query) (l line) {
	defer func() {
		if v := recover(); v != nil { // the middleware recovers only its own goroutine
			p := panicProblem(v)
			s.cfg.Logger.Error("image failed", "id", rec.id, "file", img.name, "error", p.cause)
			s.metrics.rejected.WithLabelValues(p.kind).Inc()
			l = p.line(index, img.name)
		}
	}()

	key := s.cacheKey(img, q)
	resp, ok := s.cache.get(key)
	var p *problem
	if !ok {
		resp, p = s.process(ctx, rec, queued, img.data, s.proposalJob(q, img))
	} else if rec.memory.hold(resp) != nil {
		p = overloadProblem()
	}
	if p != nil {
		s.metrics.rejected.WithLabelValues(p.kind).Inc()
		return p.line(index, img.name)
	}
	if !ok {
		s.cache.set(key, resp)
	}
	start, rest := withIndex(resp.body, index)
	return line{start, rest, func() { rec.memory.drop(resp) }}
}

// withIndex returns the two parts of a JSON object, which must not be empty, with the member "index"
// before the others. The cached object has no index, as the same image may be at another one in
// the next request.
func withIndex(object []byte, index int) (start, rest []byte) {
	return fmt.Appendf(nil, `{"index":%d,`, index), bytes.TrimPrefix(object, []byte("{"))
}

// encoder returns a function that encodes a result as the query asks.
func (q *query) encoder(img imageFile) encoder {
	return func(ctx context.Context, result *propose.Result) ([]byte, error) {
		row, err := q.row(ctx, result, img.name)
		if err != nil {
			return nil, err
		}
		if err := q.reserveResponse(ctx, row); err != nil {
			return nil, err
		}
		return q.rep.encode(ctx, row, img.data, q.Options)
	}
}

// row returns the content of the response for one image.
func (q *query) row(ctx context.Context, result *propose.Result, file string) (row *codec.Row, err error) {
	row = codec.NewRow(file, result)
	if !q.Search.KeepRegions {
		return row, nil
	}
	row.Strategies = result.Strategies
	if q.masks {
		if row.Masks, err = q.responseMasks(ctx, result); err != nil {
			return nil, err
		}
	}
	if q.evidence {
		row.Origins, row.Kinds = result.Origins, result.Kinds
	}
	if q.tree {
		row.Tree, err = result.Tree(ctx, q.strategy)
	}
	return row, err
}

// cacheKey returns the key of the response to a query about an image.
func (s *Server) cacheKey(img imageFile, q query) cacheKey {
	return newCacheKey(img.data, s.cfg.Version, s.cfg.RankerName, img.name, q.rep.media, q.canonical)
}

// A job is what a request asks for of an image.
type job struct {
	mode       string // in the metrics and the log
	workPixels func(imageio.Header) (int64, error)
	// run processes an image, which has that many pixels, and encodes the response. It adds to the
	// metrics and the record.
	run func(ctx context.Context, rec *requestRecord, data []byte, pixels int64) (encodedResult, error)
}

// encodedResult is the result of a job as it is sent.
type encodedResult struct {
	body    []byte
	warning string        // that of the result
	shared  *sharedMemory // that of the body; see reservation.hold
}

func newEncodedResult(body []byte, warning string) encodedResult {
	if len(body) < cap(body)/4*3 {
		body = bytes.Clone(body)
	}
	return encodedResult{body, warning, new(sharedMemory)}
}

// searchJob returns the job of a search.
func (s *Server) searchJob(opts propose.Options, encode encoder) job {
	return job{opts.Mode, opts.WorkPixels, func(ctx context.Context, rec *requestRecord, data []byte, pixels int64) (encodedResult, error) {
		result, err := s.run(ctx, data, opts)
		if err != nil {
			return encodedResult{}, err
		}
		start := time.Now()
		body, err := encode(ctx, result)
		if err != nil {
			return encodedResult{}, err
		}
		s.metrics.observeSearch(result, opts.Mode, pixels, time.Since(start))
		rec.attrs = append(rec.attrs, slog.Int("boxes", len(result.Boxes)))
		rec.addTimes(result.DecodeTime, result.SearchTime)
		return newEncodedResult(body, result.Warning), nil
	}}
}

// proposalJob returns the job of a query about an image.
func (s *Server) proposalJob(q query, img imageFile) job {
	j := s.searchJob(q.Options, q.encoder(img))
	j.workPixels = func(h imageio.Header) (int64, error) {
		if err := q.checkSize(h); err != nil {
			return 0, err
		}
		return q.WorkPixels(h)
	}
	return j
}

// enqueue does the job of a request for one image.
func (s *Server) enqueue(ctx context.Context, rec *requestRecord, data []byte, j job) (encodedResult, *problem) {
	return s.process(ctx, rec, s.admission.queue.Request(rec.client), data, j)
}

// process waits for a worker and does the job. The worker is held until the response is encoded, which
// also takes memory and time.
func (s *Server) process(ctx context.Context, rec *requestRecord, queued *fairqueue.Request, data []byte, j job) (encodedResult, *problem) {
	header, err := imageio.Inspect(data, s.cfg.limits())
	rec.attrs = append(rec.attrs,
		slog.Int("picture_bytes", len(data)), slog.String("format", header.Format),
		slog.Int("width", header.Width), slog.Int("height", header.Height), slog.String("mode", j.mode))
	if err != nil {
		return encodedResult{}, s.searchProblem(ctx, err)
	}

	pixels, err := j.workPixels(header)
	if err != nil {
		return encodedResult{}, s.searchProblem(ctx, err)
	}

	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	release, err := s.admission.acquire(ctx, queued, pixels)
	if err != nil {
		return encodedResult{}, s.searchProblem(ctx, err)
	}
	defer release()
	ctx, releaseResponse := withResponseMemory(ctx, rec.memory)
	defer releaseResponse()
	ctx = s.observeDecoding(ctx, rec)
	result, err := j.run(ctx, rec, data, int64(header.Width)*int64(header.Height))
	if err != nil {
		return encodedResult{}, s.searchProblem(ctx, err)
	}
	// The response is held after its worker is free, for as long as the client takes to read it.
	if rec.memory.hold(result) != nil {
		return encodedResult{}, overloadProblem()
	}
	if result.warning != "" {
		rec.attrs = append(rec.attrs, slog.String("warning", result.warning))
	}
	return result, nil
}

// searchProblem returns the problem of a failed search and counts images that could not be
// decoded. ctx must be the context of the search: unless it exceeded its deadline, its end means
// that the client disconnected.
func (s *Server) searchProblem(ctx context.Context, err error) *problem {
	p := problemFor(ctx, err)
	switch p.kind {
	case "format":
		s.metrics.decodeFailures.WithLabelValues("unknown").Inc()
	case "picture":
		s.metrics.decodeFailures.WithLabelValues(p.Errors[0].Value).Inc()
	}
	return p
}

// warningHeader is the response header with the warning of a search.
const warningHeader = "X-Warning"

// writeSearched writes the response to a search. Its warning is a header, because most media types
// have no place for it.
func (s *Server) writeSearched(w http.ResponseWriter, media string, resp encodedResult) {
	if resp.warning != "" {
		w.Header().Set(warningHeader, resp.warning)
	}
	s.writeResponse(w, media, resp.body)
}

// writeResponse writes a complete response of status 200.
func (s *Server) writeResponse(w http.ResponseWriter, media string, body []byte) {
	deadline := time.Now().Add(s.cfg.WriteTimeout)
	_ = http.NewResponseController(w).SetWriteDeadline(deadline) // not supported by recorders
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may have disconnected
}
