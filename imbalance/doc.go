// Package imbalance implements losses and samplers for the imbalance of foreground and background
// among region proposals.
//
// Of the thousands of proposals of an image, a few contain an object. A classifier that is trained on
// all of them alike mostly learns the background. A loss can weigh easy examples less, and a sampler
// can leave most of them out.
//
// # Losses
//
// A [Loss] compares a logit x, with p = σ(x), to a target in [0,1]. [CrossEntropy] is the usual loss.
// [Focal] (Lin et al. 2017) weighs well-classified examples less: a million negatives with p = 0.01
// have 99.5 % of the cross entropy next to ten positives with p = 0.01, but 6.3 % of the focal loss;
// see the example of [Loss.Batch]. [InverseFrequency] computes class weights from counts.
//
// [Loss.At] returns the value, gradient and hessian of one element with respect to its logit, as
// gradient boosting needs them:
//
//	_, g, h := loss.At(x, y)
//	x -= g / max(h, minHessian) // the hessian of the focal loss may be negative
//
// [Loss.Batch] computes those of many elements with weights, reduced to a mean or a sum.
//
// # Samplers
//
// [Thresholds.Label] labels each RoI (region of interest) as foreground, background or ignored by its
// IoU with the ground-truth boxes. Then one of these functions samples RoIs:
//
//   - [Sampler.Random]: uniformly, with a fixed fraction of foreground (Fast R-CNN);
//   - [Sampler.IoUBalanced]: background evenly over its IoUs (Libra R-CNN);
//   - [OHEM]: the RoIs with the largest losses that do not overlap (online hard example mining);
//   - [HardNegatives]: all foreground, and three times as many background RoIs with the largest
//     losses (SSD).
//
// Each returns a [Sample] that reports how many RoIs of each kind it has and how many are missing.
// [Mining] is for negatives that are too many to train on: it alternates between training and
// searching for negatives that the model gets wrong.
//
// docs/imbalance.md in the repository has the formulas, bounds and sources.
package imbalance
