package kernels

import (
	"bytes"
	"syscall"
	"testing"
	"unsafe"
)

// fenced is a slice of n zero elements between two pages that must not be touched: it
// ends right before the second or, with front, begins right behind the first. What is
// left of its own pages is checked at the test's end.
func fenced[T any](t testing.TB, n int, front bool) []T {
	t.Helper()
	const guard = 0xa5
	var zero T
	page, size := syscall.Getpagesize(), n*int(unsafe.Sizeof(zero))
	inner := max(1, (size+page-1)/page) * page
	memory := pages(t, inner)
	room := memory[page : page+inner]
	own, rest := room[inner-size:], room[:inner-size]
	if front {
		own, rest = room[:size], room[size:]
	}
	clear(own)
	copy(rest, bytes.Repeat([]byte{guard}, len(rest)))
	t.Cleanup(func() {
		spare[inner] = append(spare[inner], memory)
		if bytes.Count(rest, []byte{guard}) != len(rest) {
			t.Errorf("memory beside a slice of %d elements was written to", n)
		}
	})
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(own))), n)
}

// spare is memory of tests that ended, by the bytes between its fences: to map it anew takes
// longer than the tests.
var spare = map[int][][]byte{}

// pages is inner bytes between two pages that must not be touched.
func pages(t testing.TB, inner int) []byte {
	t.Helper()
	if list := spare[inner]; len(list) > 0 {
		spare[inner] = list[:len(list)-1]
		return list[len(list)-1]
	}
	page := syscall.Getpagesize()
	memory, err := syscall.Mmap(-1, 0, inner+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for _, fence := range [][]byte{memory[:page], memory[page+inner:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return memory
}
