package freelist

import (
	"sync"
	"testing"
)

func TestShelf(t *testing.T) {
	var s List[int]
	a, b := s.Get(), s.Get()
	if a == b || *a != 0 {
		t.Fatal("want two new values")
	}
	s.Put(a)
	s.Put(b)
	if s.Get() != b || s.Get() != a {
		t.Error("want what was put, the last first")
	}
	if c := s.Get(); c == a || c == b {
		t.Error("what is in use was given again")
	}
}

func TestConcurrentUse(t *testing.T) {
	var s List[int]
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				v := s.Get()
				*v++
				s.Put(v)
			}
		})
	}
	all.Wait()
	sum := 0
	for range 8 {
		sum += *s.Get()
	}
	if sum != 8000 {
		t.Errorf("%d uses, want 8000: a value was with two at once", sum)
	}
}

func TestKeep(t *testing.T) {
	s := Extend[[]int](nil, 3)
	for i := range s {
		if s[i] != nil {
			t.Errorf("element %d is %v, want a zero one", i, s[i])
		}
		s[i] = []int{i}
	}
	s = Extend(Extend(s, 1), 5)
	for i, v := range s {
		if i < 3 && (len(v) != 1 || v[0] != i) || i >= 3 && v != nil {
			t.Errorf("element %d is %v after the slice was shorter", i, v)
		}
	}
}
