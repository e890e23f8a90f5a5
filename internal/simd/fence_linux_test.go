package simd

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
	memory, err := syscall.Mmap(-1, 0, inner+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	for _, fence := range [][]byte{memory[:page], memory[page+inner:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	room := memory[page : page+inner]
	own, rest := room[inner-size:], room[:inner-size]
	if front {
		own, rest = room[:size], room[size:]
	}
	copy(rest, bytes.Repeat([]byte{guard}, len(rest)))
	t.Cleanup(func() {
		if bytes.Count(rest, []byte{guard}) != len(rest) {
			t.Errorf("memory beside a slice of %d elements was written to", n)
		}
	})
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(own))), n)
}
