package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/batch/source"
)

// window is the number of images that may be finished while an earlier one is still in progress,
// so that a large image does not stall the other workers.
const window = 128

// Summary reports what a run did. It is the only output that contains times.
type Summary struct {
	// Images is the number of images assigned to this run; Skipped of them were done before.
	Images  int64 `json:"pictures"`
	Skipped int64 `json:"skipped"`
	// Done is the number of images processed by this run; Failed of them failed.
	Done   int64 `json:"done"`
	Failed int64 `json:"failed"`
	// Warned is the number of images processed by this run with a Stats.Warning.
	Warned int64 `json:"warned"`
	Boxes  int64 `json:"boxes"`
	// Shards is the number of shards assigned to this run.
	Shards int `json:"shards"`
	// Seconds is the wall time; DecodeSeconds and SearchSeconds are sums over the workers.
	Seconds       float64 `json:"seconds"`
	PerSecond     float64 `json:"pictures_per_second"`
	DecodeSeconds float64 `json:"decode_seconds"`
	SearchSeconds float64 `json:"search_seconds"`
	Workers       int     `json:"workers"`
	// Finished reports whether the destination is complete: the manifest is written.
	Finished bool `json:"finished"`
	// AllFailed is the number of failed images in the whole destination, once it is finished.
	AllFailed int64 `json:"all_failed"`
}

// Run processes the shards that are assigned to the job and not done yet. If the job is assigned
// all shards, it also finalizes the destination.
//
// Failures of images are counted in the Summary and are no error. Errors are a
// *[ConfigMismatchError] if the destination was created with other settings; a *[StorageError]
// if the destination fails; a *source.UnavailableError if the source fails as a whole; the
// context's error; and errors of listing the source. Shards that are done stay done, and after
// every error but the first the same call resumes the run.
func Run[T any](ctx context.Context, job Job, task Task[T]) (*Summary, error) {
	if err := job.setDefaults(); err != nil {
		return nil, err
	}
	start := time.Now()
	plan, err := openPlan(ctx, &job, Plan{
		Version: job.Version, Task: task.Name, Format: task.Format, Source: escapeInvalid(job.Source.String()),
		ShardSize: job.ShardSize, Settings: task.Settings,
	}, task.checkNames(blobstore.IsBucket(job.Store.String())))
	if err != nil {
		return nil, err
	}
	r := &run[T]{
		Job: &job, task: &task, plan: plan,
		pixels: semaphore.NewWeighted(job.Pixels), storing: semaphore.NewWeighted(storeBytes),
	}
	if r.list, err = openList(ctx, job.Store, plan); err != nil {
		return nil, err
	}
	shards, err := r.unfinished(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.processShards(ctx, shards); err != nil {
		return nil, err
	}

	r.sum.Workers = job.Workers
	if job.Count == 1 {
		m, err := Finalize(ctx, job.Store, task.Output)
		if err != nil {
			return nil, err
		}
		r.sum.Finished = true
		r.sum.AllFailed = m.Failed
	}
	r.sum.Seconds = time.Since(start).Seconds()
	r.sum.PerSecond = float64(r.sum.Done) / r.sum.Seconds
	return &r.sum, nil
}

type run[T any] struct {
	*Job
	task   *Task[T]
	plan   *Plan
	list   *imageList
	pixels *semaphore.Weighted
	// storing limits the images' files that are being stored, see storeWeight.
	storing *semaphore.Weighted
	sum     Summary

	decode, search atomic.Int64 // nanoseconds, summed over the workers
}

// unfinished returns the shards that this run has to process.
func (r *run[T]) unfinished(ctx context.Context) ([]int, error) {
	sizes, err := fileSizes(ctx, r.Store)
	if err != nil {
		return nil, err
	}
	var todo, recorded []int
	for shard := range r.plan.Shards() {
		if !r.assigned(shard) {
			continue
		}
		r.sum.Shards++
		r.sum.Images += r.plan.imagesInShard(shard)
		if _, ok := sizes[recordName(shard)]; ok {
			recorded = append(recorded, shard)
		} else {
			todo = append(todo, shard)
		}
	}
	records, errs, err := readRecords(ctx, r.Store, r.plan, recorded, r.shardFile, sizes)
	if err != nil {
		return nil, err
	}
	for i, shard := range recorded {
		_, damaged := errors.AsType[*DamagedError](errs[i])
		switch {
		case errs[i] != nil && !damaged:
			return nil, errs[i]
		case damaged, r.Retry && records[i].Failed > 0:
			todo = append(todo, shard)
		default:
			r.sum.Skipped += r.plan.imagesInShard(shard)
		}
	}
	slices.Sort(todo)

	if _, ok := sizes[manifestName]; ok && len(todo) > 0 {
		if err := r.Store.Remove(ctx, manifestName); err != nil {
			return nil, storageError(ctx, r.Store, err)
		}
	}
	r.Observer.Begin(r.sum.Images, r.sum.Skipped, r.sum.Shards, r.sum.Shards-len(todo))
	return todo, nil
}

func (r *run[T]) shardFile(shard int) string {
	return r.task.shardName(r.plan, shard)
}

// pending is an image on its way from the lister through a worker to the writer.
type pending[T any] struct {
	shard int
	last  bool // of its shard
	image source.Image

	done    chan struct{} // closed when the fields below are set
	item    T
	stats   Stats
	failure string

	// content and entry are those of the image's file, if the output has files.
	content []byte
	entry   fileEntry
}

// processShards processes shards with one lister, the workers and one writer. The lister sends each
// image to the writer's channel, in order, and to the workers' channel, which is unbuffered.
func (r *run[T]) processShards(ctx context.Context, shards []int) error {
	group, ctx := errgroup.WithContext(ctx)
	ordered := make(chan *pending[T], window+r.Workers)
	work := make(chan *pending[T])
	group.Go(func() error { return r.listImages(ctx, shards, ordered, work) })
	for range r.Workers {
		group.Go(func() error { return r.processImages(ctx, group, work) })
	}
	group.Go(func() error { return r.writeShards(ctx, ordered) })
	err := group.Wait()
	r.sum.DecodeSeconds = time.Duration(r.decode.Load()).Seconds()
	r.sum.SearchSeconds = time.Duration(r.search.Load()).Seconds()
	return err
}

// listImages sends the images of shards to both channels and closes them.
func (r *run[T]) listImages(ctx context.Context, shards []int, ordered, work chan<- *pending[T]) error {
	defer close(ordered)
	defer close(work)
	for _, shard := range shards {
		images, err := r.list.images(ctx, shard)
		if err != nil {
			return err
		}
		for i, img := range images {
			p := &pending[T]{shard: shard, last: i == len(images)-1, image: img, done: make(chan struct{})}
			for _, c := range []chan<- *pending[T]{ordered, work} {
				select {
				case c <- p:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
	}
	return nil
}

// processImages processes images until work is closed. Their files are stored by goroutines of the
// group.
func (r *run[T]) processImages(ctx context.Context, group *errgroup.Group, work <-chan *pending[T]) error {
	for p := range work {
		if err := r.process(ctx, p); err != nil {
			return err
		}
		r.decode.Add(int64(p.stats.Decode))
		r.search.Add(int64(p.stats.Search))
		if r.task.Files == nil {
			close(p.done)
			continue
		}
		weight := storeWeight(p.content)
		if err := r.storing.Acquire(ctx, weight); err != nil {
			return err
		}
		group.Go(func() error {
			defer r.storing.Release(weight)
			if err := r.storeFile(ctx, p); err != nil {
				return err
			}
			close(p.done)
			return nil
		})
	}
	return nil
}

// writeShards writes images to their shards, in order, until ordered is closed.
func (r *run[T]) writeShards(ctx context.Context, ordered <-chan *pending[T]) error {
	var shard *shardWriter[T]
	defer func() {
		if shard != nil {
			shard.abort()
		}
	}()
	for p := range ordered {
		select {
		case <-p.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if shard == nil {
			var err error
			if shard, err = r.createShard(ctx, p.shard); err != nil {
				return err
			}
		}
		if err := shard.write(ctx, p); err != nil {
			return err
		}
		r.sum.Done++
		r.sum.Boxes += int64(p.stats.Boxes)
		if p.stats.Warning != "" {
			r.sum.Warned++
		}
		if p.failure != "" {
			r.sum.Failed++
		}
		if p.last {
			if err := shard.commit(ctx); err != nil {
				return err
			}
			shard = nil
			r.Observer.ShardDone()
		}
	}
	return nil
}

// process computes the item of one image. Its errors end the run.
func (r *run[T]) process(ctx context.Context, p *pending[T]) error {
	err := r.attempt(ctx, p)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*source.UnavailableError](err); ok {
		return e
	}
	if err != nil {
		p.failure = strings.ToValidUTF8(err.Error(), "\uFFFD")
		p.stats = Stats{}
		p.item = r.task.Failed(p.image, p.failure)
		if err := r.encode(p); err != nil {
			return fmt.Errorf("%q: %w", p.image.File, err)
		}
	}
	r.Observer.ImageDone(p.image, p.stats, p.failure)
	return nil
}

// PanicError reports a panic while an image was processed. It fails that image only.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: panic: %v", e.Value) }

// attempt reads an image and processes it once its weight is available.
func (r *run[T]) attempt(ctx context.Context, p *pending[T]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	data, err := r.Source.Read(ctx, p.image, r.task.Limit)
	if err != nil {
		return err
	}
	weight, err := r.task.Weight(data)
	if err != nil {
		return err
	}
	weight = min(weight, r.Pixels)
	if err := r.pixels.Acquire(ctx, weight); err != nil {
		return err
	}
	defer r.pixels.Release(weight)
	if p.item, p.stats, err = r.task.Process(ctx, p.image, data); err != nil {
		return err
	}
	return r.encode(p)
}

// encode sets the content of the image's file, if the output has files.
func (r *run[T]) encode(p *pending[T]) (err error) {
	if r.task.Files == nil {
		return nil
	}
	p.content, err = r.task.Files.Encode(p.item)
	var none T
	p.item = none // its memory is not needed while the file is stored
	return err
}
