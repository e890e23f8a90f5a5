// Command bench shows how fast the search is beside its peers: OpenCV, scikit-image and
// dlib. In one run it gives all of them the same pictures, in turns, and writes a table
// of times and of how many times as fast ours is; then what ours takes alone.
//
// The peers are child processes (peer_opencv.py, peer_dlib.cpp) that are told what to do
// line by line; decoding is outside everybody's clock.
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

type settings struct {
	pictures, name  string
	n, rounds       int
	budget, timeout time.Duration
	only            *regexp.Regexp
	out, version    string
	peers           map[string][]string // command lines, by who they are in rows
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second ctrl-C ends everything at once
	var err error
	if len(os.Args) > 1 && os.Args[1] == memoryCommand {
		err = memoryChild(ctx, os.Args[2:])
	} else {
		err = bench(ctx, parse())
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() settings {
	var s settings
	flag.StringVar(&s.pictures, "pictures", "", "`folder` of pictures; without one, scenes are drawn")
	flag.StringVar(&s.name, "name", "", "what to call the folder in the report; its base name if empty")
	flag.IntVar(&s.n, "n", 24, "how many pictures, evenly spaced over the sorted folder")
	flag.IntVar(&s.rounds, "rounds", 3, "how often each picture is searched at most")
	flag.DurationVar(&s.budget, "budget", 15*time.Minute, "how long the whole run may take; slow peers get fewer rounds and pictures")
	flag.DurationVar(&s.timeout, "timeout", 2*time.Minute, "how long a peer may take for one answer")
	only := flag.String("only", "", "only work whose name matches the `regexp`; ours alone is called alone")
	flag.StringVar(&s.out, "out", "", "`file` to write the report to, besides standard output")
	flag.StringVar(&s.version, "version", "unknown", "ours, for the report")
	opencv := flag.String("opencv", "/usr/bin/python3 tools/compare-peers/peer_opencv.py", "`command` of the peer with OpenCV and scikit-image")
	dlib := flag.String("dlib", "bin/peer_dlib", "`command` of the peer with dlib")
	flag.Parse()
	fail := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
		os.Exit(2)
	}
	var err error
	if s.only, err = regexp.Compile(*only); err != nil {
		fail("-only: %v", err)
	}
	if s.n < 1 || s.rounds < 1 || s.budget <= 0 || s.timeout <= 0 {
		fail("-n %d -rounds %d -budget %v -timeout %v: want all above 0", s.n, s.rounds, s.budget, s.timeout)
	}
	if flag.NArg() > 0 {
		fail("unexpected %q: want flags only", flag.Arg(0))
	}
	s.peers = map[string][]string{opencvPeer: strings.Fields(*opencv), skimagePeer: strings.Fields(*opencv), dlibPeer: strings.Fields(*dlib)}
	return s
}

// command is how to have the report again.
func (s settings) command() string {
	line := "make bench-peers"
	if s.pictures != "" {
		line += " PICTURES=" + s.folder()
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

func (s settings) folder() string { return cmp.Or(s.name, filepath.Base(filepath.Clean(s.pictures))) }

func bench(ctx context.Context, s settings) (err error) {
	start := time.Now()
	temp, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	var files []string
	if s.pictures != "" {
		files, err = pictures(s.pictures, s.n)
	} else {
		files, err = drawScenes(temp, s.n)
	}
	if err != nil {
		return err
	}
	us, err := newOurs(ctx, files)
	if err != nil {
		return err
	}
	families := families(rows, s.only)
	runners, versions, stop, err := startPeers(ctx, s, families)
	defer stop()
	if err != nil {
		return err
	}
	runners[ourselves] = us

	r := report{
		command: s.command(), date: start, ours: s.version, kernels: kernels.Backend(), goVersion: runtime.Version(),
		machine: thisMachine(), versions: versions, pictures: us.describe(s),
	}
	if s.only.MatchString("alone") {
		if r.alone, err = alone(ctx, us, files, temp); err != nil {
			return err
		}
	}
	m := meter{runners: runners, files: files, rounds: s.rounds, end: start.Add(s.budget), progress: os.Stderr}
	times, err := m.measure(ctx, families)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if t, ok := times[row.ours.work]; ok {
			r.comparisons = append(r.comparisons, comparison{row, compare(t[row.ours], t[row.peer])})
		}
	}
	text := r.String()
	fmt.Print(text)
	if s.out == "" {
		return nil
	}
	return os.WriteFile(s.out, []byte(text), 0o644)
}

// startPeers starts whom the families need. Stop ends them, also after an error.
func startPeers(ctx context.Context, s settings, families [][]run) (runners map[string]runner, versions map[string]string, stop func(), err error) {
	runners, versions = map[string]runner{}, map[string]string{}
	byCommand := map[string]*peer{}
	stop = func() {
		for _, p := range byCommand {
			p.stop()
		}
	}
	for _, r := range slices.Concat(families...) {
		if r.who == ourselves || runners[r.who] != nil {
			continue
		}
		command := s.peers[r.who]
		key := strings.Join(command, " ")
		if byCommand[key] == nil {
			p, err := startPeer(ctx, r.who, command, s.timeout)
			if err != nil {
				return nil, nil, stop, err
			}
			byCommand[key] = p
			maps.Copy(versions, p.versions)
		}
		runners[r.who] = byCommand[key]
	}
	return runners, versions, stop, nil
}

// pictures is n pictures of a folder, evenly spaced over their sorted names, or all if there are fewer.
func pictures(folder string, n int) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("the folder of pictures: %w", err)
	}
	var files []string
	for _, e := range entries {
		if slices.Contains([]string{".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}, strings.ToLower(filepath.Ext(e.Name()))) {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, errors.New("no pictures in " + folder + ": want JPEG, PNG, WebP, BMP or TIFF")
	}
	return spaced(files, n), nil
}

// spaced is n of all, evenly spaced, or all if there are fewer.
func spaced[T any](all []T, n int) []T {
	n = min(n, len(all))
	some := make([]T, n)
	for i := range some {
		some[i] = all[i*len(all)/n]
	}
	return some
}
