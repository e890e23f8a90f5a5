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
	Pictures int64 `json:"pictures"`
	Skipped  int64 `json:"skipped"`
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

// slot is a picture on its way.
type slot[T any] struct {
	shard   int
	end     bool // the shard's last picture
	picture source.Picture

	done    chan struct{}
	item    T
	outcome Outcome
	failure string
}

// Run does this run's share of a task and, if that is all, finishes the destination.
//
// It begins where an earlier run ended. Errors are *[ChangedError] if that was for something
// else; *[DestError] for a destination that fails, a *source.VanishedError for a source that
// is gone, the context's: after these the same call goes on; and what the source says while
// it is listed. Failures of pictures are in the Summary, no error. Shards that are done stay
// done, whatever the error.
func Run[T any](ctx context.Context, job Job, task Task[T]) (*Summary, error) {
	if err := job.validate(); err != nil {
		return nil, err
	}
	start := time.Now()
	plan, err := begin(ctx, &job, Plan{
		Version: job.Version, Task: task.Name, Format: task.Format, Source: job.Source.String(),
		ShardSize: job.ShardSize, Settings: task.Settings,
	}, task.Key)
	if err != nil {
		return nil, err
	}
	r := &run[T]{Job: &job, task: &task, plan: plan, pixels: semaphore.NewWeighted(job.Pixels)}
	if r.list, err = newLister(ctx, job.Dest, plan); err != nil {
		return nil, err
	}
	todo, err := r.todo(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.shards(ctx, todo); err != nil {
		return nil, err
	}
	r.sum.Workers = job.Workers
	if job.Parts == 1 {
		m, err := Finish(ctx, job.Dest, task.Form)
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
	list   *lister
	pixels *semaphore.Weighted
	sum    Summary
}

// todo is the shards of this run that are not done.
func (r *run[T]) todo(ctx context.Context) ([]int, error) {
	sizes, err := inventory(ctx, r.Dest)
	if err != nil {
		return nil, err
	}
	var todo, recorded []int
	for shard := range r.plan.Shards() {
		if !r.mine(shard) {
			continue
		}
		r.sum.Shards++
		r.sum.Pictures += r.plan.picturesOf(shard)
		if _, ok := sizes[recordName(shard)]; ok {
			recorded = append(recorded, shard)
		} else {
			todo = append(todo, shard)
		}
	}
	records, errs, err := readRecords(ctx, r.Dest, recorded, r.file, sizes)
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
			r.sum.Skipped += r.plan.picturesOf(shard)
		}
	}
	slices.Sort(todo)
	if _, ok := sizes[manifestName]; ok && len(todo) > 0 {
		if err := r.Dest.Remove(ctx, manifestName); err != nil {
			return nil, destError(ctx, r.Dest, err)
		}
	}
	r.Observe.Begin(r.sum.Pictures, r.sum.Skipped, r.sum.Shards, r.sum.Shards-len(todo))
	return todo, nil
}

func (r *run[T]) file(shard int) string {
	return r.plan.shardName(shard, r.task.Extension, r.task.Whole != nil)
}

// shards does them: one goroutine lists the pictures, each worker takes the next, one writes
// them in order.
func (r *run[T]) shards(ctx context.Context, todo []int) error {
	group, ctx := errgroup.WithContext(ctx)
	order := make(chan *slot[T], window+r.Workers)
	work := make(chan *slot[T])
	group.Go(func() error {
		defer close(order)
		defer close(work)
		for _, shard := range todo {
			pictures, err := r.list.shard(ctx, shard)
			if err != nil {
				return err
			}
			for i, p := range pictures {
				s := &slot[T]{shard: shard, end: i == len(pictures)-1, picture: p, done: make(chan struct{})}
				for _, c := range []chan *slot[T]{order, work} {
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
				if err := r.do(ctx, s); err != nil {
					return err
				}
				decode.Add(int64(s.outcome.Decode))
				search.Add(int64(s.outcome.Search))
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
				if shard, err = r.create(ctx, s.shard); err != nil {
					return err
				}
			}
			if err := shard.write(ctx, s); err != nil {
				return err
			}
			r.sum.Done++
			r.sum.Boxes += int64(s.outcome.Boxes)
			if s.failure != "" {
				r.sum.Failed++
			}
			if s.end {
				if err := shard.commit(ctx); err != nil {
					return err
				}
				shard = nil
				r.Observe.Shard()
			}
		}
		return nil
	})
	err := group.Wait()
	r.sum.DecodeSeconds = time.Duration(decode.Load()).Seconds()
	r.sum.SearchSeconds = time.Duration(search.Load()).Seconds()
	return err
}

// do works on a picture. Its errors end the run.
func (r *run[T]) do(ctx context.Context, s *slot[T]) error {
	err := r.try(ctx, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*source.VanishedError](err); ok {
		return e
	}
	if err != nil {
		s.failure = strings.ToValidUTF8(err.Error(), "\uFFFD")
		s.outcome = Outcome{}
		s.item = r.task.Failed(s.picture, s.failure)
	}
	r.Observe.Picture(s.picture, s.outcome, s.failure)
	return nil
}

// A PanicError is a panic of the program at a picture: of a night's work it costs that one.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the program panicked at it: %v", e.Value) }

func (r *run[T]) try(ctx context.Context, s *slot[T]) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	data, err := r.Source.Read(ctx, s.picture, r.task.Limit)
	if err != nil {
		return err
	}
	weight, err := r.task.Weigh(data)
	if err != nil {
		return err
	}
	weight = min(weight, r.Pixels)
	if err := r.pixels.Acquire(ctx, weight); err != nil {
		return err
	}
	defer r.pixels.Release(weight)
	s.item, s.outcome, err = r.task.Do(ctx, s.picture, data)
	return err
}
