package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"golang.org/x/sync/errgroup"
)

const (
	// maxRaw bounds the raw connections at any time; requests beyond that are left out.
	maxRaw = 256
	// maxWorkers bounds the requests in flight when their rate is fixed.
	maxWorkers = 4096
)

// A runner sends the requests of a workload and validates the responses.
type runner struct {
	config
	target    *url.URL
	workload  *workload
	validator *validator
	stats     *stats
	client    *http.Client
	number    atomic.Uint64 // of the last request
	pending   sync.Map      // number of a request that vegeta sends → *request
	raw       errgroup.Group
}

// transport keeps hostile requests on connections of their own, so that what they leave on a connection
// does not end a regular request.
type transport struct{ regular, hostile *http.Transport }

// hostileMark precedes the number in the URL fragment of a hostile request. Fragments are not sent.
const hostileMark = "hostile-"

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasPrefix(req.URL.Fragment, hostileMark) {
		return t.hostile.RoundTrip(req)
	}
	return t.regular.RoundTrip(req)
}

func (t *transport) CloseIdleConnections() {
	t.regular.CloseIdleConnections()
	t.hostile.CloseIdleConnections()
}

func newClient(c config) *http.Client {
	pool := func() *http.Transport {
		return &http.Transport{MaxIdleConnsPerHost: c.clients, DisableCompression: true, IdleConnTimeout: 30 * time.Second}
	}
	return &http.Client{
		Timeout:       c.timeout,
		Transport:     &transport{pool(), pool()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// run generates the load and waits for the service to come to rest. Invalid responses are not errors but
// part of the report. When the context ends, run stops sending and reports.
func run(ctx context.Context, c config, progress io.Writer) (*report, error) {
	target, err := url.Parse(c.url)
	if err != nil {
		return nil, err
	}
	images, err := newCorpus(c.images)
	if err != nil {
		return nil, err
	}
	r := &runner{config: c, target: target, client: newClient(c), stats: newStats()}
	defer r.client.CloseIdleConnections()
	if r.validator, err = fetchValidator(ctx, r.client, c.url); err != nil {
		return nil, err
	}
	r.workload = newWorkload(c, images, r.validator)
	r.raw.SetLimit(maxRaw)
	var leaks *leakCheck
	if c.admin != "" {
		if leaks, err = newLeakCheck(ctx, c.admin); err != nil {
			return nil, err
		}
		defer leaks.close()
	}

	rep := &report{URL: c.url, Workload: c.workload, Seed: c.seed, Clients: c.clients, Rate: c.rate, Hostile: r.workload.hostile}
	fmt.Fprintf(progress, "loadtest: %s workload\n", c.workload)
	rep.Load = r.generate(ctx)
	if leaks != nil {
		r.client.CloseIdleConnections()
		if ctx.Err() == nil {
			fmt.Fprintln(progress, "loadtest: waiting for the service to come to rest")
		}
		var failures []string
		rep.Gauges, failures = leaks.finish(context.WithoutCancel(ctx), c.quiet)
		for _, f := range failures {
			r.stats.fail(&request{kind: "gauges"}, f)
		}
	}
	r.stats.finish(rep)
	return rep, nil
}

// budget ends an attack after a number of requests; 0 means no limit.
type budget struct {
	vegeta.Pacer
	requests uint64
}

func (b budget) Pace(elapsed time.Duration, hits uint64) (time.Duration, bool) {
	if b.requests > 0 && hits >= b.requests {
		return 0, true
	}
	return b.Pacer.Pace(elapsed, hits)
}

// generate sends requests for the configured time and returns after the last response.
func (r *runner) generate(ctx context.Context) *loadReport {
	start := time.Now()
	rawCtx, stopRaw := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRaw()

	workers, pacer := uint64(r.clients), vegeta.ConstantPacer{}
	if r.rate > 0 {
		workers, pacer = maxWorkers, vegeta.ConstantPacer{Freq: 1, Per: time.Duration(float64(time.Second) / r.rate)}
	}
	attacker := vegeta.NewAttacker(vegeta.Client(r.client), vegeta.Workers(uint64(r.clients)), vegeta.MaxWorkers(workers))
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()
	next := func(t *vegeta.Target) error { return r.next(rawCtx, t) }
	results := attacker.Attack(next, budget{pacer, uint64(r.requests)}, r.duration, "")

	var validators sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		validators.Go(func() {
			for res := range results {
				r.receive(ctx, res)
			}
		})
	}
	validators.Wait()
	took := time.Since(start)
	if r.requests == 0 {
		stopRaw()
	}
	_ = r.raw.Wait() // failures are in the statistics
	return r.stats.load(took)
}

// next fills the target with the next request of the workload. Raw requests, which no HTTP client can
// send, run beside the others on connections of their own.
func (r *runner) next(ctx context.Context, t *vegeta.Target) error {
	for {
		req := r.workload.request(r.number.Add(1))
		if req.raw != nil {
			exchange := func() error {
				r.exchange(ctx, req)
				return nil
			}
			if !r.raw.TryGo(exchange) {
				r.stats.skip()
			}
			continue
		}
		fragment := fmt.Sprint(req.number)
		r.pending.Store(fragment, req)
		if req.hostile {
			fragment = hostileMark + fragment
		}
		u := r.url + req.path
		if req.query != "" {
			u += "?" + req.query
		}
		*t = vegeta.Target{Method: req.method, URL: u + "#" + fragment, Body: req.body, Header: req.header}
		token := r.token
		if req.hostile {
			token = r.hostileToken
		}
		if token != "" && t.Header.Get("Authorization") == "" {
			t.Header.Set("Authorization", "Bearer "+token)
		}
		return nil
	}
}

// receive validates the result of a request that vegeta sent.
func (r *runner) receive(ctx context.Context, res *vegeta.Result) {
	_, fragment, _ := strings.Cut(res.URL, "#")
	sent, ok := r.pending.LoadAndDelete(strings.TrimPrefix(fragment, hostileMark))
	if !ok {
		r.stats.fail(&request{kind: "generator"}, res.Error)
		return
	}
	req := sent.(*request)
	r.stats.add(req, res)
	switch {
	case res.Headers != nil:
		r.validate(req, &response{status: int(res.Code), header: res.Headers, body: res.Body})
	case ctx.Err() != nil: // the load test was interrupted
	case req.hostile && (strings.Contains(res.Error, "reset by peer") || strings.Contains(res.Error, "broken pipe")):
		// The service answered before it had read everything, and the response was lost.
	default:
		r.stats.fail(req, "no response: "+res.Error)
	}
}

// exchange sends a raw request and validates the responses.
func (r *runner) exchange(ctx context.Context, req *request) {
	start := time.Now()
	responses, err := req.raw.exchange(ctx, r.target, r.patience)
	for _, res := range responses {
		r.stats.add(req, &vegeta.Result{Code: uint16(res.status), Timestamp: start, Latency: res.took})
		r.validate(req, res)
	}
	if len(responses) == 0 {
		r.stats.add(req, &vegeta.Result{Timestamp: start, Latency: time.Since(start)})
	}
	if err != nil && ctx.Err() == nil && !(errors.Is(err, errClosed) && req.mayClose) {
		r.stats.fail(req, "no response: "+err.Error())
	}
}

func (r *runner) validate(req *request, res *response) {
	for _, f := range r.validator.validate(req, res) {
		r.stats.fail(req, f)
	}
}
