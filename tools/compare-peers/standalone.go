package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
)

// A measurement is a quantity without a peer, which should be at most goal.
type measurement struct {
	quantity    string
	value, goal float64
	unit        string
	note        string
}

// measureStandalone measures time per pixel, memory and allocations.
func measureStandalone(ctx context.Context, e *localEngine, files []string, temp string) ([]measurement, error) {
	allocated, err := allocations(ctx, e, files)
	if err != nil {
		return nil, err
	}
	small, large := scene.Render(1, 640, 480, 12).Image, scene.Render(1, 4000, 3000, 12).Image
	slower, err := perPixel(ctx, small, large)
	if err != nil {
		return nil, err
	}
	measurements := []measurement{slower}
	for _, c := range []struct {
		img  *raster.Image
		goal float64
	}{{small, goalMemory}, {large, goalMemory12}} {
		bytes, err := memory(ctx, c.img, temp)
		if err != nil {
			return nil, fmt.Errorf("memory: %w", err)
		}
		measurements = append(measurements, measurement{
			quantity: fmt.Sprintf("peak memory at %d×%d, %d threads, above the idle process",
				c.img.Width, c.img.Height, memoryThreads),
			value: bytes / 1e6, goal: c.goal / 1e6, unit: "MB",
		})
	}
	return append(measurements, allocated), nil
}

// allocations measures the bytes that a search allocates after others, with one thread.
func allocations(ctx context.Context, e *localEngine, files []string) (measurement, error) {
	searchAll := func(n int) error {
		for i := range n {
			if err := e.search(ctx, e.images[files[i%len(files)]], standaloneMode, 1); err != nil {
				return err
			}
		}
		return nil
	}
	var before, after runtime.MemStats
	if err := searchAll(len(files)); err != nil {
		return measurement{}, err
	}
	runtime.ReadMemStats(&before)
	err := searchAll(searchCount)
	runtime.ReadMemStats(&after)
	return measurement{
		quantity: fmt.Sprintf("allocated per image, over %d searches after others", searchCount),
		value:    float64(after.TotalAlloc-before.TotalAlloc) / searchCount / 1e6, goal: goalAllocated / 1e6, unit: "MB",
	}, err
}

// perPixel compares the time per pixel of a large image with that of a small one, with one thread.
func perPixel(ctx context.Context, small, large *raster.Image) (measurement, error) {
	e := new(localEngine)
	nanoseconds := func(img *raster.Image) (float64, error) {
		e.image = img
		s, err := e.run(ctx, standaloneMode, 1)
		return s * 1e9 / float64(img.Width*img.Height), err
	}
	var a, b []float64
	for range 1 + perPixelRuns { // the first warms up
		for _, c := range []struct {
			img   *raster.Image
			times *[]float64
		}{{small, &a}, {large, &b}} {
			t, err := nanoseconds(c.img)
			if err != nil {
				return measurement{}, err
			}
			*c.times = append(*c.times, t)
		}
	}
	s, l := median(a[1:]), median(b[1:])
	return measurement{
		quantity: fmt.Sprintf("time per pixel at %d×%d, relative to %d×%d, 1 thread",
			large.Width, large.Height, small.Width, small.Height),
		value: l / s, goal: goalPerPixel, unit: "×", note: fmt.Sprintf("%.0f ns, %.0f ns", l, s),
	}, nil
}

// memory returns the peak memory of a process that searches the image, above that of one that only loads it.
func memory(ctx context.Context, img *raster.Image, temp string) (float64, error) {
	file := filepath.Join(temp, "planes")
	if err := os.WriteFile(file, img.Pix, 0o644); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	peak := func(args ...string) (float64, error) {
		size := []string{memoryCommand, "-width", strconv.Itoa(img.Width), "-height", strconv.Itoa(img.Height)}
		args = append(size, args...)
		var stderr bytes.Buffer
		cmd := exec.CommandContext(ctx, self, append(args, file)...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
		}
		return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	}
	idle, err := peak()
	if err != nil {
		return 0, err
	}
	busy, err := peak("-search")
	return busy - idle, err
}

const memoryCommand = "memory"

// memoryProcess prints the peak memory of this process after it has read the planes of an image and, with
// -search, searched it.
func memoryProcess(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(memoryCommand, flag.ExitOnError)
	width := flags.Int("width", 0, "pixels")
	height := flags.Int("height", 0, "pixels")
	searches := flags.Bool("search", false, "search")
	_ = flags.Parse(args) // exits on an error
	img := raster.New(raster.RGB, *width, *height)
	f, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.ReadFull(f, img.Pix); err != nil {
		return err
	}
	if *searches {
		s, err := newSearcher(standaloneMode, memoryThreads)
		if err != nil {
			return err
		}
		if _, err := s.Search(ctx, img); err != nil {
			return err
		}
	}
	peak, err := readField("/proc/self/status", "VmHWM")
	if err != nil {
		return err
	}
	kib, err := strconv.Atoi(strings.TrimSuffix(peak, " kB"))
	if err != nil {
		return fmt.Errorf("VmHWM %q: want kB", peak)
	}
	fmt.Println(int64(kib) * 1024)
	return nil
}
