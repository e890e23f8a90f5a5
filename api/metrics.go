package api

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/proposer/proposer/imageio"
	"github.com/proposer/proposer/pipeline"
)

// buckets span a probe's millisecond and a large picture's minute.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	rejected *prometheus.CounterVec
	stage    *prometheus.HistogramVec
	handler  http.Handler
}

func newMetrics(reg *prometheus.Registry, version string) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "proposer_http_requests_total",
			Help: "Requests by route pattern and status code; 499: the client went away.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "proposer_http_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer.",
			Buckets: buckets,
		}, []string{"route", "code"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "proposer_http_requests_in_flight",
			Help: "Requests that are being read, wait, are worked on or answered.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "proposer_requests_rejected_total",
			Help: "Requests answered with a problem, by its kind.",
		}, []string{"reason"}),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "proposer_stage_duration_seconds",
			Help:    "Time a picture took in a stage; but for decode, summed over the search's threads.",
			Buckets: buckets,
		}, []string{"stage"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "proposer_build_info",
		Help: "1, labelled with the build.",
	}, []string{"version", "goversion", "decoder"})
	build.WithLabelValues(version, runtime.Version(), imageio.Decoder()).Set(1)
	for _, c := range []prometheus.Collector{
		m.requests, m.duration, m.inFlight, m.rejected, m.stage, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("api: registry: %w", err)
		}
	}
	m.handler = promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	return m, nil
}

func (m *metrics) request(route string, status int, d time.Duration) {
	code := strconv.Itoa(status)
	m.requests.WithLabelValues(route, code).Inc()
	m.duration.WithLabelValues(route, code).Observe(d.Seconds())
}

func (m *metrics) stages(r *pipeline.Result) {
	for stage, d := range map[string]time.Duration{
		"decode":   r.Decode,
		"segment":  r.Stages.Segment,
		"describe": r.Stages.Describe,
		"group":    r.Stages.Group,
		"rank":     r.Stages.Rank,
	} {
		m.stage.WithLabelValues(stage).Observe(d.Seconds())
	}
}
