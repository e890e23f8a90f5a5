package imbalance

import (
	"fmt"
	"math"
)

// Loss is a loss of one logit x against one target y, with p = σ(x):
//
//	L = −y α₊ (1−p)^γ log p − (1−y) α₋ p^γ log(1−p)
//
// For y of 0 or 1 that is Lin et al.'s FL(p_t) = −α_t (1−p_t)^γ log p_t ("Focal
// Loss for Dense Object Detection", ICCV 2017, §3). γ = 0 is alpha-balanced cross
// entropy, and γ = 0 with α₊ = α₋ = 1, the zero Loss, cross entropy.
//
// A soft target, between 0 and 1, is the probability that the label is 1: L is
// then the expected loss. For γ = 0 that is cross entropy between distributions,
// least at p = y; for γ > 0 it is not least there. The paper has hard targets
// only; implementations differ for soft ones.
type Loss struct {
	// Gamma is γ, the focusing parameter, in [0,MaxGamma]: how much less an
	// example counts that is classified well already.
	Gamma float64
	// Alpha weighs the two classes. The zero Alpha is Uniform.
	Alpha Alpha
}

// MaxGamma is the largest γ. Lin et al. try 0 to 5.
const MaxGamma = 100

// Alpha is α_t as a pair: the weight of positives, y = 1, and of negatives, y = 0,
// each finite and at least 0.
type Alpha struct {
	Positive, Negative float64
}

// Uniform leaves both classes as they are.
var Uniform = Alpha{1, 1}

// Balanced is the α_t of Lin et al.: alpha for positives, 1−alpha for negatives,
// alpha in [0,1]. Balanced(0.5) halves the loss, Uniform does not.
func Balanced(alpha float64) Alpha {
	if !(alpha >= 0 && alpha <= 1) {
		panic(fmt.Sprintf("imbalance: Balanced: alpha = %v: want a number in [0,1]", alpha))
	}
	return Alpha{alpha, 1 - alpha}
}

// InverseFrequency is α_c = 1/(f_c + eps) for each class c, f_c being its share of
// all counts, so that each class that is not rarer than eps counts about the same
// in total. A class that never occurs gets 1/eps. Counts are at least 0, eps is
// above 0. Of InverseFrequency(eps, positives, negatives) a [Loss] takes
// Alpha{α[0], α[1]}.
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

// CrossEntropy is binary cross entropy.
func CrossEntropy() Loss { return Loss{Alpha: Uniform} }

// Focal is the focal loss with the values of Lin et al.: γ = 2, α = 0.25.
func Focal() Loss { return Loss{Gamma: 2, Alpha: Balanced(0.25)} }

// Validate reports the first field that is out of range.
func (l Loss) Validate() error {
	switch {
	case !(l.Gamma >= 0 && l.Gamma <= MaxGamma):
		return fmt.Errorf("imbalance: gamma %v: want a number in [0,%d]", l.Gamma, MaxGamma)
	case !weight(l.Alpha.Positive) || !weight(l.Alpha.Negative):
		return fmt.Errorf("imbalance: alpha %v for positives, %v for negatives: want finite numbers of at least 0", l.Alpha.Positive, l.Alpha.Negative)
	}
	return nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func weight(w float64) bool { return w >= 0 && finite(w) }

// At is the loss and its first and second derivative with respect to the logit,
// for a valid Loss, a finite logit and a target in [0,1], none of which it checks;
// NaN gives NaN. For a hard target, with p_t = p or 1−p and s = 1 or −1,
//
//	value    = −α_t (1−p_t)^γ log p_t
//	gradient = s α_t (1−p_t)^γ (γ p_t log p_t + p_t − 1)
//	hessian  = α_t (1−p_t)^γ p_t ((1−p_t)(1 + 2γ + γ log p_t) − γ² p_t log p_t)
//
// (the gradient is in Lin et al.'s appendix). They come from the logit without
// cancellation, and stay finite up to logits where the loss itself is not. With
// γ > 0 the loss is not convex: the hessian is below 0 for badly classified
// examples, under γ = 2 for p_t < 0.0578. It is given as it is; who divides by it,
// as a Newton step does, has to clamp it from below.
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
	if target != 1 { // the same, mirrored
		v, g, h := l.positive(q, p, logQ, logP)
		w := alpha.Negative * (1 - target)
		value, gradient, hessian = value+w*v, gradient-w*g, hessian+w*h
	}
	return value, gradient, hessian
}

// positive is the unweighted loss of a positive with probability p = 1−q.
func (l Loss) positive(p, q, logP, logQ float64) (value, gradient, hessian float64) {
	if l.Gamma == 0 {
		return -logP, -q, p * q
	}
	m := math.Exp(l.Gamma * logQ)
	// p·log p goes to 0 with p; γ·log p alone may overflow.
	c := l.Gamma * (p * logP)
	return m * -logP, m * (c - q), m * (p*q*(1+2*l.Gamma) + c*(q-l.Gamma*p))
}

// logistic is p = σ(x), q = 1−p and their logarithms, each to full precision.
func logistic(x float64) (p, q, logP, logQ float64) {
	z := math.Exp(-math.Abs(x))
	small, large, l := z/(1+z), 1/(1+z), -math.Log1p(z)
	if x < 0 {
		return small, large, x + l, l
	}
	return large, small, l, l - x
}
