package train

import (
	"context"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/dataset"
)

// A Match is the object that a candidate overlaps most.
type Match struct {
	Object int // index of the object
	IoU    float64
	// Ignore marks a candidate that may contain objects without annotation, as in a crowd. It is
	// excluded from training unless it matches an annotated object.
	Ignore bool
}

// minIgnoreIoA is the fraction of a candidate in a difficult object from which it is ignored.
const minIgnoreIoA = .5

// Matches returns the match of each candidate. A candidate is ignored if half of it lies in an
// object that is difficult, which crowds are: nobody annotated what is there one by one.
func Matches(candidates []candidate.Candidate, objects []dataset.Object) []Match {
	matches := make([]Match, len(candidates))
	for i := range candidates {
		b, m := &candidates[i].Box, &matches[i]
		for k := range objects {
			if o := &objects[k]; o.Difficult {
				m.Ignore = m.Ignore || o.IoA(b) >= minIgnoreIoA
			} else if v := o.IoU(b); v > m.IoU {
				m.Object = k
				m.IoU = v
			}
		}
	}
	return matches
}

// A Hook samples the candidates of a search. It implements the Ranker interface of package
// selective but does not score, so the result of the search has no meaning.
type Hook struct {
	trainer *Trainer
	image   int
	objects []dataset.Object
}

// Hook returns a hook for the search of an image, with its index and its objects in pixels of
// the searched image. Searches with hooks of one trainer must not run concurrently.
func (t *Trainer) Hook(image int, objects []dataset.Object) *Hook {
	return &Hook{t, image, objects}
}

// Score adds the candidates to the trainer.
func (h *Hook) Score(ctx context.Context, _ []float32, set *candidate.Set) error {
	return h.trainer.Add(ctx, h.image, set, Matches(set.Candidates, h.objects))
}
