package train_test

import (
	"testing"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/objectness/train"
	"github.com/proposer/proposer/selective"
)

// Candidates that a search joins are samples as well.
func TestJoinedCandidates(t *testing.T) {
	img, object := paint(1)
	var samples [2]int
	for i, joins := range []int{0, 200} {
		sampling := train.DefaultSampling()
		sampling.Ranker = objectness.ForMode("fast")
		trainer := train.NewTrainer(sampling)
		hook := trainer.Hook(0, train.Labels{Objects: []dataset.Object{object}})
		opts := selective.Fast()
		opts.Ranker = hook
		opts.Joins = joins
		if _, err := selective.Search(t.Context(), img, opts); err != nil {
			t.Fatal(err)
		}
		trainer.Add(hook)
		samples[i] = trainer.Samples()
	}
	if samples[0] == 0 || samples[1] <= samples[0] {
		t.Errorf("got %d samples, and with joined candidates %d: want more", samples[0], samples[1])
	}
}
