package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// maxExamples bounds the failures of a kind of request that the report describes.
const maxExamples = 5

// A kindReport sums up the requests of one kind.
type kindReport struct {
	Kind     string          `json:"kind"`
	Hostile  bool            `json:"hostile"`
	Failures int             `json:"failures"`
	Metrics  *vegeta.Metrics `json:"metrics"`
}

// A loadReport sums up the regular requests.
type loadReport struct {
	Seconds         float64 `json:"seconds"`
	Requests        int     `json:"requests"`
	Rejected        int     `json:"rejected"` // with 429 or 503
	Images          int     `json:"images"`
	ImagesPerSecond float64 `json:"images_per_second"`
	// Latencies of admitted requests, of those that searched one image, and what these took beyond
	// decoding and search.
	Admitted *vegeta.LatencyMetrics `json:"admitted"`
	Searched *vegeta.LatencyMetrics `json:"searched"`
	Overhead *vegeta.LatencyMetrics `json:"overhead"`
}

// A report is the result of a run.
type report struct {
	URL      string        `json:"url"`
	Workload string        `json:"workload"`
	Seed     uint64        `json:"seed"`
	Clients  int           `json:"clients"`
	Rate     float64       `json:"rate"`
	Hostile  float64       `json:"hostile"`
	Load     *loadReport   `json:"load"`
	Skipped  int           `json:"skipped"` // raw requests beyond maxRaw
	Kinds    []*kindReport `json:"kinds"`
	Gauges   []gauge       `json:"gauges,omitempty"`
	Failures int           `json:"failures"`
	Examples []string      `json:"examples"`
}

// stats collects the statistics of a run. It is safe for concurrent use.
type stats struct {
	mu       sync.Mutex
	kinds    map[string]*kindReport
	current  loadReport
	skipped  int
	examples []string
}

func newStats() *stats {
	return &stats{
		kinds:   map[string]*kindReport{},
		current: loadReport{Admitted: new(vegeta.LatencyMetrics), Searched: new(vegeta.LatencyMetrics), Overhead: new(vegeta.LatencyMetrics)},
	}
}

// kind returns the report of the request's kind. The caller holds the lock.
func (s *stats) kind(req *request) *kindReport {
	k := s.kinds[req.kind]
	if k == nil {
		k = &kindReport{Kind: req.kind, Hostile: req.hostile, Metrics: new(vegeta.Metrics)}
		s.kinds[req.kind] = k
	}
	return k
}

// add counts the result of a request.
func (s *stats) add(req *request, res *vegeta.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind(req).Metrics.Add(res)
	if req.hostile {
		return
	}

	p := &s.current
	p.Requests++
	if overloaded(int(res.Code)) {
		p.Rejected++
	}
	if res.Code != http.StatusOK || req.images == 0 {
		return
	}
	p.Images += req.images
	p.Admitted.Add(res.Latency)
	if !req.timed || res.Headers.Get("X-Cache") != "miss" {
		return
	}
	var row struct {
		Seconds       float64 `json:"seconds"`
		DecodeSeconds float64 `json:"decode_seconds"`
	}
	if json.Unmarshal(res.Body, &row) == nil { // otherwise the validator reports it
		p.Searched.Add(res.Latency)
		p.Overhead.Add(res.Latency - time.Duration((row.Seconds+row.DecodeSeconds)*float64(time.Second)))
	}
}

func (s *stats) skip() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipped++
}

func (s *stats) fail(req *request, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kind(req)
	if k.Failures++; k.Failures <= maxExamples {
		s.examples = append(s.examples, fmt.Sprintf("%s, request %d: %s%s", req.kind, req.number, req, what))
	}
}

// load returns the statistics of the regular requests, which took so long.
func (s *stats) load(took time.Duration) *loadReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.current
	p.Seconds = took.Seconds()
	p.ImagesPerSecond = float64(p.Images) / p.Seconds
	for _, l := range []*vegeta.LatencyMetrics{p.Admitted, p.Searched, p.Overhead} {
		l.P50, l.P90, l.P95, l.P99 = l.Quantile(0.5), l.Quantile(0.9), l.Quantile(0.95), l.Quantile(0.99)
	}
	return &p
}

// finish adds kinds and failures to a report, regular kinds first.
func (s *stats) finish(rep *report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, hostile := range []bool{false, true} {
		for _, name := range slices.Sorted(maps.Keys(s.kinds)) {
			if k := s.kinds[name]; k.Hostile == hostile {
				k.Metrics.Close()
				rep.Kinds = append(rep.Kinds, k)
				rep.Failures += k.Failures
			}
		}
	}
	rep.Skipped = s.skipped
	rep.Examples = s.examples
}

func (p *loadReport) write(b *strings.Builder, name string) {
	fmt.Fprintf(b, "%s: %d requests in %.1f s, %d rejected; %d images, %.1f per second\n",
		name, p.Requests, p.Seconds, p.Rejected, p.Images, p.ImagesPerSecond)
	for _, c := range []struct {
		name string
		l    *vegeta.LatencyMetrics
	}{{"admitted", p.Admitted}, {"searched", p.Searched}, {"overhead", p.Overhead}} {
		if c.l.Total > 0 {
			fmt.Fprintf(b, "  %-9s p50 %8.1f ms  p90 %8.1f ms  p99 %8.1f ms  max %8.1f ms\n", c.name,
				milliseconds(c.l.P50), milliseconds(c.l.P90), milliseconds(c.l.P99), milliseconds(c.l.Max))
		}
	}
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// String returns the report as text.
func (r *report) String() string {
	var b strings.Builder
	r.Load.write(&b, r.Workload)
	if r.Skipped > 0 {
		fmt.Fprintf(&b, "  %d raw requests left out: %d were open\n", r.Skipped, maxRaw)
	}

	fmt.Fprintf(&b, "\n%-18s %12s  %s\n", "kind (* hostile)", "longest", "status × count, 0: no response")
	for _, k := range r.Kinds {
		name := k.Kind
		if k.Hostile {
			name += " *"
		}
		fmt.Fprintf(&b, "%-18s %9.1f ms ", name, milliseconds(k.Metrics.Latencies.Max))
		for _, status := range slices.Sorted(maps.Keys(k.Metrics.StatusCodes)) {
			fmt.Fprintf(&b, " %s×%d", status, k.Metrics.StatusCodes[status])
		}
		if k.Failures > 0 {
			fmt.Fprintf(&b, "  %d invalid", k.Failures)
		}
		b.WriteString("\n")
	}

	if len(r.Gauges) > 0 {
		fmt.Fprintf(&b, "\n%-36s %14s %14s\n", "gauge", "before", "after")
	}
	for _, g := range r.Gauges {
		fmt.Fprintf(&b, "%-36s %14.0f %14.0f\n", g.Name, g.Before, g.After)
	}
	fmt.Fprintf(&b, "\n%d invalid responses\n", r.Failures)
	for _, e := range r.Examples {
		b.WriteString("  " + e + "\n")
	}
	return b.String()
}
