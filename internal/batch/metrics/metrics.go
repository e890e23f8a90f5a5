// Package metrics exports the progress of a batch to Prometheus.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/source"
)

// Observer is a [batch.Observer] that updates metrics. It is safe for concurrent use.
type Observer struct {
	images, shards         prometheus.Gauge
	imagesDone, shardsDone *prometheus.CounterVec
	boxes, pixels          prometheus.Counter
	stage                  *prometheus.HistogramVec
}

// New registers the metrics of a run. An error is the registry's.
func New(registry prometheus.Registerer) (*Observer, error) {
	o := &Observer{
		images: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "proposer_batch_pictures", Help: "Images assigned to this run.",
		}),
		shards: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "proposer_batch_shards", Help: "Shards assigned to this run.",
		}),
		imagesDone: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "proposer_batch_pictures_done_total", Help: "Images by result: ok, failed, or skipped because an earlier run processed them.",
		}, []string{"result"}),
		shardsDone: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "proposer_batch_shards_done_total", Help: "Shards by result: ok, or skipped because an earlier run processed them.",
		}, []string{"result"}),
		boxes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "proposer_batch_boxes_total", Help: "Proposed boxes.",
		}),
		pixels: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "proposer_batch_pixels_total", Help: "Pixels of the searched images.",
		}),
		stage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "proposer_batch_stage_duration_seconds", Help: "Duration of a stage per image: decode or search.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		}, []string{"stage"}),
	}
	for _, c := range []prometheus.Collector{o.images, o.shards, o.imagesDone, o.shardsDone, o.boxes, o.pixels, o.stage} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	for _, result := range []string{"ok", "failed", "skipped"} {
		o.imagesDone.WithLabelValues(result)
	}
	return o, nil
}

// Begin implements batch.Observer.
func (o *Observer) Begin(images, done int64, shards, shardsDone int) {
	o.images.Set(float64(images))
	o.shards.Set(float64(shards))
	o.imagesDone.WithLabelValues("skipped").Add(float64(done))
	o.shardsDone.WithLabelValues("skipped").Add(float64(shardsDone))
}

// ImageDone implements batch.Observer.
func (o *Observer) ImageDone(_ source.Image, s batch.Stats, failure string) {
	if failure != "" {
		o.imagesDone.WithLabelValues("failed").Inc()
		return
	}
	o.imagesDone.WithLabelValues("ok").Inc()
	o.boxes.Add(float64(s.Boxes))
	o.pixels.Add(float64(s.Pixels))
	o.stage.WithLabelValues("decode").Observe(s.Decode.Seconds())
	o.stage.WithLabelValues("search").Observe(s.Search.Seconds())
}

// ShardDone implements batch.Observer.
func (o *Observer) ShardDone() { o.shardsDone.WithLabelValues("ok").Inc() }
