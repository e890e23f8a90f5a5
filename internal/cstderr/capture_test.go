//go:build linux && cgo && gocv_specific_modules

package cstderr

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"gocv.io/x/gocv"

	"github.com/proposer/proposer/internal/testutil/hostile"
)

// uncaptured is set in the environment of a process that prints without capturing.
const uncaptured = "CSTDERR_TEST_UNCAPTURED"

func TestMain(m *testing.M) {
	if err := Redirect(); err != nil {
		panic(err)
	}
	if os.Getenv(uncaptured) != "" {
		decode(hostile.PNG("", 1))
		decode(brokenBMP())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func decode(data []byte) {
	mat := gocv.NewMat()
	defer mat.Close()
	_ = gocv.IMDecodeIntoMat(data, gocv.IMReadUnchanged, &mat) // only what it prints matters
}

// brokenBMP returns a file about which OpenCV prints a line by a C++ stream.
func brokenBMP() []byte {
	data := make([]byte, 100)
	copy(data, "BM")
	for at, v := range map[int]uint32{10: 54, 14: 40, 18: 1, 22: 1, 26: 24<<16 | 1, 30: 99} {
		binary.LittleEndian.PutUint32(data[at:], v)
	}
	return data
}

func TestCapture(t *testing.T) {
	const limit = 300
	for _, c := range []struct {
		name   string
		data   []byte
		want   string // at the beginning
		lines  int
		length int // 0: that of what was printed
	}{
		{"nothing", nil, "", 0, 0},
		{"stream of C", hostile.PNG("a\n{\"b\"}", 0), "libpng warning: iCCP: profile 'a\n{\"b\"}': ", 2, 0},
		{"stream of C++", brokenBMP(), "imdecode_(''): can't read header: OpenCV", 2, 0},
		{"many lines", hostile.PNG("a", 10_000), "libpng warning: iCCP: profile 'a': ", 10_001, limit},
	} {
		t.Run(c.name, func(t *testing.T) {
			end := Capture(limit)
			decode(c.data)
			text, lines := end()
			if !strings.HasPrefix(string(text), c.want) || lines != c.lines || c.length != 0 && len(text) != c.length || len(text) > limit {
				t.Errorf("got %d lines and %d bytes, %q, want %d lines and %q", lines, len(text), text, c.lines, c.want)
			}
		})
	}
}

func TestCaptureByThread(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("image %d", i)
			data := hostile.PNG(name, 20)
			for range 20 {
				end := Capture(4096)
				decode(data)
				text, lines := end()
				if lines != 21 || bytes.Count(text, []byte("image ")) != 1 || !strings.Contains(string(text), name) {
					t.Errorf("%s: got %d lines, %q", name, lines, text)
				}
			}
		})
	}
	wg.Wait()
}

func TestUncaptured(t *testing.T) {
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), uncaptured+"=1")
	text, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "libpng warning: tIME: invalid\n") || !strings.Contains(string(text), "imdecode_('')") {
		t.Errorf("got %q, %v", text, err)
	}
}
