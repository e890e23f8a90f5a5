// Package freelist keeps memory for the next who needs such. Unlike a sync.Pool it belongs
// to someone, and what lies on it stays.
package freelist

import (
	"slices"
	"sync"
)

// List holds values that are not in use. Its zero value is empty; it is safe for concurrent use.
type List[T any] struct {
	mutex sync.Mutex
	items []*T
}

// Get takes the value that was put last, or makes a zero one.
func (s *List[T]) Get() *T {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	last := len(s.items) - 1
	if last < 0 {
		return new(T)
	}
	item := s.items[last]
	s.items = s.items[:last]
	return item
}

// Put puts a value back.
func (s *List[T]) Put(item *T) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.items = append(s.items, item)
}

// Resize gives s the length n, with new memory only where it has to. What it holds is
// not of use.
func Resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Extend gives s the length n. Its elements are those that it ever had, with the memory
// that they hold, and zero ones where there are too few.
func Extend[T any](s []T, n int) []T {
	s = s[:cap(s)]
	return slices.Grow(s, max(0, n-len(s)))[:n]
}
