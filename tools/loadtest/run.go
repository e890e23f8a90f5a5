package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// slowAtOnce is the most slow requests, which stand beside the others.
	slowAtOnce = 32
	// askedAtOnce is the most requests that wait for answers where arrivals have a rate.
	askedAtOnce = 4096
	// answerBytes is more than any answer has.
	answerBytes = 1 << 30
	// answerTime is how long an answer may take in all.
	answerTime = 3 * time.Minute
)

// A runner asks.
type runner struct {
	settings
	to    *url.URL
	mix   *mix
	judge *judge
	meter *meter
	// The hostile have connections of their own: what is left on them is not the others' affair.
	good, hostile *http.Client
	next          atomic.Uint64
	missed        atomic.Int64 // arrivals that found askedAtOnce before them

	slow     errgroup.Group
	stopSlow context.CancelFunc
	slowCtx  context.Context
}

func newClient(n int) *http.Client {
	return &http.Client{
		Timeout:       answerTime,
		Transport:     &http.Transport{MaxIdleConnsPerHost: n, DisableCompression: true, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// run does all of it. What comes of it is nil if there is an error, which complaints are not.
// When the context ends, it stops asking and sums up.
func run(ctx context.Context, s settings, progress io.Writer) (*summary, error) {
	to, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	pictures, err := newAlbum(s.pictures)
	if err != nil {
		return nil, err
	}
	r := &runner{settings: s, to: to, good: newClient(s.clients), hostile: newClient(s.clients), meter: newMeter()}
	defer r.good.CloseIdleConnections()
	defer r.hostile.CloseIdleConnections()
	text, err := description(ctx, r.good, s.url)
	if err != nil {
		return nil, err
	}
	if r.judge, err = newJudge(text); err != nil {
		return nil, err
	}
	r.mix = newMix(s, pictures, r.judge)
	r.slow.SetLimit(slowAtOnce)
	var w *watch
	if s.admin != "" {
		if w, err = newWatch(ctx, s.admin); err != nil {
			return nil, err
		}
		defer w.close()
	}

	sum := &summary{URL: s.url, Mix: s.mix, Seed: s.seed, Clients: s.clients, Rate: s.rate, Hostile: r.mix.settings.hostile}
	if s.baseline > 0 {
		fmt.Fprintf(progress, "load: one client alone for %v\n", s.baseline)
		alone := *r.mix
		alone.good, alone.settings.hostile = []kind{{"alone", 1, drawPlain}}, 0
		took, err := r.ask(ctx, &alone, 1, 0, s.baseline)
		if err != nil {
			return nil, err
		}
		sum.Baseline = r.meter.measures(took)
		r.meter = r.meter.after()
	}
	if w != nil {
		if err := w.start(ctx); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(progress, "load: %s for %v\n", s.mix, s.duration)
	took, err := r.ask(ctx, r.mix, s.clients, s.rate, s.duration)
	if err != nil {
		return nil, err
	}
	sum.Load = r.meter.measures(took)
	sum.Missed = r.missed.Load()
	if w != nil {
		r.good.CloseIdleConnections()
		r.hostile.CloseIdleConnections()
		if ctx.Err() == nil {
			fmt.Fprintln(progress, "load: waiting for quiet")
		}
		var complaints []string
		sum.Gauges, complaints = w.stop(context.WithoutCancel(ctx), s.quiet)
		for _, c := range complaints {
			r.meter.complain(&ask{kind: "gauges"}, c)
		}
	}
	sum.Kinds, sum.Complaints, sum.Examples = r.meter.kinds()
	return sum, nil
}

// ask has clients ask, or arrivals come at the rate if there is one, for a while. It returns, once all is
// answered, how long that took.
func (r *runner) ask(ctx context.Context, m *mix, clients int, rate float64, while time.Duration) (time.Duration, error) {
	start := time.Now()
	r.slowCtx, r.stopSlow = context.WithCancel(context.WithoutCancel(ctx))
	defer r.stopSlow()
	asking, cancel := context.WithTimeout(ctx, while)
	defer cancel()
	var crew errgroup.Group
	if rate > 0 {
		crew.SetLimit(askedAtOnce)
		arrivals := rand.New(rand.NewPCG(r.seed, 0xa331a1))
		at := start
		for {
			at = at.Add(time.Duration(arrivals.ExpFloat64() / rate * float64(time.Second)))
			if !sleep(asking, time.Until(at)) {
				break
			}
			n, due := r.next.Add(1), at
			if !crew.TryGo(func() error { r.do(ctx, m, n, due); return nil }) {
				r.missed.Add(1)
			}
		}
	} else {
		for range clients {
			crew.Go(func() error {
				for asking.Err() == nil {
					r.do(ctx, m, r.next.Add(1), time.Now())
				}
				return nil
			})
		}
	}
	_ = crew.Wait() // they return none
	took := time.Since(start)
	r.stopSlow()
	return took, r.slow.Wait()
}

// sleep waits, and tells whether the context still holds.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// do asks request number n and judges what comes. Its time counts from when it was due.
func (r *runner) do(ctx context.Context, m *mix, n uint64, due time.Time) {
	a := m.draw(n)
	switch {
	case a.wire == nil:
		client := r.good
		if a.hostile {
			client = r.hostile
		}
		got, err := r.exchange(ctx, client, a)
		if err != nil {
			r.failed(ctx, a, err)
			return
		}
		got.took = time.Since(due)
		r.judged(a, got)
	case a.wire.slow():
		r.slow.TryGo(func() error { // or it is left out: there are enough
			r.talk(r.slowCtx, a)
			return nil
		})
	default:
		r.talk(ctx, a)
	}
}

func (r *runner) talk(ctx context.Context, a *ask) {
	all, err := a.wire.talk(ctx, r.to, r.patience)
	for _, got := range all {
		r.judged(a, got)
	}
	switch {
	case err != nil && !(errors.Is(err, errCut) && a.mayCut):
		r.failed(ctx, a, err)
	case len(all) == 0:
		r.meter.cut(a)
	}
}

func (r *runner) exchange(ctx context.Context, client *http.Client, a *ask) (*answer, error) {
	target := r.url + a.path
	req, err := http.NewRequestWithContext(ctx, a.method, target, bytes.NewReader(a.body))
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = a.query
	req.Header = a.header
	if r.token != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerBytes))
	if err != nil {
		return nil, fmt.Errorf("status %d, then %w", res.StatusCode, err)
	}
	return &answer{status: res.StatusCode, header: res.Header, body: body}, nil
}

// failed is for what got no answer.
func (r *runner) failed(ctx context.Context, a *ask, err error) {
	switch {
	case ctx.Err() != nil: // it is we who gave up
		r.meter.cut(a)
	case a.hostile && a.wire == nil && (strings.Contains(err.Error(), "reset by peer") || strings.Contains(err.Error(), "broken pipe")):
		r.meter.cut(a) // it was told before it had said everything, and did not listen
	default:
		r.meter.cut(a)
		r.meter.complain(a, "no answer: "+err.Error())
	}
}

func (r *runner) judged(a *ask, got *answer) {
	r.meter.answered(a, got)
	for _, c := range r.judge.judge(a, got) {
		r.meter.complain(a, c)
	}
}
