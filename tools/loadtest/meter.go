package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mostExamples is how many complaints of a kind are told in full.
const mostExamples = 5

// quantiles are of seconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantilesOf(values []float64) *quantiles {
	if len(values) == 0 {
		return nil
	}
	slices.Sort(values)
	at := func(q float64) float64 {
		whole, part := math.Modf(q * float64(len(values)-1))
		i := int(whole)
		return values[i] + part*(values[min(i+1, len(values)-1)]-values[i])
	}
	return &quantiles{at(0.5), at(0.9), at(0.99), values[len(values)-1]}
}

// measures are of a while.
type measures struct {
	Seconds           float64    `json:"seconds"`
	Requests          int        `json:"requests"`
	Refused           int        `json:"refused"` // good ones that got 429 or 503
	Pictures          int        `json:"pictures"`
	PicturesPerSecond float64    `json:"pictures_per_second"`
	Latency           *quantiles `json:"latency_seconds"`  // of good requests that were admitted
	Searched          *quantiles `json:"searched_seconds"` // of those, where one picture was searched
	Overhead          *quantiles `json:"overhead_seconds"` // of those, without decoding and search
}

// tally is of a kind.
type tally struct {
	Name       string         `json:"name"`
	Hostile    bool           `json:"hostile"`
	Statuses   map[string]int `json:"statuses"` // "none" where the connection ended
	Complaints int            `json:"complaints"`
	Longest    float64        `json:"longest_seconds"` // until an answer
}

// summary is what is told in the end.
type summary struct {
	URL        string    `json:"url"`
	Mix        string    `json:"mix"`
	Seed       uint64    `json:"seed"`
	Clients    int       `json:"clients"`
	Rate       float64   `json:"rate"`
	Hostile    float64   `json:"hostile"`
	Baseline   *measures `json:"baseline,omitempty"`
	Load       *measures `json:"load"`
	Missed     int64     `json:"missed"`
	Kinds      []*tally  `json:"kinds"`
	Gauges     []gauge   `json:"gauges,omitempty"`
	Complaints int       `json:"complaints"`
	Examples   []string  `json:"examples"`
}

// A meter counts. It is safe for concurrent use.
type meter struct {
	mu                          sync.Mutex
	tallies                     map[string]*tally
	requests, refused, pictures int
	latency, searched, overhead []float64
	examples                    []string
}

func newMeter() *meter { return &meter{tallies: map[string]*tally{}} }

// after begins anew, but for the complaints.
func (m *meter) after() *meter { return &meter{tallies: m.tallies, examples: m.examples} }

// of is the tally of a kind; the meter is locked.
func (m *meter) of(a *ask) *tally {
	t := m.tallies[a.kind]
	if t == nil {
		t = &tally{Name: a.kind, Hostile: a.hostile, Statuses: map[string]int{}}
		m.tallies[a.kind] = t
	}
	return t
}

func (m *meter) cut(a *ask) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	m.of(a).Statuses["none"]++
}

func (m *meter) answered(a *ask, got *answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	t := m.of(a)
	t.Statuses[strconv.Itoa(got.status)]++
	t.Longest = max(t.Longest, got.took.Seconds())
	if a.hostile {
		return
	}
	if full(got.status) {
		m.refused++
	}
	if got.status != 200 || a.pictures == 0 {
		return
	}
	m.pictures += a.pictures
	m.latency = append(m.latency, got.took.Seconds())
	if !a.timed || got.header.Get("X-Cache") != "miss" {
		return
	}
	var r struct {
		Seconds       float64 `json:"seconds"`
		DecodeSeconds float64 `json:"decode_seconds"`
	}
	if json.Unmarshal(got.body, &r) == nil { // else the judge says so
		m.searched = append(m.searched, got.took.Seconds())
		m.overhead = append(m.overhead, got.took.Seconds()-r.Seconds-r.DecodeSeconds)
	}
}

func (m *meter) complain(a *ask, what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.of(a)
	if t.Complaints++; t.Complaints <= mostExamples {
		m.examples = append(m.examples, fmt.Sprintf("%s, request %d: %s", a.kind, a.number, told(a)+what))
	}
}

// told says what was asked, as far as that is short.
func told(a *ask) string {
	var text string
	switch {
	case a.wire != nil && len(a.wire.send) > 0:
		text = fmt.Sprintf("%.200q…", a.wire.send[0])
	case a.method != "":
		text = fmt.Sprintf("%s %.200s", a.method, a.path+"?"+a.query)
		if len(a.body) > 0 {
			text += fmt.Sprintf(" of %d bytes %.60q", len(a.body), a.body)
		}
	default:
		return ""
	}
	return text + ": "
}

func (m *meter) measures(took time.Duration) *measures {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &measures{
		Seconds: took.Seconds(), Requests: m.requests, Refused: m.refused,
		Pictures: m.pictures, PicturesPerSecond: float64(m.pictures) / took.Seconds(),
		Latency: quantilesOf(m.latency), Searched: quantilesOf(m.searched), Overhead: quantilesOf(m.overhead),
	}
}

// kinds are the tallies, good ones first.
func (m *meter) kinds() (all []*tally, complaints int, examples []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.tallies)) {
		all = append(all, m.tallies[name])
		complaints += m.tallies[name].Complaints
	}
	slices.SortStableFunc(all, func(a, b *tally) int {
		switch {
		case a.Hostile == b.Hostile:
			return 0
		case b.Hostile:
			return -1
		}
		return 1
	})
	return all, complaints, m.examples
}

// String is the summary as a person reads it.
func (s *summary) String() string {
	var b strings.Builder
	row := func(name string, m *measures) {
		if m == nil {
			return
		}
		fmt.Fprintf(&b, "%s: %d requests in %.1f s, %d turned away; %d pictures, %.1f a second\n",
			name, m.Requests, m.Seconds, m.Refused, m.Pictures, m.PicturesPerSecond)
		for _, q := range []struct {
			name string
			of   *quantiles
		}{{"latency", m.Latency}, {"searched", m.Searched}, {"overhead", m.Overhead}} {
			if q.of != nil {
				fmt.Fprintf(&b, "  %-9s p50 %8.1f ms  p90 %8.1f ms  p99 %8.1f ms  max %8.1f ms\n", q.name, q.of.P50*1e3, q.of.P90*1e3, q.of.P99*1e3, q.of.Max*1e3)
			}
		}
	}
	row("alone", s.Baseline)
	row(s.Mix, s.Load)
	if s.Missed > 0 {
		fmt.Fprintf(&b, "  %d arrivals found %d requests before them and were left out\n", s.Missed, askedAtOnce)
	}
	b.WriteString("\n")
	for _, t := range s.Kinds {
		name := t.Name
		if t.Hostile {
			name += " *"
		}
		fmt.Fprintf(&b, "%-16s %8.1f ms ", name, t.Longest*1e3)
		for _, status := range slices.Sorted(maps.Keys(t.Statuses)) {
			fmt.Fprintf(&b, " %s×%d", status, t.Statuses[status])
		}
		if t.Complaints > 0 {
			fmt.Fprintf(&b, "  %d complaints", t.Complaints)
		}
		b.WriteString("\n")
	}
	if len(s.Gauges) > 0 {
		fmt.Fprintf(&b, "\n%-36s %14s %14s %14s\n", "", "before", "most", "after")
	}
	for _, g := range s.Gauges {
		fmt.Fprintf(&b, "%-36s %14.0f %14.0f %14.0f\n", g.Name, g.Before, g.Most, g.After)
	}
	fmt.Fprintf(&b, "\n%d complaints\n", s.Complaints)
	for _, e := range s.Examples {
		b.WriteString("  " + e + "\n")
	}
	return b.String()
}
