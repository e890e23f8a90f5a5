// Package freelist reuses memory. [List] is a typed free list: unlike a sync.Pool, it is owned by
// one object and is not emptied by the garbage collector.
package freelist

import (
	"slices"
	"sync"
)

// List is a free list of values. Its zero value is empty. It is safe for concurrent use.
type List[T any] struct {
	mutex sync.Mutex
	items []*T
}

// Get removes and returns the value that was put last, or returns a new zero value.
func (l *List[T]) Get() *T {
	l.mutex.Lock()
	defer l.mutex.Unlock()

	last := len(l.items) - 1
	if last < 0 {
		return new(T)
	}
	item := l.items[last]
	l.items = l.items[:last]
	return item
}

// Put adds a value that is no longer in use.
func (l *List[T]) Put(item *T) {
	l.mutex.Lock()
	defer l.mutex.Unlock()

	l.items = append(l.items, item)
}

// Resize returns s with length n, reallocated only if its capacity is too small. The elements are
// undefined.
func Resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Extend returns s with length n. It preserves all elements up to the capacity, so that they can
// reuse the memory that they hold; new elements are zero.
func Extend[T any](s []T, n int) []T {
	s = s[:cap(s)]
	return slices.Grow(s, max(0, n-len(s)))[:n]
}
