package kernels

import (
	"bytes"
	"syscall"
	"testing"
	"unsafe"
)

// fenced returns a slice of n zero elements between two inaccessible pages: it ends right before the
// second page or, with front, begins right after the first. The rest of its own pages must still be
// intact when the test ends.
func fenced[T any](tb testing.TB, n int, front bool) []T {
	tb.Helper()
	const guard = 0xa5
	var zero T
	page, size := syscall.Getpagesize(), n*int(unsafe.Sizeof(zero))
	inner := max(1, (size+page-1)/page) * page
	memory := mapPages(tb, inner)
	usable := memory[page : page+inner]
	slice, rest := usable[inner-size:], usable[:inner-size]
	if front {
		slice, rest = usable[:size], usable[size:]
	}
	clear(slice)
	copy(rest, bytes.Repeat([]byte{guard}, len(rest)))
	tb.Cleanup(func() {
		mapped[inner] = append(mapped[inner], memory)
		if bytes.Count(rest, []byte{guard}) != len(rest) {
			tb.Errorf("memory beside a slice of %d elements was written", n)
		}
	})
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(slice))), n)
}

// mapped holds the memory of tests that ended, by the number of accessible bytes: mapping it again
// would take longer than the tests.
var mapped = map[int][][]byte{}

// mapPages returns inner accessible bytes between two inaccessible pages.
func mapPages(tb testing.TB, inner int) []byte {
	tb.Helper()
	if list := mapped[inner]; len(list) > 0 {
		mapped[inner] = list[:len(list)-1]
		return list[len(list)-1]
	}
	page := syscall.Getpagesize()
	memory, err := syscall.Mmap(-1, 0, inner+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	for _, fence := range [][]byte{memory[:page], memory[page+inner:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			tb.Fatal(err)
		}
	}
	return memory
}
