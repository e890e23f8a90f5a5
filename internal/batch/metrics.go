package batch

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/proposer/proposer/internal/batch/source"
)

// Metrics is an Observer for Prometheus.
type Metrics struct {
	total, shards    prometheus.Gauge
	done, shardsDone *prometheus.CounterVec
	boxes            prometheus.Counter
	stage            *prometheus.HistogramVec
	pixels           prometheus.Counter
}

// NewMetrics registers the metrics of a run; an error is the registry's.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		total: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "proposer_batch_pictures", Help: "Pictures of this run's share.",
		}),
		shards: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "proposer_batch_shards", Help: "Shards of this run's share.",
		}),
		done: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "proposer_batch_pictures_done_total", Help: "Pictures by result: ok, failed, or skipped because an earlier run did them.",
		}, []string{"result"}),
		shardsDone: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "proposer_batch_shards_done_total", Help: "Shards by result: ok, or skipped because an earlier run did them.",
		}, []string{"result"}),
		boxes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "proposer_batch_boxes_total", Help: "Boxes that were proposed.",
		}),
		pixels: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "proposer_batch_pixels_total", Help: "Pixels of the pictures that were searched.",
		}),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "proposer_batch_stage_duration_seconds", Help: "Time a picture took in a stage: decode or search.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"stage"}),
	}
	for _, c := range []prometheus.Collector{m.total, m.shards, m.done, m.shardsDone, m.boxes, m.pixels, m.stage} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	for _, result := range []string{"ok", "failed", "skipped"} {
		m.done.WithLabelValues(result)
	}
	return m, nil
}

// Begin implements Observer.
func (m *Metrics) Begin(images, done int64, shards, shardsDone int) {
	m.total.Set(float64(images))
	m.shards.Set(float64(shards))
	m.done.WithLabelValues("skipped").Add(float64(done))
	m.shardsDone.WithLabelValues("skipped").Add(float64(shardsDone))
}

// ImageDone implements Observer.
func (m *Metrics) ImageDone(_ source.Image, o Stats, failure string) {
	if failure != "" {
		m.done.WithLabelValues("failed").Inc()
		return
	}
	m.done.WithLabelValues("ok").Inc()
	m.boxes.Add(float64(o.Boxes))
	m.pixels.Add(float64(o.Pixels))
	m.stage.WithLabelValues("decode").Observe(o.Decode.Seconds())
	m.stage.WithLabelValues("search").Observe(o.Search.Seconds())
}

// ShardDone implements Observer.
func (m *Metrics) ShardDone() { m.shardsDone.WithLabelValues("ok").Inc() }
