package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	// sampleInterval is the time between two samples of the gauges.
	sampleInterval = 250 * time.Millisecond
	// spareGoroutines is the growth that is no leak: goroutines of the runtime and of the connection
	// that reads the metrics.
	spareGoroutines = 5
)

// watched are the gauges to report. Those with zero set must be 0 when there are no requests.
var watched = []struct {
	name string
	zero bool
}{
	{"go_goroutines", false},
	{"process_resident_memory_bytes", false},
	{"process_open_fds", false},
	{"go_memstats_heap_alloc_bytes", false},
	{"go_memstats_heap_sys_bytes", false},
	{"proposer_http_requests_in_flight", true},
	{"proposer_queue_depth", true},
	{"proposer_work_pixels", true},
	{"proposer_body_bytes", true},
	{"proposer_cache_bytes", false},
}

// A gauge reports the values of a gauge before and after a run.
type gauge struct {
	Name   string  `json:"name"`
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// A leakCheck compares the service's gauges after a run with their baseline before it.
type leakCheck struct {
	url    string
	client *http.Client
	before map[string]float64
}

// newLeakCheck takes the baseline.
func newLeakCheck(ctx context.Context, url string) (*leakCheck, error) {
	l := &leakCheck{url: url, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}}
	var err error
	if l.before, err = l.sample(ctx); err != nil {
		l.close()
		return nil, err
	}
	for _, g := range watched {
		if _, ok := l.before[g.name]; g.zero && !ok {
			l.close()
			return nil, fmt.Errorf("%s has no metric %s: want the admin address", url, g.name)
		}
	}
	return l, nil
}

func (l *leakCheck) close() { l.client.CloseIdleConnections() }

func (l *leakCheck) get(ctx context.Context, path string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+path, nil)
	if err != nil {
		return err
	}
	res, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", req.URL, res.StatusCode)
	}
	return read(res.Body)
}

// sample reads the watched gauges after the service has collected its garbage.
func (l *leakCheck) sample(ctx context.Context) (map[string]float64, error) {
	discard := func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	for range 2 { // the second collection frees what finalizers held
		if err := l.get(ctx, "/debug/pprof/heap?gc=1", discard); err != nil {
			return nil, err
		}
	}
	now := map[string]float64{}
	return now, l.get(ctx, "/metrics", func(r io.Reader) error {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(r)
		if err != nil {
			return err
		}
		for _, g := range watched {
			if f := families[g.name]; f != nil && len(f.Metric) == 1 {
				now[g.name] = f.Metric[0].GetGauge().GetValue()
			}
		}
		return nil
	})
}

// finish waits, at most for quiet, until the gauges are back to their baseline. It returns all gauges and
// a failure for each that is not.
func (l *leakCheck) finish(ctx context.Context, quiet time.Duration) (all []gauge, failures []string) {
	var now map[string]float64
	for deadline := time.Now().Add(quiet); ; time.Sleep(sampleInterval) {
		var err error
		if now, err = l.sample(ctx); err != nil {
			return nil, []string{"metrics: " + err.Error()}
		}
		failures = l.leaks(now)
		if len(failures) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, g := range watched {
		if _, ok := now[g.name]; ok {
			all = append(all, gauge{g.name, l.before[g.name], now[g.name]})
		}
	}
	return all, failures
}

// leaks describes the gauges that are above their baseline.
func (l *leakCheck) leaks(now map[string]float64) (leaks []string) {
	for _, g := range watched {
		if g.zero && now[g.name] != 0 {
			leaks = append(leaks, fmt.Sprintf("%s is %v without requests: want 0", g.name, now[g.name]))
		}
	}
	if n, before := now["go_goroutines"], l.before["go_goroutines"]; n > before+spareGoroutines {
		leaks = append(leaks, fmt.Sprintf("go_goroutines is %v without requests: it was %v before", n, before))
	}
	return leaks
}
