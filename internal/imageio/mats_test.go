//go:build cgo && gocv_specific_modules && matprofile

package imageio

import (
	"bytes"
	"testing"

	"gocv.io/x/gocv"
)

// TestMatsAreClosed needs the build tag matprofile, with which gocv counts open Mats.
func TestMatsAreClosed(t *testing.T) {
	files := mutated(t, 300)
	for _, s := range samples(t) {
		files = append(files, s.data)
	}
	before := gocv.MatProfile.Count()
	read := 0
	for _, data := range files {
		if _, err := Decode(t.Context(), data, Options{Limits: Limits{MaxPixels: 1 << 20}}); err == nil {
			read++
		}
	}
	if read == 0 || read == len(files) {
		t.Errorf("%d of %d read", read, len(files))
	}
	if n := gocv.MatProfile.Count(); n != before {
		var trace bytes.Buffer
		gocv.MatProfile.WriteTo(&trace, 1)
		t.Errorf("%d Mats open, %d before\n%s", n, before, &trace)
	}
}
