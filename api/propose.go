package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/selective"
)

// searchOptions are the options of every search: how many threads is for the operator to say.
var searchOptions = slices.DeleteFunc(propose.OptionNames(), func(name string) bool { return name == "threads" })

// detailOptions are the options of answers in JSON.
var detailOptions = []string{"masks", "evidence", "tree", "strategy"}

// query is what a request for proposals asks.
type query struct {
	propose.Options
	rep                   *representation
	masks, evidence, tree bool
	strategy              int    // whose tree
	canonical             string // the same for the same answer
}

// maxMaskBytes bounds the masks of an answer.
const maxMaskBytes = 64 << 20

// handleProposals answers POST /v1/proposals. What is cheap to refuse is refused first.
func (s *Server) handleProposals(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	rep, p := negotiate(r)
	if p != nil {
		fail(w, r, p)
		return
	}
	q, p := s.parse(r.URL.RawQuery, nil, rep)
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
		if q, p = s.parse(r.URL.RawQuery, form, rep); p != nil {
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

// respondOne answers for one picture.
func (s *Server) respondOne(w http.ResponseWriter, r *http.Request, pic imageFile, q query, release func()) {
	k := s.key(pic, q)
	h := w.Header()
	if k.notModified(r) {
		s.metrics.notModified.Inc()
		k.setHeaders(h)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	answer, cached := s.cache.get(k)
	if !cached {
		var p *problem
		answer, p = s.enqueueAndSearch(r, pic.data, q.Options, q.encode(pic))
		if p != nil {
			fail(w, r, p)
			return
		}
		s.cache.set(k, answer)
	}
	release() // it may be a while until the client has read it all
	k.setHeaders(h)
	h.Set("X-Cache", map[bool]string{true: "hit", false: "miss"}[cached])
	s.writeResponse(w, q.rep.media, answer)
}

// respondMany answers for any number of pictures, with a line for each as soon as it is done.
// Each waits for a place of its own, so that a client that reads slowly holds none; where
// there is none for the first, the request is turned away.
func (s *Server) respondMany(w http.ResponseWriter, r *http.Request, pictures []imageFile, q query) {
	if p := s.admission.enqueue(); p != nil {
		fail(w, r, p)
		return
	}
	rec := recordOf(r)
	rec.attrs = append(rec.attrs, slog.Int("pictures", len(pictures)))
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", q.rep.media)
	var mu sync.Mutex
	write := func(line []byte) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)) // a test's recorder has none
		_, err := w.Write(line)
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			cancel() // nobody to tell
		}
	}
	var group errgroup.Group
	group.SetLimit(s.cfg.Workers)
	for i, pic := range pictures {
		group.Go(func() error {
			// The first has the place that the request was let in with.
			if i > 0 && s.admission.queue.Acquire(ctx, 1) != nil {
				return nil // nobody to tell
			}
			write(s.searchLine(ctx, i, pic, q))
			return nil
		})
	}
	_ = group.Wait() // they return none
}

// searchLine is what is said of one of several pictures, which has a place, and gives it back.
func (s *Server) searchLine(ctx context.Context, index int, pic imageFile, q query) (line []byte) {
	defer s.admission.queue.Release(1)
	defer func() {
		if v := recover(); v != nil { // nobody else does, in a goroutine
			p := panicProblem(v)
			s.cfg.Logger.Error("a picture among several", "file", pic.name, "error", p.cause)
			s.metrics.rejected.WithLabelValues(p.kind).Inc()
			line = p.ndjsonLine(index, pic.name)
		}
	}()
	k := s.key(pic, q)
	object, cached := s.cache.get(k)
	if !cached {
		var p *problem
		if object, p = s.search(ctx, &requestRecord{}, pic.data, q.Options, q.encode(pic)); p != nil {
			s.metrics.rejected.WithLabelValues(p.kind).Inc()
			return p.ndjsonLine(index, pic.name)
		}
		s.cache.set(k, object)
	}
	return fmt.Appendf(nil, `{"index":%d,%s`, index, object[1:])
}

// encode says what was found in a picture as the query wants it.
func (q *query) encode(pic imageFile) func(context.Context, *propose.Result) ([]byte, error) {
	return func(ctx context.Context, result *propose.Result) ([]byte, error) {
		row, err := q.row(ctx, result, pic.name)
		if err != nil {
			return nil, err
		}
		return q.rep.encode(ctx, row, pic.data, q.Options)
	}
}

// row is what an answer says of a picture.
func (q *query) row(ctx context.Context, result *propose.Result, file string) (row *codec.Row, err error) {
	row = codec.NewRow(file, result)
	if !q.Search.Keep {
		return row, nil
	}
	row.Strategies = result.Strategies
	if q.masks {
		if row.Masks, err = result.Masks(ctx, maxMaskBytes); err != nil {
			return nil, err
		}
	}
	if q.evidence {
		row.Origins = result.Origins
	}
	if q.tree {
		row.Tree, err = result.Tree(ctx, q.strategy)
	}
	return row, err
}

// search runs a picture when its turn comes. It encodes the answer while it has its turn.
func (s *Server) search(ctx context.Context, rec *requestRecord, data []byte, opts propose.Options,
	encode func(context.Context, *propose.Result) ([]byte, error),
) ([]byte, *problem) {
	header, err := imageio.Inspect(data, s.cfg.limits())
	rec.attrs = append(rec.attrs, slog.Int("picture_bytes", len(data)), slog.String("format", header.Format),
		slog.Int("width", header.Width), slog.Int("height", header.Height), slog.String("mode", opts.Mode))
	if err != nil {
		return nil, s.searchProblem(ctx, err)
	}
	pixels := int64(header.Width) * int64(header.Height)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	done, err := s.admission.acquire(ctx, opts.WorkPixels(header))
	if err != nil {
		return nil, s.searchProblem(ctx, err)
	}
	defer done()
	result, err := s.run(ctx, data, opts)
	if err != nil {
		return nil, s.searchProblem(ctx, err)
	}
	start := time.Now()
	body, err := encode(ctx, result)
	if err != nil {
		return nil, s.searchProblem(ctx, err)
	}
	s.metrics.observeSearch(result, opts.Mode, pixels, time.Since(start))
	rec.attrs = append(rec.attrs, slog.Int("boxes", len(result.Boxes)),
		slog.Float64("decode_seconds", result.DecodeTime.Seconds()), slog.Float64("search_seconds", result.SearchTime.Seconds()))
	return body, nil
}

// searchProblem is the problem of a picture that was not searched to its end. ctx is the
// picture's: when it has ended for another reason than its time, the client is gone.
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

// enqueueAndSearch searches for a request that takes a place in the queue, or is turned away.
func (s *Server) enqueueAndSearch(r *http.Request, data []byte, opts propose.Options,
	encode func(context.Context, *propose.Result) ([]byte, error),
) ([]byte, *problem) {
	if p := s.admission.enqueue(); p != nil {
		return nil, p
	}
	defer s.admission.queue.Release(1) // also of a search that panics
	return s.search(r.Context(), recordOf(r), data, opts, encode)
}

// writeResponse writes an answer in one piece.
func (s *Server) writeResponse(w http.ResponseWriter, media string, body []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)) // a test's recorder has none
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // nobody to tell
}

// key is that of the answer to a query for a picture.
func (s *Server) key(pic imageFile, q query) cacheKey {
	return newCacheKey(pic.data, s.cfg.Version, s.cfg.RankerName, pic.name, q.rep.media, q.canonical)
}

// parse reads what a request for proposals asks: the query, and the options of the form,
// which may not say the same. Everything wrong is in the problem.
func (s *Server) parse(rawQuery string, form []byte, rep *representation) (query, *problem) {
	texts, p := given(rawQuery, form)
	if p != nil {
		return query{}, p
	}
	values, errs := single(texts, slices.Concat(searchOptions, detailOptions))
	own := take(values, detailOptions)
	if !rep.details {
		for _, name := range slices.Sorted(maps.Keys(own)) {
			errs = append(errs, &propose.OptionError{Name: name, Value: own[name], Want: "an answer in JSON (Accept: application/json) to go with it"})
		}
		clear(own)
	}
	q := query{rep: rep}
	extras := optparse.New(own, detailOptions)
	optparse.Value(extras, "masks", "rle or off", parseMasks, &q.masks)
	optparse.Value(extras, "evidence", "1 or 0", strconv.ParseBool, &q.evidence)
	optparse.Value(extras, "tree", "1 or 0", strconv.ParseBool, &q.tree)
	extras.Int("strategy", 0, selective.MaxStrategies-1, &q.strategy)
	opts, p := s.options(values, append(errs, propose.OptionErrors(extras.Err())...), rep.defaultMax)
	if p != nil {
		return query{}, p
	}
	if n := len(opts.Search.Strategies); q.strategy >= n {
		return query{}, optionProblem([]*propose.OptionError{{
			Name: "strategy", Value: strconv.Itoa(q.strategy), Want: fmt.Sprintf("a whole number below the number of strategies, %d", n),
		}})
	}
	opts.Search.Keep = q.masks || q.evidence || q.tree
	q.Options = opts
	q.canonical = canonicalOptions(values) + fmt.Sprint(q.masks, q.evidence, q.tree, q.strategy)
	return q, nil
}

func parseMasks(s string) (bool, error) {
	if s != "rle" && s != "off" {
		return false, strconv.ErrSyntax
	}
	return s == "rle", nil
}

// given are the options in a query and in the field of a form.
func given(rawQuery string, form []byte) (url.Values, *problem) {
	texts, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, newProblem(http.StatusBadRequest, "request", "the query cannot be taken apart: "+err.Error(),
			fieldError{"query", rawQuery, "name=value pairs, separated by &, in percent encoding"})
	}
	if form == nil {
		return texts, nil
	}
	fields, p := parseFormOptions(form)
	for name, text := range fields {
		texts[name] = append(texts[name], text)
	}
	return texts, p
}

// single are the options by name. It finds those that are not among the names, or are said twice.
func single(texts url.Values, names []string) (map[string]string, []*propose.OptionError) {
	var errs []*propose.OptionError
	values := make(map[string]string, len(texts))
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		switch all := texts[name]; {
		case !slices.Contains(names, name):
			errs = append(errs, &propose.OptionError{
				Name: name, Value: all[0], Want: "a parameter that exists: " + strings.Join(names, ", "),
			})
		case len(all) > 1:
			errs = append(errs, &propose.OptionError{Name: name, Value: strings.Join(all, ", "), Want: "one value"})
		default:
			values[name] = all[0]
		}
	}
	return values, errs
}

// take takes the options of those names out of the values.
func take(values map[string]string, names []string) map[string]string {
	taken := map[string]string{}
	for _, name := range names {
		if text, ok := values[name]; ok {
			taken[name] = text
			delete(values, name)
		}
	}
	return taken
}

// options are those of a search, as the service allows them. Without a max they say the
// default. It replaces values by their canonical form.
func (s *Server) options(values map[string]string, errs []*propose.OptionError, defaultMax int) (propose.Options, *problem) {
	most := s.cfg.MaxBoxes
	if _, ok := values["max"]; !ok {
		values["max"] = strconv.Itoa(min(defaultMax, cmp.Or(most, defaultMax)))
	}
	opts, err := propose.ParseOptions(values)
	errs = append(errs, propose.OptionErrors(err)...)
	if err == nil && most > 0 && (opts.Search.Max == 0 || opts.Search.Max > most) {
		errs = append(errs, &propose.OptionError{Name: "max", Value: values["max"], Want: fmt.Sprintf("a whole number from 1 to %d", most)})
	}
	if len(errs) > 0 {
		return propose.Options{}, optionProblem(errs)
	}
	maps.Copy(values, opts.Values())
	opts.Decode.Limits = s.cfg.limits()
	opts.Search.Threads = s.cfg.Threads
	if s.cfg.Ranker != nil {
		opts.Search.Ranker = s.cfg.Ranker
	}
	return opts, nil
}
