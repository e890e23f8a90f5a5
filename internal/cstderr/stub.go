//go:build !(linux && cgo && gocv_specific_modules)

package cstderr

// Redirect does nothing: this program has no decoders in C.
func Redirect() error { return nil }

// Capture captures nothing.
func Capture(int) (end func() (text []byte, lines int)) {
	return func() ([]byte, int) { return nil, 0 }
}
