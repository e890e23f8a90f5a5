package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	watchEvery = 250 * time.Millisecond
	// spare is how many more goroutines than before are no leak: the runtime's own, and
	// those of the connection that asks.
	spare = 5
)

// watched are the gauges that are looked at, and whether they must be 0 when nobody asks.
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

// gauge is one of them over a run.
type gauge struct {
	Name   string  `json:"name"`
	Before float64 `json:"before"`
	Most   float64 `json:"most"`
	After  float64 `json:"after"`
}

// A watch looks at the service's gauges.
type watch struct {
	url    string
	client *http.Client
	before map[string]float64

	mu     sync.Mutex
	most   map[string]float64
	errs   []string
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

func newWatch(ctx context.Context, url string) (*watch, error) {
	w := &watch{url: url, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}, most: map[string]float64{}}
	now, err := w.look(ctx)
	if err == nil {
		for _, g := range watched {
			if _, ok := now[g.name]; !ok && strings.HasPrefix(g.name, "proposer_") && g.name != "proposer_cache_bytes" {
				err = fmt.Errorf("%s has no %s: want the admin address", url, g.name)
			}
		}
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *watch) close() { w.client.CloseIdleConnections() }

func (w *watch) get(ctx context.Context, path string, body func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
	if err != nil {
		return err
	}
	res, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", req.URL, res.StatusCode)
	}
	return body(res.Body)
}

// look reads the gauges without labels.
func (w *watch) look(ctx context.Context) (map[string]float64, error) {
	now := map[string]float64{}
	return now, w.get(ctx, "/metrics", func(r io.Reader) error {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			name, text, _ := strings.Cut(lines.Text(), " ")
			if v, err := strconv.ParseFloat(text, 64); err == nil && !strings.HasPrefix(name, "#") {
				now[name] = v
			}
		}
		return lines.Err()
	})
}

// settled looks once the service has collected its garbage.
func (w *watch) settled(ctx context.Context) (map[string]float64, error) {
	discard := func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
	for range 2 { // what finalizers hold goes with the second
		if err := w.get(ctx, "/debug/pprof/heap?gc=1", discard); err != nil {
			return nil, err
		}
	}
	return w.look(ctx)
}

// start begins to look again and again.
func (w *watch) start(ctx context.Context) (err error) {
	if w.before, err = w.settled(ctx); err != nil {
		return err
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.ended.Go(func() {
		for sleep(ctx, watchEvery) {
			now, err := w.look(ctx)
			w.mu.Lock()
			if err != nil && ctx.Err() == nil {
				w.errs = append(w.errs, "metrics: "+err.Error())
			}
			for name, v := range now {
				w.most[name] = max(w.most[name], v)
			}
			w.mu.Unlock()
		}
	})
	return nil
}

// stop waits until the service is as before, for quiet at most, and says what is not.
func (w *watch) stop(ctx context.Context, quiet time.Duration) (all []gauge, complaints []string) {
	w.cancel()
	w.ended.Wait()
	complaints = w.errs
	var now map[string]float64
	var left []string
	for deadline := time.Now().Add(quiet); ; {
		var err error
		if now, err = w.settled(ctx); err != nil {
			return nil, append(complaints, "metrics: "+err.Error())
		}
		left = w.left(now)
		if len(left) == 0 || time.Now().After(deadline) || !sleep(ctx, watchEvery) {
			break
		}
	}
	for _, g := range watched {
		if _, ok := now[g.name]; ok {
			all = append(all, gauge{g.name, w.before[g.name], max(w.before[g.name], w.most[g.name]), now[g.name]})
		}
	}
	return all, slices.Concat(complaints, left)
}

// left is what the service still holds.
func (w *watch) left(now map[string]float64) (left []string) {
	for _, g := range watched {
		if g.zero && now[g.name] != 0 {
			left = append(left, fmt.Sprintf("%s is %v when nobody asks: want 0", g.name, now[g.name]))
		}
	}
	if n, before := now["go_goroutines"], w.before["go_goroutines"]; n > before+spare {
		left = append(left, fmt.Sprintf("go_goroutines is %v when nobody asks: before it was %v", n, before))
	}
	return left
}
