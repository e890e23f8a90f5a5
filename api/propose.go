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

// shared are the options of every search: how many threads is for the operator to say.
var shared = slices.DeleteFunc(propose.OptionNames(), func(name string) bool { return name == "threads" })

// rich are the options of answers in JSON.
var rich = []string{"masks", "evidence", "tree", "strategy"}

// query is what a request for proposals asks.
type query struct {
	propose.Options
	rep                   *representation
	masks, evidence, tree bool
	strategy              int    // whose tree
	canonical             string // the same for the same answer
}

// masksBytes bounds the masks of an answer.
const masksBytes = 64 << 20

// propose answers POST /v1/proposals. What is cheap to refuse is refused first.
func (s *Server) propose(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	rep, p := accepted(r)
	if p != nil {
		fail(w, r, p)
		return
	}
	q, p := s.parse(r.URL.RawQuery, nil, rep)
	if p != nil {
		fail(w, r, p)
		return
	}
	up, release, p := s.read(w, r, "options")
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
	if len(up.pictures) > 1 && rep == representations[0] {
		q.rep = ndjson
	}
	switch {
	case q.rep.many:
		s.proposeMany(w, r, up.pictures, q)
	case len(up.pictures) > 1:
		fail(w, r, manyProblem(rep))
	default:
		s.proposeOne(w, r, up.pictures[0], q, release)
	}
}

// proposeOne answers for one picture.
func (s *Server) proposeOne(w http.ResponseWriter, r *http.Request, pic picture, q query, release func()) {
	k := s.key(pic, q)
	h := w.Header()
	if k.known(r) {
		s.metrics.notModified.Inc()
		k.tell(h)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	answer, cached := s.answers.get(k)
	if !cached {
		var p *problem
		answer, p = s.searchInPlace(r, pic.data, q.Options, q.encode(pic))
		if p != nil {
			fail(w, r, p)
			return
		}
		s.answers.set(k, answer)
	}
	release() // it may be a while until the client has read it all
	k.tell(h)
	h.Set("X-Cache", map[bool]string{true: "hit", false: "miss"}[cached])
	s.send(w, q.rep.media, answer)
}

// proposeMany answers for any number of pictures, with a line for each as soon as it is done.
// Each waits for a place of its own, so that a client that reads slowly holds none; where
// there is none for the first, the request is turned away.
func (s *Server) proposeMany(w http.ResponseWriter, r *http.Request, pictures []picture, q query) {
	if p := s.admission.place(); p != nil {
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
	var crew errgroup.Group
	crew.SetLimit(s.cfg.Workers)
	for i, pic := range pictures {
		crew.Go(func() error {
			// The first has the place that the request was let in with.
			if i > 0 && s.admission.places.Acquire(ctx, 1) != nil {
				return nil // nobody to tell
			}
			write(s.line(ctx, i, pic, q))
			return nil
		})
	}
	_ = crew.Wait() // they return none
}

// line is what is said of one of several pictures, which has a place, and gives it back.
func (s *Server) line(ctx context.Context, index int, pic picture, q query) (line []byte) {
	defer s.admission.places.Release(1)
	defer func() {
		if v := recover(); v != nil { // nobody else does, in a goroutine
			p := panicProblem(v)
			s.cfg.Logger.Error("a picture among several", "file", pic.file, "error", p.cause)
			s.metrics.rejected.WithLabelValues(p.kind).Inc()
			line = p.line(index, pic.file)
		}
	}()
	k := s.key(pic, q)
	object, cached := s.answers.get(k)
	if !cached {
		var p *problem
		if object, p = s.search(ctx, &record{}, pic.data, q.Options, q.encode(pic)); p != nil {
			s.metrics.rejected.WithLabelValues(p.kind).Inc()
			return p.line(index, pic.file)
		}
		s.answers.set(k, object)
	}
	return fmt.Appendf(nil, `{"index":%d,%s`, index, object[1:])
}

// encode says what was found in a picture as the query wants it.
func (q *query) encode(pic picture) func(context.Context, *propose.Result) ([]byte, error) {
	return func(ctx context.Context, result *propose.Result) ([]byte, error) {
		row, err := q.row(ctx, result, pic.file)
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
		if row.Masks, err = result.Masks(ctx, masksBytes); err != nil {
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
func (s *Server) search(ctx context.Context, rec *record, data []byte, opts propose.Options,
	encode func(context.Context, *propose.Result) ([]byte, error),
) ([]byte, *problem) {
	header, err := imageio.Inspect(data, s.cfg.Limits)
	rec.attrs = append(rec.attrs, slog.Int("picture_bytes", len(data)), slog.String("format", header.Format),
		slog.Int("width", header.Width), slog.Int("height", header.Height), slog.String("mode", opts.Mode))
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	pixels := int64(header.Width) * int64(header.Height)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	done, err := s.admission.turn(ctx, opts.WorkPixels(header))
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	defer done()
	result, err := s.run(ctx, data, opts)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	start := time.Now()
	body, err := encode(ctx, result)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	s.metrics.searched(result, opts.Mode, pixels, time.Since(start))
	rec.attrs = append(rec.attrs, slog.Int("boxes", len(result.Boxes)),
		slog.Float64("decode_seconds", result.DecodeTime.Seconds()), slog.Float64("search_seconds", result.SearchTime.Seconds()))
	return body, nil
}

// failed is the problem of a picture that was not searched to its end. ctx is the
// picture's: when it has ended for another reason than its time, the client is gone.
func (s *Server) failed(ctx context.Context, err error) *problem {
	p := problemOf(ctx, err)
	switch p.kind {
	case "format":
		s.metrics.decodeFailures.WithLabelValues("unknown").Inc()
	case "picture":
		s.metrics.decodeFailures.WithLabelValues(p.Errors[0].Value).Inc()
	}
	return p
}

// searchInPlace searches for a request that takes a place in the queue, or is turned away.
func (s *Server) searchInPlace(r *http.Request, data []byte, opts propose.Options,
	encode func(context.Context, *propose.Result) ([]byte, error),
) ([]byte, *problem) {
	if p := s.admission.place(); p != nil {
		return nil, p
	}
	defer s.admission.places.Release(1) // also of a search that panics
	return s.search(r.Context(), recordOf(r), data, opts, encode)
}

// send writes an answer in one piece.
func (s *Server) send(w http.ResponseWriter, media string, body []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)) // a test's recorder has none
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // nobody to tell
}

// key is that of the answer to a query for a picture.
func (s *Server) key(pic picture, q query) key {
	return keyOf(pic.data, s.cfg.Version, s.cfg.RankerName, pic.file, q.rep.media, q.canonical)
}

// parse reads what a request for proposals asks: the query, and the options of the form,
// which may not say the same. Everything wrong is in the problem.
func (s *Server) parse(rawQuery string, form []byte, rep *representation) (query, *problem) {
	texts, p := given(rawQuery, form)
	if p != nil {
		return query{}, p
	}
	values, errs := single(texts, slices.Concat(shared, rich))
	own := take(values, rich)
	if !rep.rich {
		for _, name := range slices.Sorted(maps.Keys(own)) {
			errs = append(errs, &propose.OptionError{Name: name, Value: own[name], Want: "an answer in JSON (Accept: application/json) to go with it"})
		}
		clear(own)
	}
	q := query{rep: rep}
	extras := optparse.New(own, rich)
	optparse.Value(extras, "masks", "rle or off", parseMasks, &q.masks)
	optparse.Value(extras, "evidence", "1 or 0", strconv.ParseBool, &q.evidence)
	optparse.Value(extras, "tree", "1 or 0", strconv.ParseBool, &q.tree)
	extras.Int("strategy", 0, selective.MaxStrategies-1, &q.strategy)
	opts, p := s.options(values, append(errs, propose.OptionErrors(extras.Err())...), rep.max)
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
	q.canonical = canonical(values) + fmt.Sprint(q.masks, q.evidence, q.tree, q.strategy)
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
			field{"query", rawQuery, "name=value pairs, separated by &, in percent encoding"})
	}
	if form == nil {
		return texts, nil
	}
	fields, p := parseFields(form)
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
	opts.Decode.Limits = s.cfg.Limits
	opts.Search.Threads = s.cfg.Threads
	if s.cfg.Ranker != nil {
		opts.Search.Ranker = s.cfg.Ranker
	}
	return opts, nil
}
