package tasks

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/blobstore"

	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/filetree"
	"github.com/proposer/proposer/internal/testutil/scene"
)

func open(t testing.TB, dir string) blobstore.Store {
	t.Helper()
	s, err := blobstore.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// inMemory is a source of images in memory.
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

func (s inMemory) String() string { return "images in memory" }

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
	src := append(scenes(9, 96, 64), []byte("not an image"), nil)
	var want map[string]string
	for _, procs := range []int{1, 2, 5} {
		runtime.GOMAXPROCS(procs)
		for _, threads := range []string{"1", "3"} {
			dir := t.TempDir()
			s, err := batch.Run(t.Context(), batch.Job{Source: src, Store: open(t, dir), ShardSize: 4, Workers: 2 * procs},
				Proposals(search(t, map[string]string{"mode": "fast", "threads": threads}), format(t, "jsonl"), "photos", false))
			if err != nil || s.Failed != 2 || s.Boxes < 9*20 {
				t.Fatalf("%v, %+v", err, s)
			}
			got := filetree.Read(t, dir)
			if want == nil {
				want = got
			}
			for name := range want {
				if got[name] != want[name] {
					t.Errorf("GOMAXPROCS %d, threads %s: another %s", procs, threads, name)
				}
			}
			if len(got) != len(want) {
				t.Errorf("GOMAXPROCS %d, threads %s: got %d files, want %d", procs, threads, len(got), len(want))
			}
		}
	}
}

// changed returns the names of the settings that differ, sorted.
func changed(a, b map[string]string) []string {
	var names []string
	for name := range maps.Keys(b) {
		if v, ok := a[name]; !ok || v != b[name] {
			names = append(names, name)
		}
	}
	for name := range maps.Keys(a) {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestSettingsContainAllOptionsThatAffectBoxes(t *testing.T) {
	plain := Proposals(search(t, nil), format(t, "jsonl"), "photos", false).Settings
	for name, values := range map[string]map[string]string{
		"mode": {"mode": "quality"}, "max": {"max": "5"}, "order": {"order": "paper"}, "seed": {"seed": "7"}, "nms": {"nms": "0.5"},
		"min-side": {"min-side": "3"}, "max-side": {"max-side": "100"}, "colors": {"colors": "Lab"}, "k": {"k": "70"},
		"measures": {"measures": "S"}, "sigma": {"sigma": "1"}, "min-size": {"min-size": "9"}, "orientation": {"orientation": "ignore"},
		"depth": {"depth": "12"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := changed(plain, Proposals(search(t, values), format(t, "jsonl"), "photos", false).Settings); !slices.Contains(got, name) {
				t.Errorf("got changes of %q, want one of %s", got, name)
			}
		})
	}
	t.Run("masks, limits and ranker", func(t *testing.T) {
		other := search(t, nil)
		other.Ranker = "x"
		other.Options.Decode.Limits.MaxPixels = 5
		got := changed(plain, Proposals(other, format(t, "jsonl"), "photos", true).Settings)
		if want := []string{"masks", "max-pixels", "ranker"}; !slices.Equal(got, want) {
			t.Errorf("got changes of %q, want %q", got, want)
		}
	})
	t.Run("threads", func(t *testing.T) {
		got := changed(plain, Proposals(search(t, map[string]string{"threads": "9"}), format(t, "jsonl"), "photos", false).Settings)
		if len(got) > 0 {
			t.Errorf("got changes of %q, want none", got)
		}
	})
}

func TestMasksAreWritten(t *testing.T) {
	dir := t.TempDir()
	_, err := batch.Run(t.Context(), batch.Job{Source: scenes(1, 64, 48), Store: open(t, dir)}, Proposals(search(t, map[string]string{"max": "3"}), format(t, "jsonl"), "photos", true))
	if text := filetree.Read(t, dir)["proposals-000000.jsonl"]; err != nil || !strings.Contains(text, `"masks":[{"size":[48,64],"counts":"`) {
		t.Errorf("%v, %s", err, text)
	}
}

// BenchmarkBatch compares a batch with the same searches by as many goroutines without it ("raw").
func BenchmarkBatch(b *testing.B) {
	src := scenes(64, 640, 480)
	s := search(b, map[string]string{"threads": "1"})
	workers := runtime.GOMAXPROCS(0)
	report := func(b *testing.B) {
		b.ReportMetric(float64(len(src)*b.N)/b.Elapsed().Seconds(), "images/s")
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
				if _, err := batch.Run(b.Context(), batch.Job{Source: src, Store: open(b, b.TempDir())}, Proposals(s, f, "", false)); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
	}
}
