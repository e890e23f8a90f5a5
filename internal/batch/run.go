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

	"github.com/proposer/proposer/internal/batch/source"
)

// window is how many pictures beside those at work may be done before the one that is to be
// written next: a large one does not hold up the others.
const window = 128

// Summary is what a run did. It alone tells of times.
type Summary struct {
	// Pictures are those of this run's share; Skipped were done before it.
	Images  int64 `json:"pictures"`
	Skipped int64 `json:"skipped"`
	// Done were done by this run, Failed of them failed.
	Done   int64 `json:"done"`
	Failed int64 `json:"failed"`
	Boxes  int64 `json:"boxes"`
	// Shards are those of the share.
	Shards int `json:"shards"`
	// Seconds are wall time; decode and search are summed over the workers.
	Seconds       float64 `json:"seconds"`
	PerSecond     float64 `json:"pictures_per_second"`
	DecodeSeconds float64 `json:"decode_seconds"`
	SearchSeconds float64 `json:"search_seconds"`
	Workers       int     `json:"workers"`
	// Finished tells that the destination is complete: the manifest is written.
	Finished bool `json:"finished"`
	// AllFailed counts the failed pictures of the whole destination, once it is finished.
	AllFailed int64 `json:"all_failed"`
}

// pending is a picture on its way.
type pending[T any] struct {
	shard int
	last  bool // the shard's last picture
	image source.Image

	done    chan struct{}
	item    T
	stats   Stats
	failure string
}

// Run does this run's share of a task and, if that is all, finishes the destination.
//
// It begins where an earlier run ended. Errors are *[ConfigMismatchError] if that was for something
// else; *[StorageError] for a destination that fails, a *source.VanishedError for a source that
// is gone, the context's: after these the same call goes on; and what the source says while
// it is listed. Failures of pictures are in the Summary, no error. Shards that are done stay
// done, whatever the error.
func Run[T any](ctx context.Context, job Job, task Task[T]) (*Summary, error) {
	if err := job.setDefaults(); err != nil {
		return nil, err
	}
	start := time.Now()
	plan, err := openPlan(ctx, &job, Plan{
		Version: job.Version, Task: task.Name, Format: task.Format, Source: job.Source.String(),
		ShardSize: job.ShardSize, Settings: task.Settings,
	}, task.Key)
	if err != nil {
		return nil, err
	}
	r := &run[T]{Job: &job, task: &task, plan: plan, pixels: semaphore.NewWeighted(job.Pixels)}
	if r.list, err = openList(ctx, job.Store, plan); err != nil {
		return nil, err
	}
	todo, err := r.unfinished(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.shards(ctx, todo); err != nil {
		return nil, err
	}
	r.sum.Workers = job.Workers
	if job.Count == 1 {
		m, err := Finalize(ctx, job.Store, task.Output)
		if err != nil {
			return nil, err
		}
		r.sum.Finished, r.sum.AllFailed = true, m.Failed
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
	sum    Summary
}

// unfinished is the shards of this run that are not done.
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
	records, errs, err := readRecords(ctx, r.Store, recorded, r.shardFile, sizes)
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
	return r.plan.shardName(shard, r.task.Extension, r.task.Merged != nil)
}

// shards does them: one goroutine lists the pictures, each worker takes the next, one writes
// them in order.
func (r *run[T]) shards(ctx context.Context, todo []int) error {
	group, ctx := errgroup.WithContext(ctx)
	order := make(chan *pending[T], window+r.Workers)
	work := make(chan *pending[T])
	group.Go(func() error {
		defer close(order)
		defer close(work)
		for _, shard := range todo {
			images, err := r.list.images(ctx, shard)
			if err != nil {
				return err
			}
			for i, p := range images {
				s := &pending[T]{shard: shard, last: i == len(images)-1, image: p, done: make(chan struct{})}
				for _, c := range []chan *pending[T]{order, work} {
					select {
					case c <- s:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
			}
		}
		return nil
	})
	var decode, search atomic.Int64
	for range r.Workers {
		group.Go(func() error {
			for s := range work {
				if err := r.process(ctx, s); err != nil {
					return err
				}
				decode.Add(int64(s.stats.Decode))
				search.Add(int64(s.stats.Search))
				close(s.done)
			}
			return nil
		})
	}
	group.Go(func() error {
		var shard *shardWriter[T]
		defer func() {
			if shard != nil {
				shard.abort()
			}
		}()
		for s := range order {
			select {
			case <-s.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if shard == nil {
				var err error
				if shard, err = r.createShard(ctx, s.shard); err != nil {
					return err
				}
			}
			if err := shard.write(ctx, s); err != nil {
				return err
			}
			r.sum.Done++
			r.sum.Boxes += int64(s.stats.Boxes)
			if s.failure != "" {
				r.sum.Failed++
			}
			if s.last {
				if err := shard.commit(ctx); err != nil {
					return err
				}
				shard = nil
				r.Observer.ShardDone()
			}
		}
		return nil
	})
	err := group.Wait()
	r.sum.DecodeSeconds = time.Duration(decode.Load()).Seconds()
	r.sum.SearchSeconds = time.Duration(search.Load()).Seconds()
	return err
}

// process works on a picture. Its errors end the run.
func (r *run[T]) process(ctx context.Context, s *pending[T]) error {
	err := r.attempt(ctx, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*source.UnavailableError](err); ok {
		return e
	}
	if err != nil {
		s.failure = strings.ToValidUTF8(err.Error(), "\uFFFD")
		s.stats = Stats{}
		s.item = r.task.Failed(s.image, s.failure)
	}
	r.Observer.ImageDone(s.image, s.stats, s.failure)
	return nil
}

// A PanicError is a panic of the program at a picture: of a night's work it costs that one.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the program panicked at it: %v", e.Value) }

func (r *run[T]) attempt(ctx context.Context, s *pending[T]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	data, err := r.Source.Read(ctx, s.image, r.task.Limit)
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
	s.item, s.stats, err = r.task.Process(ctx, s.image, data)
	return err
}
