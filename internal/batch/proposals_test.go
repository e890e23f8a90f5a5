package batch

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// inMemory is a source of pictures by their bytes.
type inMemory [][]byte

func (s inMemory) Images(context.Context) iter.Seq2[source.Image, error] {
	return func(yield func(source.Image, error) bool) {
		for i := range s {
			if !yield(source.Image{File: fmt.Sprintf("p/%d.jpg", i), Offset: int64(i)}, nil) {
				return
			}
		}
	}
}

func (s inMemory) Read(_ context.Context, p source.Image, _ int64) ([]byte, error) {
	return s[p.Offset], nil
}

func (s inMemory) String() string { return "pictures in memory" }

func scenes(n, width, height int) inMemory {
	var all inMemory
	for i := range n {
		all = append(all, scene.Render(uint64(i), width, height, 5).JPEG(90))
	}
	return all
}

func search(t testing.TB, values map[string]string) Search {
	t.Helper()
	opts, err := propose.ParseOptions(values)
	if err != nil {
		t.Fatal(err)
	}
	return Search{Options: opts}
}

func format(t testing.TB, name string) codec.Format {
	t.Helper()
	f, err := codec.ParseFormat(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The files do not depend on the machine.
func TestProposalsAreTheSameBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	src := append(scenes(9, 96, 64), []byte("no picture"), nil)
	var want map[string]string
	for _, procs := range []int{1, 2, 5} {
		runtime.GOMAXPROCS(procs)
		for _, threads := range []string{"1", "3"} {
			dir := t.TempDir()
			s, err := Run(t.Context(), Job{Source: src, Store: open(t, dir), ShardSize: 4, Workers: 2 * procs},
				Proposals(search(t, map[string]string{"mode": "fast", "threads": threads}), format(t, "jsonl"), "photos", false))
			if err != nil || s.Failed != 2 || s.Boxes < 9*20 {
				t.Fatalf("%v, %+v", err, s)
			}
			got := tree(t, dir)
			if want == nil {
				want = got
			}
			same(t, fmt.Sprintf("GOMAXPROCS %d, threads %s", procs, threads), got, want)
		}
	}
}

// Of options that make other boxes each is another plan.
func TestSettingsTellSearchesApart(t *testing.T) {
	plain := Proposals(search(t, nil), format(t, "jsonl"), "photos", false).Settings
	for name, values := range map[string]map[string]string{
		"mode": {"mode": "quality"}, "max": {"max": "5"}, "order": {"order": "paper"}, "seed": {"seed": "7"}, "nms": {"nms": "0.5"},
		"min-side": {"min-side": "3"}, "max-side": {"max-side": "100"}, "colors": {"colors": "Lab"}, "k": {"k": "70"},
		"measures": {"measures": "S"}, "sigma": {"sigma": "1"}, "min-size": {"min-size": "9"}, "orientation": {"orientation": "ignore"},
	} {
		if all := changes(plain, Proposals(search(t, values), format(t, "jsonl"), "photos", false).Settings); !slices.ContainsFunc(all, func(c Change) bool { return c.Name == name }) {
			t.Errorf("%s: %v", name, all)
		}
	}
	other := search(t, nil)
	other.Ranker, other.Options.Decode.Limits.MaxPixels = "x", 5
	all := changes(plain, Proposals(other, format(t, "jsonl"), "photos", true).Settings)
	if fmt.Sprint(all) != "[{masks false true} {max-pixels 0 5} {ranker  x}]" {
		t.Error(all)
	}
	if all := changes(plain, Proposals(search(t, map[string]string{"threads": "9"}), format(t, "jsonl"), "photos", false).Settings); len(all) > 0 {
		t.Error(all)
	}
}

func TestMasksAreWritten(t *testing.T) {
	dir := t.TempDir()
	_, err := Run(t.Context(), Job{Source: scenes(1, 64, 48), Store: open(t, dir)}, Proposals(search(t, map[string]string{"max": "3"}), format(t, "jsonl"), "photos", true))
	if text := tree(t, dir)["proposals-000000.jsonl"]; err != nil || !strings.Contains(text, `"masks":[{"size":[48,64],"counts":"`) {
		t.Errorf("%v, %s", err, text)
	}
}

// Whole is what a batch does beside searching: raw is the same pictures searched by as many
// goroutines, and nothing written.
func BenchmarkBatch(b *testing.B) {
	src := scenes(64, 640, 480)
	s := search(b, map[string]string{"threads": "1"})
	workers := runtime.GOMAXPROCS(0)
	report := func(b *testing.B) {
		b.ReportMetric(float64(len(src)*b.N)/b.Elapsed().Seconds(), "pictures/s")
	}
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			var next atomic.Int64
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for i := next.Add(1) - 1; i < int64(len(src)); i = next.Add(1) - 1 {
						if _, err := propose.Run(b.Context(), src[i], s.Options); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		}
		report(b)
	})
	for _, f := range codec.Formats() {
		b.Run(f.Name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Run(b.Context(), Job{Source: src, Store: open(b, b.TempDir())}, Proposals(s, f, "", false)); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
	}
}
