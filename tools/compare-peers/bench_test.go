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

// As a child the test is a peer, well behaved or not.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "peer" {
		fakePeer(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

func fakePeer(how string) {
	switch how {
	case "silent":
		time.Sleep(time.Hour)
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
		case command == "load" && rest == "/a picture.jpg":
			fmt.Println(`{"width": 640, "height": 480}`)
		case rest == "fast 2":
			fmt.Println(`{"seconds": 1.5, "found": 7}`)
		case rest == "nothing 1":
			fmt.Println(`{"seconds": 1.5, "found": 0}`)
		case rest == "chatter 1":
			fmt.Println("Loading model ...")
		case rest == "sleep 1":
			time.Sleep(time.Hour)
		case rest == "crash 1":
			fmt.Fprintln(os.Stderr, "Segmentation fault")
			os.Exit(139)
		default:
			fmt.Printf("{\"error\": %q}\n", "unknown "+rest)
		}
	}
}

func start(t *testing.T, how string, timeout time.Duration) (*peer, error) {
	t.Helper()
	p, err := startPeer(t.Context(), "fake", []string{os.Args[0], "peer", how}, timeout)
	if err == nil {
		t.Cleanup(p.stop)
	}
	return p, err
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v: want %q in it", err, part)
		}
	}
}

func TestPeer(t *testing.T) {
	p, err := start(t, "well", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if p.versions["Fake"] != "1.0" {
		t.Errorf("versions %v", p.versions)
	}
	if w, h, err := p.load(t.Context(), "/a picture.jpg"); w != 640 || h != 480 || err != nil {
		t.Errorf("load: %d×%d, %v", w, h, err)
	}
	if s, err := p.run(t.Context(), "fast", 2); s != 1.5 || err != nil {
		t.Errorf("run: %v, %v", s, err)
	}
	_, _, err = p.load(t.Context(), "a\nb")
	wantError(t, err, "line breaks")
	// What it can say itself it survives.
	_, err = p.run(t.Context(), "fats", 1)
	wantError(t, err, "unknown fats 1")
	_, err = p.run(t.Context(), "nothing", 1)
	wantError(t, err, "0 boxes")
	if _, err := p.run(t.Context(), "fast", 2); err != nil {
		t.Error(err)
	}
	_, err = p.run(t.Context(), "crash", 1)
	wantError(t, err, "fake: it ended", "Segmentation fault")
	_, err = p.run(t.Context(), "fast", 2)
	wantError(t, err, "fake: it ended")
}

func TestPeerThatMisbehaves(t *testing.T) {
	for how, want := range map[string]string{"broken": "no module named cv2", "nameless": "no versions", "silent": "no answer in"} {
		timeout := 10 * time.Second
		if how == "silent" {
			timeout = 50 * time.Millisecond
		}
		_, err := start(t, how, timeout)
		wantError(t, err, "fake", want)
	}
	_, err := startPeer(t.Context(), "fake", []string{"/no/such/program"}, time.Second)
	wantError(t, err, "/no/such/program", "make bench-peers")

	p, err := start(t, "well", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.run(t.Context(), "chatter", 1)
	wantError(t, err, "Loading model")

	if p, err = start(t, "well", time.Hour); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = p.run(ctx, "sleep", 1)
	wantError(t, err, context.DeadlineExceeded.Error())
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
			t.Errorf("quantile(%v, %v) = %v; want %v", c.values, c.q, got, c.want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

// The ratio is the median of the pictures', not the ratio of the medians.
func TestCompare(t *testing.T) {
	ours := [][]float64{{1, 9, 1}, {2, 2, 2}, {4, 4, 0}}
	peer := [][]float64{{10, 10, 10}, {8, 8, 8}, {8, 8, 8}}
	got := compare(ours, peer)
	if want := (summary{oursTime: 2, peerTime: 8, low: 3, ratio: 4, high: 7, pictures: 3, rounds: 3}); got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
}

func TestSpaced(t *testing.T) {
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	if got := spaced(all, 4); !slices.Equal(got, []int{0, 2, 5, 7}) {
		t.Error(got)
	}
	if got := spaced(all, 20); !slices.Equal(got, all) {
		t.Error(got)
	}
}

func TestPictures(t *testing.T) {
	dir := t.TempDir()
	_, err := pictures(dir, 3)
	wantError(t, err, "no pictures", "JPEG")
	for _, name := range []string{"b.JPG", "a.png", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := pictures(dir, 3)
	if want := []string{filepath.Join(dir, "a.png"), filepath.Join(dir, "b.JPG")}; !slices.Equal(got, want) || err != nil {
		t.Errorf("%v, %v", got, err)
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
		if n, rounds := plan(c.cost, c.budget, 24, 3); n != c.n || rounds != c.rounds {
			t.Errorf("%v in %v: %d pictures, %d rounds; want %d, %d", c.cost, c.budget, n, rounds, c.n, c.rounds)
		}
	}
}

// Each of our runs in the rows is one that we know, and has its peer in the family.
func TestRows(t *testing.T) {
	modes := append(selective.PresetNames(), segmentEight, segmentFour)
	for _, r := range rows {
		if r.ours.who != ourselves || !slices.Contains(modes, r.ours.work) || r.ours.threads < r.peer.threads {
			t.Errorf("row %v", r)
		}
	}
	got := families(rows, regexp.MustCompile("^opencv-single$|^segment-8$"))
	want := [][]run{
		{us("opencv-single", 1), {opencvPeer, "single", 1}, us("opencv-single", 2), {opencvPeer, "single", 2}},
		{us(segmentEight, 1), {skimagePeer, "felzenszwalb", 1}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
}

// diary notes who works, and takes as many seconds as its name is long.
type diary struct {
	name  string
	pages *[]string
	width int
}

func (d diary) load(_ context.Context, file string) (int, int, error) {
	*d.pages = append(*d.pages, "load "+file)
	return d.width, 480, nil
}

func (d diary) run(context.Context, string, int) (float64, error) {
	*d.pages = append(*d.pages, d.name)
	return float64(len(d.name)), nil
}

func TestTurns(t *testing.T) {
	var pages []string
	a, b := us("fast", 1), run{dlibPeer, "candidates", 1}
	m := meter{
		runners: map[string]runner{ourselves: diary{"us", &pages, 640}, dlibPeer: diary{"they", &pages, 640}},
		files:   []string{"1", "2"}, rounds: 2, end: time.Now().Add(time.Hour), progress: io.Discard,
	}
	got, err := m.measure(t.Context(), [][]run{{a, b}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (seconds{a: {{2, 2}, {2, 2}}, b: {{4, 4}, {4, 4}}}); !reflect.DeepEqual(got["fast"], want) {
		t.Errorf("%v; want %v", got["fast"], want)
	}
	turn := func(file, first, second string) []string {
		return []string{"load " + file, "load " + file, first, second}
	}
	want := slices.Concat(turn("1", "us", "they"), // to warm up
		turn("1", "us", "they"), turn("2", "they", "us"),
		turn("1", "they", "us"), turn("2", "us", "they"))
	if !slices.Equal(pages, want) {
		t.Errorf("%v; want %v", pages, want)
	}

	m.runners[dlibPeer] = diary{"they", &pages, 639}
	_, err = m.measure(t.Context(), [][]run{{a, b}})
	wantError(t, err, "639×480 pixels for dlib, 640×480 for us")
}

func TestReport(t *testing.T) {
	r := report{
		command: "make bench-peers PICTURES=coco/val2017", date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		ours: "v1.2.3", kernels: "portable", goVersion: "go1.26.0", machine: "a processor, 2 cores",
		versions: map[string]string{"dlib": "19.24", "OpenCV": "4.6.0"}, pictures: "24 of coco/val2017",
		comparisons: []comparison{
			{row{us("fast", 1), run{dlibPeer, "candidates", 1}, 0}, summary{0.15, 0.3, 1.5, 2, 2.5, 24, 3}},
			{row{us("fast", 2), run{dlibPeer, "candidates", 1}, 3.5}, summary{0.0801, 0.3, 3, 3.5, 12, 24, 3}},
			{row{us("fast", 2), us("fast", 1), 1.8}, summary{0.08, 0.15, 1.7, 1.7999, 1.9, 24, 3}},
		},
		alone: []figure{
			{"allocated a picture", 0.5, 1, "MB", ""},
			{"time a pixel", 1.6, 1.5, "×", "800 ns, 500 ns"},
		},
	}
	text := r.String()
	for _, want := range []string{
		"Written by `make bench-peers PICTURES=coco/val2017`.\n",
		"- 2026-01-02\n- a processor, 2 cores\n- proposer v1.2.3 (go1.26.0, kernels: portable), OpenCV 4.6.0, dlib 19.24\n- pictures: 24 of coco/val2017\n",
		"| fast | 1 | dlib candidates | 1 | 150 | 300 | 2.00× | 1.50–2.50 | 24 × 3 | – | – |\n",
		"| fast | 2 | dlib candidates | 1 | 80.1 | 300 | 3.50× | 3.00–12.0 | 24 × 3 | 3.5× | yes |\n",
		"## On two threads",
		"| fast | 2 | itself | 1 | 80.0 | 150 | 1.80× | 1.70–1.90 | 24 × 3 | 1.8× | no |\n",
		"| allocated a picture | 0.50 MB |  | ≤ 1.00 MB | yes |\n",
		"| time a pixel | 1.60× | 800 ns, 500 ns | ≤ 1.50× | no |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// All rows of a table are as wide as its head.
	cells := 0
	for line := range strings.Lines(text) {
		n := strings.Count(line, "|")
		if n > 0 && cells > 0 && n != cells {
			t.Errorf("%d instead of %d bars in %q", n, cells, line)
		}
		cells = n
	}
}

func TestField(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("VmHWM:\t  1234 kB\nNAME=\"Debian 12\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"VmHWM": "1234 kB", "NAME": "Debian 12"} {
		if got, err := field(file, name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	_, err := field(file, "none")
	wantError(t, err, "no none")
}
