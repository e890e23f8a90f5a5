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

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

var (
	// durationBuckets range from a health check to the search of a large image, in seconds.
	durationBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	// pixelBuckets range from an icon to the largest image accepted by default.
	pixelBuckets = []float64{1e4, 1e5, 3e5, 1e6, 2e6, 4e6, 8e6, 12e6, 24e6, 50e6}
	boxBuckets   = []float64{1, 10, 100, 300, 1000, 2000, 5000, 10000, 20000, 50000}
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	rejected *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	reloads  *prometheus.CounterVec

	bodyBytes, queueDepth, workPixels prometheus.Gauge
	queueWait                         prometheus.Histogram

	images         *prometheus.CounterVec
	decodeFailures *prometheus.CounterVec
	decoderLines   prometheus.Counter
	stage          *prometheus.HistogramVec
	pixels, boxes  prometheus.Histogram

	cacheRequests *prometheus.CounterVec
	notModified   prometheus.Counter

	handler http.Handler
}

// newMetrics registers all metrics except those of the cache. It returns an error if the
// registry already has them, as of another server.
func newMetrics(c Config) (*metrics, error) {
	r := registrar{registry: c.Registry}
	m := &metrics{
		requests: r.counterVec("proposer_http_requests_total",
			"Requests by route pattern and status code. 499: the client disconnected.", "route", "code"),
		duration: r.histogramVec("proposer_http_request_duration_seconds",
			"Time from the request header to the end of the response.", durationBuckets, "route", "code"),
		inFlight: r.gauge("proposer_http_requests_in_flight",
			"Requests being read, queued, processed or answered."),
		rejected: r.counterVec("proposer_requests_rejected_total",
			"Requests, and single images of requests with several, answered with a problem, by kind.", "reason"),
		tokens: r.counterVec("proposer_token_requests_total",
			"Authenticated requests by token name.", "name"),
		reloads: r.counterVec("proposer_config_reloads_total",
			"Reloads of the tokens or the certificate by result: ok or failed.", "result"),
		bodyBytes: r.gauge("proposer_body_bytes",
			"Memory reserved for clients: connections, requests in flight, bodies and responses."),
		queueDepth: r.gauge("proposer_queue_depth",
			"Images waiting for a worker."),
		queueWait: r.histogram("proposer_queue_wait_seconds",
			"Time an image waited for a worker.", durationBuckets),
		workPixels: r.gauge("proposer_work_pixels",
			"Pixels of the images being searched, plus those that their possible regions, unions and joined boxes count as."),
		images: r.counterVec("proposer_pictures_total",
			"Searched images by format and mode; of segmented ones the mode is segments.", "format", "mode"),
		decodeFailures: r.counterVec("proposer_decode_failures_total",
			"Images that could not be decoded, by format.", "format"),
		decoderLines: r.counter("proposer_decoder_messages_total",
			"Lines that image decoders printed on standard error; the log has them at level debug."),
		stage: r.histogramVec("proposer_stage_duration_seconds",
			"Time per image and stage. Except for decode and encode, summed over the threads of the search.", durationBuckets, "stage"),
		pixels: r.histogram("proposer_picture_pixels",
			"Pixels of each searched image.", pixelBuckets),
		boxes: r.histogram("proposer_boxes",
			"Boxes returned for each image.", boxBuckets),
		cacheRequests: r.counterVec("proposer_cache_requests_total",
			"Lookups in the response cache by result: hit or miss.", "result"),
		notModified: r.counter("proposer_not_modified_total",
			"Responses with status 304."),
	}
	r.gauge("proposer_work_pixels_limit",
		"Maximum of proposer_work_pixels, except for a single larger image.").Set(float64(c.WorkPixels))
	r.gauge("proposer_cache_limit_bytes",
		"Maximum memory for cached responses.").Set(float64(c.CacheBytes))
	if expiry := c.CertificateExpiry; expiry != nil {
		r.register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "proposer_certificate_expiry_timestamp_seconds",
			Help: "Expiry time of the TLS certificate, as Unix time.",
		}, func() float64 { return float64(expiry().Unix()) }))
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "proposer_build_info",
		Help: "Always 1; the labels describe the build.",
	}, []string{"version", "goversion", "decoder"})
	build.WithLabelValues(c.Version, runtime.Version(), imageio.Decoder()).Set(1)
	r.register(build)
	r.register(collectors.NewGoCollector())
	r.register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if r.err != nil {
		return nil, fmt.Errorf("api: registry: %w", r.err)
	}
	m.handler = promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{})
	return m, nil
}

// A registrar creates and registers metrics. It keeps the first error.
type registrar struct {
	registry *prometheus.Registry
	err      error
}

func (r *registrar) register(m prometheus.Collector) {
	if err := r.registry.Register(m); err != nil && r.err == nil {
		r.err = err
	}
}

func (r *registrar) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	r.register(g)
	return g
}

func (r *registrar) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.register(c)
	return c
}

func (r *registrar) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.register(v)
	return v
}

func (r *registrar) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(histogramOpts(name, help, buckets))
	r.register(h)
	return h
}

func (r *registrar) histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels)
	r.register(v)
	return v
}

// histogramOpts returns options for a histogram that is both classic and native. Native buckets
// grow by a factor of 1.1, and there are at most 160 of them.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

func (m *metrics) observeRequest(route string, status int, d time.Duration) {
	code := strconv.Itoa(status)
	m.requests.WithLabelValues(route, code).Inc()
	m.duration.WithLabelValues(route, code).Observe(d.Seconds())
}

// observeSearch records an image that was searched and whose response was encoded.
func (m *metrics) observeSearch(r *propose.Result, mode string, pixels int64, encode time.Duration) {
	m.boxes.Observe(float64(len(r.Boxes)))
	m.observeImage(r.Format, mode, pixels, map[string]time.Duration{
		"decode":   r.DecodeTime,
		"segment":  r.Stages.Segment,
		"describe": r.Stages.Describe,
		"group":    r.Stages.Group,
		"rank":     r.Stages.Rank,
		"encode":   encode,
	})
}

// observeImage records an image with the times of the stages.
func (m *metrics) observeImage(format, mode string, pixels int64, stages map[string]time.Duration) {
	m.images.WithLabelValues(format, mode).Inc()
	m.pixels.Observe(float64(pixels))
	for stage, d := range stages {
		m.stage.WithLabelValues(stage).Observe(d.Seconds())
	}
}
