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
	// durationBuckets span a probe's millisecond and a large picture's minute.
	durationBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	// pixelBuckets span an icon and the largest picture.
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
	stage          *prometheus.HistogramVec
	pixels, boxes  prometheus.Histogram

	cacheRequests *prometheus.CounterVec
	notModified   prometheus.Counter

	handler http.Handler
}

// newMetrics registers all metrics but those of the cache. It is an error that the registry
// has them already: one is one server's.
func newMetrics(c Config) (*metrics, error) {
	all := registrar{registry: c.Registry}
	m := &metrics{
		requests: all.counterVec("proposer_http_requests_total",
			"Requests by route pattern and status code; 499: the client went away.", "route", "code"),
		duration: all.histogramVec("proposer_http_request_duration_seconds",
			"Time from a request's header to the end of its answer.", durationBuckets, "route", "code"),
		inFlight: all.gauge("proposer_http_requests_in_flight",
			"Requests that are being read, wait, are worked on or answered."),
		rejected: all.counterVec("proposer_requests_rejected_total",
			"Requests, and pictures among several, that were answered with a problem, by its kind.", "reason"),
		tokens: all.counterVec("proposer_token_requests_total",
			"Requests by the name of their token.", "name"),
		reloads: all.counterVec("proposer_config_reloads_total",
			"Times that tokens and certificate were read anew, by result: ok or failed.", "result"),
		bodyBytes: all.gauge("proposer_body_bytes",
			"Memory for bodies that are read, wait or are worked on."),
		queueDepth: all.gauge("proposer_queue_depth",
			"Pictures that wait for a worker."),
		queueWait: all.histogram("proposer_queue_wait_seconds",
			"Time that a picture waited for a worker.", durationBuckets),
		workPixels: all.gauge("proposer_work_pixels",
			"Pixels of the pictures that are decoded and searched, and 80 for each first region that they may make."),
		images: all.counterVec("proposer_pictures_total",
			"Pictures that were searched.", "format", "mode"),
		decodeFailures: all.counterVec("proposer_decode_failures_total",
			"Pictures that could not be decoded, by their format.", "format"),
		stage: all.histogramVec("proposer_stage_duration_seconds",
			"Time a picture took in a stage; but for decode and encode, summed over the search's threads.", durationBuckets, "stage"),
		pixels: all.histogram("proposer_picture_pixels",
			"Pixels of the pictures that were searched.", pixelBuckets),
		boxes: all.histogram("proposer_boxes",
			"Boxes in the answer for a picture.", boxBuckets),
		cacheRequests: all.counterVec("proposer_cache_requests_total",
			"Answers that were looked up among those kept, by result: hit or miss.", "result"),
		notModified: all.counter("proposer_not_modified_total",
			"Answers that the client had already (304)."),
	}
	all.gauge("proposer_work_pixels_limit", "Most pixels that are worked on at once, but for a single larger picture.").Set(float64(c.WorkPixels))
	all.gauge("proposer_cache_limit_bytes", "Most memory for answers that are kept.").Set(float64(c.CacheBytes))
	if expiry := c.CertificateExpiry; expiry != nil {
		all.register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "proposer_certificate_expiry_timestamp_seconds",
			Help: "When clients will no longer take the service's certificate, in seconds since 1970.",
		}, func() float64 { return float64(expiry().Unix()) }))
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "proposer_build_info",
		Help: "1, labelled with the build.",
	}, []string{"version", "goversion", "decoder"})
	build.WithLabelValues(c.Version, runtime.Version(), imageio.Decoder()).Set(1)
	all.register(build)
	all.register(collectors.NewGoCollector())
	all.register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if all.err != nil {
		return nil, fmt.Errorf("api: registry: %w", all.err)
	}
	m.handler = promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{})
	return m, nil
}

// registrar registers metrics as it makes them, and keeps the first error.
type registrar struct {
	registry *prometheus.Registry
	err      error
}

func (c *registrar) register(m prometheus.Collector) {
	if err := c.registry.Register(m); err != nil && c.err == nil {
		c.err = err
	}
}

func (c *registrar) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	c.register(g)
	return g
}

func (c *registrar) counter(name, help string) prometheus.Counter {
	n := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	c.register(n)
	return n
}

func (c *registrar) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	c.register(v)
	return v
}

func (c *registrar) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(histogramOpts(name, help, buckets))
	c.register(h)
	return h
}

func (c *registrar) histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels)
	c.register(v)
	return v
}

// histogramOpts make a histogram that is classic and native: who scrapes native ones gets
// buckets a tenth wide, of which one histogram has at most 160.
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

// observeSearch counts a picture that was searched and whose answer was encoded.
func (m *metrics) observeSearch(r *propose.Result, mode string, pixels int64, encode time.Duration) {
	m.images.WithLabelValues(r.Format, mode).Inc()
	m.pixels.Observe(float64(pixels))
	m.boxes.Observe(float64(len(r.Boxes)))
	for stage, d := range map[string]time.Duration{
		"decode":   r.DecodeTime,
		"segment":  r.Stages.Segment,
		"describe": r.Stages.Describe,
		"group":    r.Stages.Group,
		"rank":     r.Stages.Rank,
		"encode":   encode,
	} {
		m.stage.WithLabelValues(stage).Observe(d.Seconds())
	}
}
