package objectness_test

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/proposer/proposer/internal/testutil/golden"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/selective"
)

// search returns the proposals of mode fast for a drawn image.
func search(t *testing.T, seed uint64, threads int) []selective.Proposal {
	t.Helper()
	opts := selective.Fast()
	opts.Threads = threads
	result, err := selective.Search(t.Context(), scene.Render(seed, 160, 120, 4).Image, opts)
	if err != nil {
		t.Fatal(err)
	}
	return result.Proposals
}

func TestScoresDoNotDependOnThreads(t *testing.T) {
	want := search(t, 3, 1)
	for i, p := range want {
		if !(p.Score > 0 && p.Score < 1) || i > 0 && p.Score >= want[i-1].Score {
			t.Fatalf("proposal %d: score %v, want one in (0,1), below that of the proposal before", i, p.Score)
		}
	}
	if got := search(t, 3, 4); !reflect.DeepEqual(got, want) {
		t.Error("proposals with 4 threads differ from those with 1")
	}
}

// Scores are equal on every machine, to the bit.
func TestGolden(t *testing.T) {
	var got bytes.Buffer
	for _, p := range search(t, 5, 1)[:300] {
		fmt.Fprintln(&got, p.Box, p.Score)
	}
	golden.Equal(t, "testdata/fast.golden", got.Bytes())
}
