// Command compare-peers compares the speed of the search with that of OpenCV, scikit-image and dlib. All
// work on the same images in one run and take turns. It writes tables of times and speed ratios, and
// measures time per pixel, memory and allocations of the search.
//
// The peers are child processes (peer_opencv.py, peer_dlib.cpp) that read a command per line. Decoding is
// not measured.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/proposer/proposer/internal/kernels"
)

type config struct {
	images, name    string
	n, rounds       int
	budget, timeout time.Duration
	only            *regexp.Regexp
	out, version    string
	peers           map[string][]string // command lines by engine
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the process
	var err error
	if len(os.Args) > 1 && os.Args[1] == memoryCommand {
		err = memoryProcess(ctx, os.Args[2:])
	} else {
		err = compareAll(ctx, parseFlags())
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "compare-peers:", err)
		os.Exit(1)
	}
}

func parseFlags() config {
	var c config
	flag.StringVar(&c.images, "images", "", "`folder` of images; empty: rendered scenes")
	flag.StringVar(&c.name, "name", "", "name of the folder in the report; empty: its base name")
	flag.IntVar(&c.n, "n", 24, "number of images, evenly spaced over the sorted folder")
	flag.IntVar(&c.rounds, "rounds", 3, "maximum number of searches of each image")
	flag.DurationVar(&c.budget, "budget", 15*time.Minute,
		"maximum time of the run; slow peers get fewer rounds and images")
	flag.DurationVar(&c.timeout, "timeout", 2*time.Minute, "maximum time for a response of a peer")
	only := flag.String("only", "",
		"only work whose name matches the `regexp`; standalone: time per pixel, memory, allocations")
	flag.StringVar(&c.out, "out", "", "`file` for the report, which is also printed")
	flag.StringVar(&c.version, "version", "unknown", "version of proposer in the report")
	opencv := flag.String("opencv", "/usr/bin/python3 tools/compare-peers/peer_opencv.py",
		"`command` of the peer with OpenCV and scikit-image")
	dlib := flag.String("dlib", "bin/peer_dlib", "`command` of the peer with dlib")
	flag.Parse()
	fail := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "compare-peers: "+format+"\n", args...)
		os.Exit(2)
	}
	var err error
	if c.only, err = regexp.Compile(*only); err != nil {
		fail("-only: %v", err)
	}
	if c.n < 1 || c.rounds < 1 || c.budget <= 0 || c.timeout <= 0 {
		fail("-n %d -rounds %d -budget %v -timeout %v: want all above 0", c.n, c.rounds, c.budget, c.timeout)
	}
	if flag.NArg() > 0 {
		fail("unexpected argument %q: want flags only", flag.Arg(0))
	}
	c.peers = map[string][]string{
		opencvEngine:  strings.Fields(*opencv),
		skimageEngine: strings.Fields(*opencv),
		dlibEngine:    strings.Fields(*dlib),
	}
	return c
}

// command returns the command that repeats the run.
func (c config) command() string {
	line := "make bench-peers"
	if c.images != "" {
		line += " IMAGES=" + c.folder()
	}
	var flags []string
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "n", "rounds", "budget":
			flags = append(flags, fmt.Sprintf("-%s=%v", f.Name, f.Value))
		case "only":
			flags = append(flags, fmt.Sprintf("-%s=%q", f.Name, f.Value))
		}
	})
	if flags != nil {
		line += " BENCHFLAGS='" + strings.Join(flags, " ") + "'"
	}
	return line
}

func (c config) folder() string { return cmp.Or(c.name, filepath.Base(filepath.Clean(c.images))) }

func compareAll(ctx context.Context, c config) (err error) {
	start := time.Now()
	temp, err := os.MkdirTemp("", "compare-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	var files []string
	if c.images != "" {
		files, err = listImages(c.images, c.n)
	} else {
		files, err = renderScenes(temp, c.n)
	}
	if err != nil {
		return err
	}
	local, err := newLocalEngine(ctx, files)
	if err != nil {
		return err
	}
	groups := groups(comparisons, c.only)
	engines, versions, stop, err := startPeers(ctx, c, groups)
	defer stop()
	if err != nil {
		return err
	}
	engines[proposerEngine] = local

	r := report{
		command: c.command(), date: start, ours: c.version, kernels: kernels.Backend(), goVersion: runtime.Version(),
		machine: describeMachine(), versions: versions, images: local.describe(c),
	}
	if c.only.MatchString("standalone") {
		if r.standalone, err = measureStandalone(ctx, local, files, temp); err != nil {
			return err
		}
	}
	m := scheduler{engines: engines, files: files, rounds: c.rounds, end: start.Add(c.budget), progress: os.Stderr}
	times, err := m.measure(ctx, groups)
	if err != nil {
		return err
	}
	for _, cmp := range comparisons {
		if t, ok := times[cmp.ours.work]; ok {
			r.results = append(r.results, result{cmp, compare(t[cmp.ours], t[cmp.peer])})
		}
	}
	text := r.String()
	fmt.Print(text)
	if c.out == "" {
		return nil
	}
	return os.WriteFile(c.out, []byte(text), 0o644)
}

// startPeers starts the peers of the groups. stop stops them; it is valid after an error.
func startPeers(ctx context.Context, c config, groups [][]task) (
	engines map[string]engine, versions map[string]string, stop func(), err error,
) {
	engines, versions = map[string]engine{}, map[string]string{}
	byCommand := map[string]*peerProcess{}
	stop = func() {
		for _, p := range byCommand {
			p.stop()
		}
	}
	for _, t := range slices.Concat(groups...) {
		if t.engine == proposerEngine || engines[t.engine] != nil {
			continue
		}
		command := c.peers[t.engine]
		key := strings.Join(command, " ")
		if byCommand[key] == nil {
			p, err := startPeer(ctx, t.engine, command, c.timeout)
			if err != nil {
				return nil, nil, stop, err
			}
			byCommand[key] = p
			maps.Copy(versions, p.versions)
		}
		engines[t.engine] = byCommand[key]
	}
	return engines, versions, stop, nil
}

// listImages returns n images of a folder, evenly spaced over the sorted names, or all if there are fewer.
func listImages(folder string, n int) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("image folder: %w", err)
	}
	var files []string
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff":
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no images in %s: want JPEG, PNG, WebP, GIF, BMP or TIFF files", folder)
	}
	return evenlySpaced(files, n), nil
}

// evenlySpaced returns n of all, evenly spaced, or all if there are fewer.
func evenlySpaced[T any](all []T, n int) []T {
	n = min(n, len(all))
	some := make([]T, n)
	for i := range some {
		some[i] = all[i*len(all)/n]
	}
	return some
}
