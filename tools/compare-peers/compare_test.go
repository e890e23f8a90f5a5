package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proposer/proposer/selective"
)

// TestMain lets the test binary act as a peer.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "peer" {
		runFakePeer(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// runFakePeer acts as a peer that behaves well or not.
func runFakePeer(behavior string) {
	switch behavior {
	case "silent":
		select {}
	case "broken":
		fmt.Fprintln(os.Stderr, "no module named cv2")
		os.Exit(1)
	case "nameless":
		fmt.Println(`{"seconds": 1}`)
	default:
		fmt.Println(`{"versions": {"Fake": "1.0"}}`)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch command, rest, _ := strings.Cut(in.Text(), " "); {
		case command == "load" && rest == "/an image.jpg":
			fmt.Println(`{"width": 640, "height": 480}`)
		case rest == "fast 2":
			fmt.Println(`{"seconds": 1.5, "found": 7}`)
		case rest == "nothing 1":
			fmt.Println(`{"seconds": 1.5, "found": 0}`)
		case rest == "chatter 1":
			fmt.Println("Loading model ...")
		case rest == "hang 1":
			fmt.Fprintln(os.Stderr, "hanging")
			select {}
		case rest == "crash 1":
			fmt.Fprintln(os.Stderr, "Segmentation fault")
			os.Exit(139)
		default:
			fmt.Printf("{\"error\": %q}\n", "unknown "+rest)
		}
	}
}

func start(t *testing.T, behavior string, timeout time.Duration) (*peerProcess, error) {
	t.Helper()
	p, err := startPeer(t.Context(), "fake", []string{os.Args[0], "peer", behavior}, timeout)
	if err == nil {
		t.Cleanup(p.stop)
	}
	return p, err
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got error %v: want %q in it", err, part)
		}
	}
}

// patient is longer than a peer takes on a busy machine.
const patient = 10 * time.Minute

func TestPeer(t *testing.T) {
	p, err := start(t, "well", patient)
	if err != nil {
		t.Fatal(err)
	}
	if p.versions["Fake"] != "1.0" {
		t.Errorf("got versions %v: want Fake 1.0", p.versions)
	}
	if w, h, err := p.load(t.Context(), "/an image.jpg"); w != 640 || h != 480 || err != nil {
		t.Errorf("load: got %d×%d, %v: want 640×480", w, h, err)
	}
	if s, err := p.run(t.Context(), "fast", 2); s != 1.5 || err != nil {
		t.Errorf("run: got %v, %v: want 1.5", s, err)
	}
	_, _, err = p.load(t.Context(), "a\nb")
	wantError(t, err, "line breaks")

	// The peer survives errors that it reports.
	_, err = p.run(t.Context(), "fats", 1)
	wantError(t, err, "unknown fats 1")
	_, err = p.run(t.Context(), "nothing", 1)
	wantError(t, err, "0 boxes")
	if _, err := p.run(t.Context(), "fast", 2); err != nil {
		t.Errorf("run after errors: %v", err)
	}

	_, err = p.run(t.Context(), "crash", 1)
	wantError(t, err, "fake: exited", "Segmentation fault")
	_, err = p.run(t.Context(), "fast", 2)
	wantError(t, err, "fake: exited")
}

func TestPeerStartErrors(t *testing.T) {
	for _, c := range []struct {
		behavior string
		timeout  time.Duration
		want     string
	}{
		{"broken", patient, "no module named cv2"},
		{"nameless", patient, "no versions"},
		{"silent", time.Millisecond, "no response in"},
	} {
		t.Run(c.behavior, func(t *testing.T) {
			_, err := start(t, c.behavior, c.timeout)
			wantError(t, err, "fake", c.want)
		})
	}
	t.Run("missing program", func(t *testing.T) {
		_, err := startPeer(t.Context(), "fake", []string{"/no/such/program"}, patient)
		wantError(t, err, "/no/such/program", "make bench-peers")
	})
}

func TestPeerMalformedResponse(t *testing.T) {
	p, err := start(t, "well", patient)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.run(t.Context(), "chatter", 1)
	wantError(t, err, "Loading model")
}

func TestPeerIsKilledWithItsContext(t *testing.T) {
	p, err := start(t, "well", patient)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.run(ctx, "hang", 1)
	wantError(t, err, context.Canceled.Error())
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{[]float64{3}, 0.5, 3},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{4, 1, 3, 2}, 0.25, 1.75},
		{[]float64{4, 1, 3, 2}, 0, 1},
		{[]float64{4, 1, 3, 2}, 1, 4},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.values, c.q, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median(nil) = %v, want NaN", got)
	}
}

func TestCompareTakesMedianOfRatios(t *testing.T) {
	ours := [][]float64{{1, 9, 1}, {2, 2, 2}, {4, 4, 0}}
	peer := [][]float64{{10, 10, 10}, {8, 8, 8}, {8, 8, 8}}
	got := compare(ours, peer)
	if want := (summary{oursTime: 2, peerTime: 8, low: 3, ratio: 4, high: 7, images: 3, rounds: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEvenlySpaced(t *testing.T) {
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	if got := evenlySpaced(all, 4); !slices.Equal(got, []int{0, 2, 5, 7}) {
		t.Errorf("got %v, want [0 2 5 7]", got)
	}
	if got := evenlySpaced(all, 20); !slices.Equal(got, all) {
		t.Errorf("got %v, want %v", got, all)
	}
}

func TestListImages(t *testing.T) {
	dir := t.TempDir()
	_, err := listImages(dir, 3)
	wantError(t, err, "no images", "JPEG")
	for _, name := range []string{"b.JPG", "a.png", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := listImages(dir, 3)
	if want := []string{filepath.Join(dir, "a.png"), filepath.Join(dir, "b.JPG")}; !slices.Equal(got, want) || err != nil {
		t.Errorf("got %v, %v: want %v", got, err, want)
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		cost, budget time.Duration
		n, rounds    int
	}{
		{time.Second, time.Hour, 24, 3},
		{time.Second, time.Minute, 24, 2},
		{time.Second, 30 * time.Second, 24, 1},
		{time.Second, 10 * time.Second, 10, 1},
		{time.Second, -time.Second, 1, 1},
		{0, time.Second, 24, 3},
	} {
		t.Run(fmt.Sprintf("%v in %v", c.cost, c.budget), func(t *testing.T) {
			if n, rounds := plan(c.cost, c.budget, 24, 3); n != c.n || rounds != c.rounds {
				t.Errorf("got %d images, %d rounds: want %d, %d", n, rounds, c.n, c.rounds)
			}
		})
	}
}

func TestComparisons(t *testing.T) {
	modes := append(selective.Modes(), segmentEight, segmentFour)
	for _, c := range comparisons {
		if c.ours.engine != proposerEngine || !slices.Contains(modes, c.ours.work) || c.ours.threads < c.peer.threads {
			t.Errorf("%v: want known work of ours, with at least the threads of the peer", c)
		}
	}
	got := groups(comparisons, regexp.MustCompile("^opencv-single$|^segment-8$"))
	want := [][]task{
		{proposer("opencv-single", 1), {opencvEngine, "single", 1}, proposer("opencv-single", 2), {opencvEngine, "single", 2}},
		{proposer(segmentEight, 1), {skimageEngine, "felzenszwalb", 1}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A recordingEngine records its calls. Its work takes as many seconds as its name is long.
type recordingEngine struct {
	name  string
	calls *[]string
	width int
}

func (e recordingEngine) load(_ context.Context, file string) (int, int, error) {
	*e.calls = append(*e.calls, "load "+file)
	return e.width, 480, nil
}

func (e recordingEngine) run(context.Context, string, int) (float64, error) {
	*e.calls = append(*e.calls, e.name)
	return float64(len(e.name)), nil
}

func TestEnginesTakeTurns(t *testing.T) {
	var calls []string
	a, b := proposer("fast", 1), task{dlibEngine, "candidates", 1}
	m := scheduler{
		engines: map[string]engine{proposerEngine: recordingEngine{"ours", &calls, 640}, dlibEngine: recordingEngine{"theirs", &calls, 640}},
		files:   []string{"1", "2"}, rounds: 2, end: time.Now().Add(time.Hour), progress: io.Discard,
	}
	got, err := m.measure(t.Context(), [][]task{{a, b}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (seconds{a: {{4, 4}, {4, 4}}, b: {{6, 6}, {6, 6}}}); !reflect.DeepEqual(got["fast"], want) {
		t.Errorf("got %v, want %v", got["fast"], want)
	}
	turn := func(file, first, second string) []string {
		return []string{"load " + file, "load " + file, first, second}
	}
	want := slices.Concat(turn("1", "ours", "theirs"), // warms up
		turn("1", "ours", "theirs"), turn("2", "theirs", "ours"),
		turn("1", "theirs", "ours"), turn("2", "ours", "theirs"))
	if !slices.Equal(calls, want) {
		t.Errorf("got calls %v, want %v", calls, want)
	}

	m.engines[dlibEngine] = recordingEngine{"theirs", &calls, 639}
	_, err = m.measure(t.Context(), [][]task{{a, b}})
	wantError(t, err, "639×480 pixels in dlib, 640×480 in proposer")
}

func TestReport(t *testing.T) {
	r := report{
		command: "make bench-peers IMAGES=coco/val2017", date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		ours: "v1.2.3", kernels: "portable", goVersion: "go1.26.0", machine: "a processor, 2 cores",
		versions: map[string]string{"dlib": "19.24", "OpenCV": "4.6.0"}, images: "24 of coco/val2017",
		results: []result{
			{comparison{proposer("fast", 1), task{dlibEngine, "candidates", 1}, 0}, summary{0.15, 0.3, 1.5, 2, 2.5, 24, 3}},
			{comparison{proposer("fast", 2), task{dlibEngine, "candidates", 1}, 3.5}, summary{0.0801, 0.3, 3, 3.5, 12, 24, 3}},
			{comparison{proposer("fast", 2), proposer("fast", 1), 1.8}, summary{0.08, 0.15, 1.7, 1.7999, 1.9, 24, 3}},
		},
		standalone: []measurement{
			{"allocated per image", 0.5, 1, "MB", ""},
			{"time per pixel", 1.6, 1.5, "×", "800 ns, 500 ns"},
		},
	}
	text := r.String()
	for _, want := range []string{
		"Written by `make bench-peers IMAGES=coco/val2017`.\n",
		"- 2026-01-02\n- a processor, 2 cores\n- proposer v1.2.3 (go1.26.0, kernels: portable), OpenCV 4.6.0, dlib 19.24\n- images: 24 of coco/val2017\n",
		"| fast | 1 | dlib candidates | 1 | 150 | 300 | 2.00× | 1.50–2.50 | 24 × 3 | – | – |\n",
		"| fast | 2 | dlib candidates | 1 | 80.1 | 300 | 3.50× | 3.00–12.0 | 24 × 3 | 3.5× | yes |\n",
		"## Two threads",
		"| fast | 2 | itself | 1 | 80.0 | 150 | 1.80× | 1.70–1.90 | 24 × 3 | 1.8× | no |\n",
		"| allocated per image | 0.50 MB |  | ≤ 1.00 MB | yes |\n",
		"| time per pixel | 1.60× | 800 ns, 500 ns | ≤ 1.50× | no |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
	// Each row of a table has as many cells as its head.
	cells := 0
	for line := range strings.Lines(text) {
		n := strings.Count(line, "|")
		if n > 0 && cells > 0 && n != cells {
			t.Errorf("got %d bars, want %d, in %q", n, cells, line)
		}
		cells = n
	}
}

func TestReadField(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("VmHWM:\t  1234 kB\nNAME=\"Debian 12\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"VmHWM": "1234 kB", "NAME": "Debian 12"} {
		if got, err := readField(file, name); got != want || err != nil {
			t.Errorf("%s: got %q, %v: want %q", name, got, err, want)
		}
	}
	_, err := readField(file, "none")
	wantError(t, err, "no none")
}
