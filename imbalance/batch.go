package imbalance

import "fmt"

// Reduction combines the losses of many elements.
type Reduction int

const (
	// None does not combine them.
	None Reduction = iota
	// Mean divides their weighted sum by the sum of the weights, or by their number without weights.
	// The class weights α are not part of the weights.
	Mean
	// Sum adds them. Lin et al. divide the sum by the number of positives (§4.1).
	Sum
)

// BatchLoss is the loss of n elements with its derivatives. The Hessian matrix is diagonal, as the
// loss of an element depends on its own logit only.
type BatchLoss struct {
	// Value is the mean or the sum, or 0 for None.
	Value float64
	// Values are the n weighted losses before the reduction.
	Values []float64
	// Gradients and Hessians are the first and second derivatives of Value with respect to each of
	// the n logits. For None they are those of Values, which equal those for Sum.
	Gradients, Hessians []float64
}

// DataError is the error for an element that is out of range.
type DataError struct {
	What  string // "logit", "target", "weight", "loss" or "score"
	Index int
	Value float64
	Want  string
}

func (e *DataError) Error() string {
	return fmt.Sprintf("imbalance: %s %d is %v: want %s", e.What, e.Index, e.Value, e.Want)
}

// Batch returns the loss of n logits and n targets. There are n weights, or nil for weights of 1; an
// element with weight 0 does not count. If all weights are 0 or there are no elements, the mean and
// its derivatives are 0.
//
// The only error is a [*DataError], for a logit that is not finite, a target outside [0,1], or a
// weight that is negative or not finite. Batch panics if lengths differ or l is invalid. Elements are
// summed in order. The last bits may differ between architectures, as those of math.Exp and
// math.Log1p do.
func (l Loss) Batch(logits, targets, weights []float64, r Reduction) (BatchLoss, error) {
	if err := l.Validate(); err != nil {
		panic(err)
	}
	n := len(logits)
	if len(targets) != n || weights != nil && len(weights) != n || r < None || r > Sum {
		panic(fmt.Sprintf("imbalance: Batch: %d logits, %d targets, %d weights, reduction %d",
			n, len(targets), len(weights), r))
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
			break // all weights are 0, and so are the values
		}
		b.Value = sum / total
		for i := range b.Gradients {
			b.Gradients[i] /= total
			b.Hessians[i] /= total
		}
	}
	return b, nil
}
