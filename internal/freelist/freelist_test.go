package freelist

import (
	"sync"
	"testing"
)

func TestGetReturnsLastPut(t *testing.T) {
	var l List[int]
	a, b := l.Get(), l.Get()
	if a == b || *a != 0 {
		t.Fatal("Get on an empty list: want new zero values")
	}
	l.Put(a)
	l.Put(b)
	if l.Get() != b || l.Get() != a {
		t.Error("Get: want the values in reverse order of Put")
	}
	if c := l.Get(); c == a || c == b {
		t.Error("Get: got a value that is in use")
	}
}

func TestListConcurrently(t *testing.T) {
	var l List[int]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				v := l.Get()
				*v++
				l.Put(v)
			}
		})
	}
	wg.Wait()
	sum := 0
	for range 8 {
		sum += *l.Get()
	}
	if sum != 8000 {
		t.Errorf("got %d increments, want 8000: two goroutines had the same value", sum)
	}
}

func TestExtendPreservesElements(t *testing.T) {
	s := Extend[[]int](nil, 3)
	for i := range s {
		if s[i] != nil {
			t.Errorf("new element %d: got %v, want nil", i, s[i])
		}
		s[i] = []int{i}
	}
	s = Extend(Extend(s, 1), 5)
	for i, v := range s {
		if i < 3 && (len(v) != 1 || v[0] != i) {
			t.Errorf("element %d: got %v, want [%d]", i, v, i)
		}
		if i >= 3 && v != nil {
			t.Errorf("new element %d: got %v, want nil", i, v)
		}
	}
}
