package parallel

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Nested tasks all run, on no more goroutines at once than the pool has threads.
func TestPoolIsBounded(t *testing.T) {
	for threads := 1; threads <= 4; threads++ {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			p := NewPool(threads)
			var running, peak, done atomic.Int64
			leaf := func(int) error {
				n := running.Add(1)
				for m := peak.Load(); n > m && !peak.CompareAndSwap(m, n); m = peak.Load() {
				}
				runtime.Gosched()
				running.Add(-1)
				done.Add(1)
				return nil
			}
			branch := func(int) error { return p.Run(7, leaf) }
			for range 20 {
				if err := p.Run(3, func(int) error { return p.Run(4, branch) }); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := done.Load(), int64(20*3*4*7); got != want {
				t.Errorf("%d tasks ran, want %d", got, want)
			}
			if got := peak.Load(); got > int64(threads) {
				t.Errorf("%d tasks ran at once, want at most %d", got, threads)
			}
		})
	}
}

// A task that has run out of work of its own gives its slot back: it is joined by the other.
func TestWaitingReleasesSlot(t *testing.T) {
	p := NewPool(2)
	outerDone := make(chan struct{})
	err := p.Run(2, func(i int) error {
		if i == 0 {
			close(outerDone)
			return nil
		}
		<-outerDone
		// Two tasks that meet each other can only finish on two goroutines. The slot of the
		// worker that ran task 0 may be free only after the first of them has started.
		for {
			met := errors.New("met")
			var running atomic.Int64
			err := p.Run(1000, func(int) error {
				defer running.Add(-1)
				if running.Add(1) > 1 {
					return met
				}
				runtime.Gosched()
				return nil
			})
			if err == met {
				return nil
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// The error of the lowest index is returned, and tasks after a failure are skipped.
func TestErrors(t *testing.T) {
	for name, run := range map[string]Runner{"nil": nil, "1 thread": NewPool(1).Run} {
		t.Run(name, func(t *testing.T) {
			failed := errors.New("failed")
			var calls []int
			err := run.Run(5, func(i int) error {
				calls = append(calls, i)
				if i == 2 {
					return failed
				}
				return nil
			})
			if err != failed {
				t.Errorf("got %v, want %v", err, failed)
			}
			if len(calls) != 3 {
				t.Errorf("called with %v, want 0 to 2", calls)
			}
		})
	}
	t.Run("lowest", func(t *testing.T) {
		p := NewPool(4)
		started := make(chan struct{})
		err := p.Run(2, func(i int) error {
			if i == 1 {
				close(started)
			}
			<-started
			return fmt.Errorf("task %d", i)
		})
		if err == nil || err.Error() != "task 0" {
			t.Errorf("got %v, want task 0", err)
		}
	})
}

// RunTimed counts the time of the workers that joined, not the caller's.
func TestRunTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var elapsed atomic.Int64
		err := NewPool(3).RunTimed(3, &elapsed, func(int) error {
			time.Sleep(time.Second)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := time.Duration(elapsed.Load()), 2*time.Second; got != want {
			t.Errorf("%v of others, want %v", got, want)
		}
	})
}

// A panic of a task reaches the caller, on whichever goroutine the task runs, after all others have ended.
func TestPanic(t *testing.T) {
	for name, culprit := range map[string]int{"caller": 0, "worker": 1} {
		t.Run(name, func(t *testing.T) {
			p := NewPool(2)
			var running atomic.Int64
			met := make(chan struct{})
			var once sync.Once
			defer func() {
				v := recover()
				if wrapped, ok := v.(*Panic); ok {
					v = wrapped.Value
					if !strings.Contains(wrapped.Error(), "oops") || !strings.Contains(wrapped.Error(), "TestPanic") {
						t.Errorf("%v, want the value and the stack", wrapped)
					}
				}
				if v != "oops" {
					t.Errorf("panic %v, want oops", v)
				}
				if n := running.Load(); n != 0 {
					t.Errorf("%d tasks run after the panic", n)
				}
				if err := p.Run(100, func(int) error { return nil }); err != nil {
					t.Error(err)
				}
			}()
			caller := goroutine()
			_ = p.Run(1000, func(int) error {
				running.Add(1)
				defer running.Add(-1)
				own := goroutine() == caller
				if own {
					<-met // until the worker has begun
				} else {
					once.Do(func() { close(met) })
				}
				if own == (culprit == 0) {
					panic("oops")
				}
				return nil
			})
			t.Error("no panic")
		})
	}
}

// goroutine returns the number of the goroutine that calls it.
func goroutine() string {
	var buf [64]byte
	return strings.Fields(string(buf[:runtime.Stack(buf[:], false)]))[1]
}
