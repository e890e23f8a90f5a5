//go:build linux && cgo && gocv_specific_modules

package cstderr

// #include "capture.h"
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

var redirect = sync.OnceValue(func() error {
	if code := C.cstderr_redirect(); code != 0 {
		return fmt.Errorf("cstderr: %w", syscall.Errno(code))
	}
	return nil
})

// Redirect makes [Capture] possible, for the rest of the process. Nothing else in the process may use the
// streams meanwhile. What is not captured is printed as before.
func Redirect() error { return redirect() }

// Capture captures what the C code that this goroutine calls prints, on this thread alone, until end is
// called by the goroutine. end returns the first limit bytes and the number of lines, with those that were
// not kept. Captures of one goroutine must not overlap.
func Capture(limit int) (end func() (text []byte, lines int)) {
	runtime.LockOSThread()
	C.cstderr_begin(C.size_t(limit))
	return func() ([]byte, int) {
		defer runtime.UnlockOSThread()
		defer C.cstderr_end()
		var length, lines C.size_t
		text := C.cstderr_text(&length, &lines)
		return C.GoBytes(unsafe.Pointer(text), C.int(length)), int(lines)
	}
}
