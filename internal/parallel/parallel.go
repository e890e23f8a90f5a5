// Package parallel runs independent tasks on a bounded number of goroutines.
//
// Tasks may themselves start tasks on the same [Pool] without deadlock: the goroutine
// that calls [Pool.Run] works on its own tasks, and idle workers join it.
package parallel

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// A Runner calls f(0) to f(n−1), in any order and possibly concurrently, and returns when
// all calls have returned. If a call fails, calls that have not started are skipped, and
// the error of the lowest index that failed is returned. A nil Runner runs sequentially.
type Runner func(n int, f func(i int) error) error

// Run calls r, or runs sequentially if r is nil.
func (r Runner) Run(n int, f func(i int) error) error {
	if r != nil {
		return r(n, f)
	}
	for i := range n {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// Poll returns the error of a context in iterations that are multiples of every, and nil in the
// others, for loops whose iterations are too short to check the context in each.
func Poll(ctx context.Context, i, every int) error {
	if i%every == 0 {
		return ctx.Err()
	}
	return nil
}

// A Pool bounds the number of goroutines that work at once, the caller's included. It is
// safe for concurrent use by the tasks that run on it.
type Pool struct {
	threads int
	slots   *semaphore.Weighted
}

// NewPool returns a pool of the given number of threads, at least 1. The calling goroutine
// holds one of them.
func NewPool(threads int) *Pool {
	p := &Pool{threads, semaphore.NewWeighted(int64(threads))}
	p.slots.TryAcquire(1)
	return p
}

// Threads returns the number of goroutines that may work at once.
func (p *Pool) Threads() int { return p.threads }

// A Panic is the value that [Pool.Run] panics with if a task panicked on another goroutine than the
// caller's: one that recovers in the caller's need not know where its tasks run.
type Panic struct {
	Value any
	Stack []byte // of the task's goroutine
}

func (p *Panic) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// Run is a [Runner] that uses the idle workers of the pool. All goroutines that it started
// have ended when it returns or panics, which it does if a task panics.
func (p *Pool) Run(n int, f func(i int) error) error { return p.RunTimed(n, nil, f) }

// RunTimed is Run that adds the time spent by the workers that joined the caller, in
// nanoseconds, to elapsed unless that is nil. The caller's own time is not added.
func (p *Pool) RunTimed(n int, elapsed *atomic.Int64, f func(i int) error) error {
	var (
		next   atomic.Int64
		others sync.WaitGroup
		joined atomic.Bool
		failed atomic.Pointer[Panic]
		errs   = make([]error, n)
		work   func()
	)
	work = func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if i < n-1 && p.slots.TryAcquire(1) {
				joined.Store(true)
				others.Go(func() {
					defer p.slots.Release(1)
					defer func() {
						if v := recover(); v != nil {
							next.Store(int64(n))
							failed.CompareAndSwap(nil, newPanic(v))
						}
					}()
					start := time.Now()
					work()
					if elapsed != nil {
						elapsed.Add(int64(time.Since(start)))
					}
				})
			}
			if errs[i] = f(i); errs[i] != nil {
				next.Store(int64(n))
				return
			}
		}
	}
	returned := false
	defer func() {
		if !returned {
			next.Store(int64(n))
			others.Wait()
		}
	}()
	work()
	returned = true

	if joined.Load() {
		// Waiting is not work: give the slot to others meanwhile. A goroutine that holds a slot is
		// running, so the Acquire below cannot block for good.
		p.slots.Release(1)
		others.Wait()
		_ = p.slots.Acquire(context.Background(), 1)
	}
	if v := failed.Load(); v != nil {
		panic(v)
	}
	return cmp.Or(errs...)
}

// newPanic returns the Panic of a recovered value, which may be one of a nested Run.
func newPanic(v any) *Panic {
	if p, ok := v.(*Panic); ok {
		return p
	}
	return &Panic{v, debug.Stack()}
}
