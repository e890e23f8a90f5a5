package imbalance

import "fmt"

// Reduction is what becomes of the losses of many elements.
type Reduction int

const (
	// None leaves them as they are.
	None Reduction = iota
	// Mean divides their weighted sum by the sum of the weights, which without
	// weights is their number. Class weights, α, do not count among the weights.
	Mean
	// Sum adds them up. Lin et al. divide it by the number of positives (§4.1).
	Sum
)

// BatchLoss is a loss over n elements, and its derivatives. The hessian of each is a
// diagonal, as an element's loss depends on its own logit only.
type BatchLoss struct {
	// Value is the mean or the sum, and 0 under None.
	Value float64
	// Values are the n losses, times their weights, and not reduced.
	Values []float64
	// Gradients and Hessians, n each, are the derivatives of Value with respect to
	// each logit; under None of each of Values, which under Sum are the same.
	Gradients, Hessians []float64
}

// DataError is an element that is out of range.
type DataError struct {
	What  string // "logit", "target", "weight", "loss" or "score"
	Index int
	Value float64
	Want  string
}

func (e *DataError) Error() string {
	return fmt.Sprintf("imbalance: %s %d is %v: want %s", e.What, e.Index, e.Value, e.Want)
}

// Batch is the loss of n logits against n targets. Weights are n or nil, which is 1
// for each; a weight of 0 leaves an element out. The mean of nothing, or of
// elements that all weigh 0, is 0, and so are its derivatives.
//
// The only error is a [*DataError], for a logit that is not finite, a target
// outside [0,1], or a weight that is negative or not finite. It panics if lengths
// differ or l is not valid. Sums are taken in order; as with all that is computed
// from math.Exp and math.Log1p, last bits may differ between architectures.
func (l Loss) Batch(logits, targets, weights []float64, r Reduction) (BatchLoss, error) {
	if err := l.Validate(); err != nil {
		panic(err)
	}
	n := len(logits)
	if len(targets) != n || weights != nil && len(weights) != n || r < None || r > Sum {
		panic(fmt.Sprintf("imbalance: Over: %d logits, %d targets, %d weights, reduction %d", n, len(targets), len(weights), r))
	}
	b := BatchLoss{Values: make([]float64, n), Gradients: make([]float64, n), Hessians: make([]float64, n)}
	var sum, total float64
	for i, x := range logits {
		y, w := targets[i], 1.0
		if weights != nil {
			w = weights[i]
		}
		switch {
		case !finite(x):
			return BatchLoss{}, &DataError{"logit", i, x, "a finite number"}
		case !(y >= 0 && y <= 1):
			return BatchLoss{}, &DataError{"target", i, y, "a number in [0,1]"}
		case !weight(w):
			return BatchLoss{}, &DataError{"weight", i, w, "a finite number of at least 0"}
		}
		v, g, h := l.At(x, y)
		b.Values[i], b.Gradients[i], b.Hessians[i] = w*v, w*g, w*h
		sum += w * v
		total += w
	}
	switch r {
	case Sum:
		b.Value = sum
	case Mean:
		if total == 0 {
			break // every weight is 0, and so is everything else
		}
		b.Value = sum / total
		for i := range b.Gradients {
			b.Gradients[i] /= total
			b.Hessians[i] /= total
		}
	}
	return b, nil
}
