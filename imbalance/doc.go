// Package imbalance answers the imbalance of foreground and background among
// proposals: of thousands of boxes in a picture a few hold an object. Trained on all
// of them alike, a classifier learns background. One can count the easy ones less,
// with a loss, or leave most of them out, with a sampler.
//
// # Losses
//
// A [Loss] compares a logit x, p = σ(x), with a target in [0,1]. [CrossEntropy] is
// the usual one. A million negatives of p = 0.01 have 99.5 % of its sum against ten
// positives of p = 0.01; under [Focal] (Lin et al. 2017) they have 6.3 %, see the
// example of [Loss.Batch]. [InverseFrequency] makes class weights of counts.
//
// [Loss.At] gives one element's value, gradient and hessian with respect to the
// logit, which is what boosting asks for:
//
//	_, g, h := loss.At(x, y)
//	x -= g / max(h, floor) // the focal hessian may be negative
//
// [Loss.Batch] gives those of many, with weights, reduced to a mean or a sum.
//
// # Samplers
//
// First [Thresholds.Label] says which RoIs are foreground, background or neither, by
// their IoU with the true boxes. Then one of these picks from them:
//
//   - [Sampler.Random]: uniformly, a fixed share of foreground (Fast R-CNN);
//   - [Sampler.IoUBalanced]: background evenly over its IoUs (Libra R-CNN);
//   - [OHEM]: those of the largest loss that do not overlap (OHEM);
//   - [HardNegatives]: all foreground and three times as many of the hardest
//     background (SSD).
//
// They report in a [Sample] how many of each they took and how many were short.
// [Mining] is for negatives that are too many to train on at all: it turns between
// training and looking for what the model gets wrong.
//
// docs/imbalance.md has the formulas, the bounds and the sources.
package imbalance
