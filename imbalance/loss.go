package imbalance

import (
	"fmt"
	"math"
)

// Loss is a loss of a logit x and a target y. With p = σ(x) it is
//
//	L = −y α₊ (1−p)^γ log p − (1−y) α₋ p^γ log(1−p)
//
// For y = 0 or 1 this is Lin et al.'s FL(p_t) = −α_t (1−p_t)^γ log p_t ("Focal Loss for Dense Object
// Detection", ICCV 2017, §3). With γ = 0 it is α-balanced cross entropy. With γ = 0 and α₊ = α₋ = 1 it
// is cross entropy, which is the zero Loss.
//
// A soft target, between 0 and 1, is the probability that the label is 1, and L is the expected loss.
// For γ = 0 it has its minimum at p = y; for γ > 0 it does not. The paper has hard targets only, and
// implementations differ for soft ones.
type Loss struct {
	// Gamma is the focusing parameter γ, in [0,MaxGamma]. The larger it is, the less do
	// well-classified examples count.
	Gamma float64
	// Alpha has the weights of the two classes. The zero Alpha stands for Uniform.
	Alpha Alpha
}

// MaxGamma is the largest γ. Lin et al. use 0 to 5.
const MaxGamma = 100

// Alpha has the values of α_t: the weights of positives (y = 1) and negatives (y = 0), both finite and
// at least 0.
type Alpha struct {
	Positive, Negative float64
}

// Uniform weighs both classes by 1.
var Uniform = Alpha{1, 1}

// Balanced returns the α_t of Lin et al.: alpha for positives and 1−alpha for negatives. It panics
// unless alpha is in [0,1]. Balanced(0.5) halves the loss of Uniform.
func Balanced(alpha float64) Alpha {
	if !(alpha >= 0 && alpha <= 1) {
		panic(fmt.Sprintf("imbalance: Balanced: alpha = %v: want a number in [0,1]", alpha))
	}
	return Alpha{alpha, 1 - alpha}
}

// InverseFrequency returns α_c = 1/(f_c + eps) for each class c, where f_c is the class's fraction of
// all counts. All classes with fractions well above eps then have about the same total weight; a class
// that never occurs has weight 1/eps. InverseFrequency panics if a count is negative or eps is not
// positive. With w = InverseFrequency(eps, positives, negatives), a [Loss] takes Alpha{w[0], w[1]}.
func InverseFrequency(eps float64, counts ...int64) []float64 {
	if !(eps > 0) {
		panic(fmt.Sprintf("imbalance: InverseFrequency: eps = %v: want a number above 0", eps))
	}
	var sum float64
	for _, n := range counts {
		if n < 0 {
			panic(fmt.Sprintf("imbalance: InverseFrequency: a count of %d", n))
		}
		sum += float64(n)
	}
	alpha := make([]float64, len(counts))
	for c, n := range counts {
		alpha[c] = 1 / (float64(n)/max(sum, 1) + eps)
	}
	return alpha
}

// CrossEntropy returns binary cross entropy.
func CrossEntropy() Loss { return Loss{Alpha: Uniform} }

// Focal returns the focal loss with the parameters of Lin et al.: γ = 2, α = 0.25.
func Focal() Loss { return Loss{Gamma: 2, Alpha: Balanced(0.25)} }

// Validate returns an error for the first field that is out of range.
func (l Loss) Validate() error {
	switch {
	case !(l.Gamma >= 0 && l.Gamma <= MaxGamma):
		return fmt.Errorf("imbalance: gamma %v: want a number in [0,%d]", l.Gamma, MaxGamma)
	case !weight(l.Alpha.Positive) || !weight(l.Alpha.Negative):
		return fmt.Errorf("imbalance: alpha %v for positives, %v for negatives: want finite numbers of at least 0",
			l.Alpha.Positive, l.Alpha.Negative)
	}
	return nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func weight(w float64) bool { return w >= 0 && finite(w) }

// At returns the loss and its first and second derivative with respect to the logit. The Loss must be
// valid, the logit finite and the target in [0,1], which At does not check; NaN gives NaN. For a hard
// target, with p_t = p or 1−p and s = 1 or −1,
//
//	value    = −α_t (1−p_t)^γ log p_t
//	gradient = s α_t (1−p_t)^γ (γ p_t log p_t + p_t − 1)
//	hessian  = α_t (1−p_t)^γ p_t ((1−p_t)(1 + 2γ + γ log p_t) − γ² p_t log p_t)
//
// (the gradient is in Lin et al.'s appendix). They are computed from the logit without cancellation
// and are finite for all finite logits.
//
// With γ > 0 the loss is not convex: the hessian is negative for badly classified examples, for γ = 2
// where p_t < 0.0578. A Newton step must clamp it from below.
func (l Loss) At(logit, target float64) (value, gradient, hessian float64) {
	alpha := l.Alpha
	if alpha == (Alpha{}) {
		alpha = Uniform
	}
	p, q, logP, logQ := logistic(logit)
	if target != 0 {
		v, g, h := l.positive(p, q, logP, logQ)
		w := alpha.Positive * target
		value, gradient, hessian = w*v, w*g, w*h
	}
	if target != 1 { // mirrored
		v, g, h := l.positive(q, p, logQ, logP)
		w := alpha.Negative * (1 - target)
		value, gradient, hessian = value+w*v, gradient-w*g, hessian+w*h
	}
	return value, gradient, hessian
}

// positive returns the unweighted loss of a positive with probability p = 1−q, and its derivatives.
func (l Loss) positive(p, q, logP, logQ float64) (value, gradient, hessian float64) {
	if l.Gamma == 0 {
		return -logP, -q, p * q
	}
	m := math.Exp(l.Gamma * logQ)
	// p·log p vanishes with p, while γ·log p may overflow.
	c := l.Gamma * (p * logP)
	return m * -logP, m * (c - q), m * (p*q*(1+2*l.Gamma) + c*(q-l.Gamma*p))
}

// logistic returns p = σ(x), q = 1−p and their logarithms, each to full precision.
func logistic(x float64) (p, q, logP, logQ float64) {
	z := math.Exp(-math.Abs(x))
	small, large, l := z/(1+z), 1/(1+z), -math.Log1p(z)
	if x < 0 {
		return small, large, x + l, l
	}
	return large, small, l, l - x
}
