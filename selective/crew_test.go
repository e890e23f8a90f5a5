package selective

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// TestCrewIsBounded: work that brings more work is all done, on no more goroutines at once
// than there are places.
func TestCrewIsBounded(t *testing.T) {
	for threads := 1; threads <= 4; threads++ {
		c := newCrew(threads)
		var working, most, done atomic.Int64
		leaf := func(int) error {
			n := working.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(50 * time.Microsecond)
			working.Add(-1)
			done.Add(1)
			return nil
		}
		branch := func(int) error { return c.each(7, nil, leaf) }
		for range 5 {
			if err := c.each(3, nil, func(int) error { return c.each(4, nil, branch) }); err != nil {
				t.Fatal(err)
			}
		}
		if n := done.Load(); n != 5*3*4*7 {
			t.Errorf("%d threads: %d pieces done, want %d", threads, n, 5*3*4*7)
		}
		if most.Load() > int64(threads) {
			t.Errorf("%d threads: %d at work at once", threads, most.Load())
		}
	}
}

// TestCrewLeavesItsPlace: while one of two waits for the other, that one is joined.
func TestCrewLeavesItsPlace(t *testing.T) {
	c := newCrew(2)
	var working atomic.Int64
	err := c.each(2, nil, func(i int) error {
		if i == 0 {
			for working.Load() == 0 { // until the other has begun
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		met := errors.New("met")
		err := c.each(10000, nil, func(int) error {
			defer working.Add(-1)
			if working.Add(1) > 1 {
				return met
			}
			time.Sleep(time.Millisecond)
			return nil
		})
		if err == nil {
			return errors.New("nobody joined")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
