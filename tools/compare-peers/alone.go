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
	"github.com/proposer/proposer/selective"
)

// A figure is one of ours alone, at most goal.
type figure struct {
	what        string
	value, goal float64
	unit        string
	note        string
}

// alone measures what has no peer: time for a pixel, memory, allocations.
func alone(ctx context.Context, us *ours, files []string, temp string) ([]figure, error) {
	allocated, err := allocations(ctx, us, files)
	if err != nil {
		return nil, err
	}
	small, large := scene.Render(1, 640, 480, 12).Image, scene.Render(1, 4000, 3000, 12).Image
	slower, err := perPixel(ctx, small, large)
	if err != nil {
		return nil, err
	}
	figures := []figure{slower}
	for _, c := range []struct {
		img  *raster.Image
		goal float64
	}{{small, goalMemory}, {large, goalMemory12}} {
		bytes, err := memory(ctx, c.img, temp)
		if err != nil {
			return nil, fmt.Errorf("memory: %w", err)
		}
		figures = append(figures, figure{
			what:  fmt.Sprintf("peak memory at %d×%d, %d threads, above the idle process", c.img.Width, c.img.Height, memoryThreads),
			value: bytes / 1e6, goal: c.goal / 1e6, unit: "MB",
		})
	}
	return append(figures, allocated), nil
}

// allocations are those of a search among many, on one thread.
func allocations(ctx context.Context, us *ours, files []string) (figure, error) {
	each := func(n int) error {
		for i := range n {
			if err := search(ctx, &us.searcher, us.pictures[files[i%len(files)]], aloneMode, 1); err != nil {
				return err
			}
		}
		return nil
	}
	var before, after runtime.MemStats
	if err := each(len(files)); err != nil {
		return figure{}, err
	}
	runtime.ReadMemStats(&before)
	err := each(searches)
	runtime.ReadMemStats(&after)
	return figure{
		what:  fmt.Sprintf("allocated a picture, in %d searches after others", searches),
		value: float64(after.TotalAlloc-before.TotalAlloc) / searches / 1e6, goal: goalAllocated / 1e6, unit: "MB",
	}, err
}

// perPixel compares the time for a pixel of a large picture with that of a small one, on one thread.
func perPixel(ctx context.Context, small, large *raster.Image) (figure, error) {
	us := new(ours)
	nanoseconds := func(img *raster.Image) (float64, error) {
		us.picture = img
		s, err := us.run(ctx, aloneMode, 1)
		return s * 1e9 / float64(img.Width*img.Height), err
	}
	var a, b []float64
	for range 1 + perPixelTimes { // the first warms up
		for _, c := range []struct {
			img   *raster.Image
			times *[]float64
		}{{small, &a}, {large, &b}} {
			t, err := nanoseconds(c.img)
			if err != nil {
				return figure{}, err
			}
			*c.times = append(*c.times, t)
		}
	}
	s, l := median(a[1:]), median(b[1:])
	return figure{
		what:  fmt.Sprintf("time a pixel at %d×%d, against %d×%d, 1 thread", large.Width, large.Height, small.Width, small.Height),
		value: l / s, goal: goalPerPixel, unit: "×", note: fmt.Sprintf("%.0f ns, %.0f ns", l, s),
	}, nil
}

// memory is the peak of a process that searches the picture, above that of one that
// only has it.
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
		args = append([]string{memoryCommand, "-width", strconv.Itoa(img.Width), "-height", strconv.Itoa(img.Height)}, args...)
		var problems bytes.Buffer
		cmd := exec.CommandContext(ctx, self, append(args, file)...)
		cmd.Stderr = &problems
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, bytes.TrimSpace(problems.Bytes()))
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

// memoryChild prints the peak memory of this process after it has read a picture's
// planes, and searched it if told so.
func memoryChild(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(memoryCommand, flag.ExitOnError)
	width := flags.Int("width", 0, "pixels")
	height := flags.Int("height", 0, "pixels")
	searches := flags.Bool("search", false, "search")
	_ = flags.Parse(args) // it exits
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
		if err := search(ctx, new(selective.Searcher), img, aloneMode, memoryThreads); err != nil {
			return err
		}
	}
	peak, err := field("/proc/self/status", "VmHWM")
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
