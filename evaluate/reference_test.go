package evaluate

import (
	"cmp"
	"math"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/dataset"
)

// This file has slow translations of the programs that define the measures. They keep the structure
// and the names of the originals so that they can be compared line by line.

// cocoImage is an image as COCOeval takes it, with its intermediate results.
type cocoImage struct {
	gt []cocoGT
	dt []cocoDT
}

type cocoGT struct {
	id      int
	bbox    [4]float64 // x, y, width, height
	area    float64
	iscrowd bool
}

type cocoDT struct {
	id    int
	bbox  [4]float64
	score float64
}

func (d *cocoDT) area() float64 { return d.bbox[2] * d.bbox[3] }

// newCOCOImage returns an image whose boxes have falling scores. Difficult objects are crowds.
func newCOCOImage(objects []dataset.Object, boxes []box.Box, difficult bool) cocoImage {
	var img cocoImage
	for i, o := range objects {
		img.gt = append(img.gt, cocoGT{i + 1, [4]float64{o.X0, o.Y0, o.X1 - o.X0, o.Y1 - o.Y0}, o.Area, o.Difficult && !difficult})
	}
	for i, b := range boxes {
		bbox := [4]float64{float64(b.X0), float64(b.Y0), float64(b.Width()), float64(b.Height())}
		img.dt = append(img.dt, cocoDT{i + 1, bbox, 1 / float64(i+1)})
	}
	return img
}

// cocoRecall translates COCOeval (cocoapi, PythonAPI/pycocotools/cocoeval.py) with useCats=0, except
// for precision: it returns the mean over the thresholds of eval['recall'] for an area range and a
// number of boxes, and the number of objects that are not ignored.
func cocoRecall(images []cocoImage, aRng [2]float64, maxDet int) (recall float64, npig int) {
	iouThrs := linspace(.5, .95, 10)
	tp := make([]int, len(iouThrs))
	for _, img := range images {
		dtm, dtIg, gtIg := cocoEvaluateImg(img, aRng, maxDet, iouThrs)
		for _, ignored := range gtIg {
			if !ignored {
				npig++
			}
		}
		for t := range iouThrs {
			for d := range dtm[t] {
				if dtm[t][d] != 0 && !dtIg[t][d] {
					tp[t]++
				}
			}
		}
	}
	if npig == 0 {
		return 0, 0
	}
	for _, n := range tp {
		recall += float64(n) / float64(npig) / float64(len(iouThrs))
	}
	return recall, npig
}

// cocoEvaluateImg translates COCOeval.evaluateImg.
func cocoEvaluateImg(img cocoImage, aRng [2]float64, maxDet int, iouThrs []float64) (dtm [][]int, dtIg [][]bool, gtIg []bool) {
	ignored := func(g *cocoGT) bool { return g.iscrowd || g.area < aRng[0] || g.area > aRng[1] }

	// sort dt highest score first, sort gt ignore last
	gt := slices.Clone(img.gt)
	slices.SortStableFunc(gt, func(a, b cocoGT) int {
		switch ia, ib := ignored(&a), ignored(&b); {
		case ia == ib:
			return 0
		case ib:
			return -1
		}
		return 1
	})
	dt := slices.Clone(img.dt)
	slices.SortStableFunc(dt, func(a, b cocoDT) int { return cmp.Compare(b.score, a.score) })
	dt = dt[:min(maxDet, len(dt))]
	for i := range gt {
		gtIg = append(gtIg, ignored(&gt[i]))
	}

	for range iouThrs {
		dtm, dtIg = append(dtm, make([]int, len(dt))), append(dtIg, make([]bool, len(dt)))
	}
	for tind, t := range iouThrs {
		gtm := make([]int, len(gt))
		for dind, d := range dt {
			// information about best match so far (m=-1 -> unmatched)
			iou := min(t, 1-1e-10)
			m := -1
			for gind, g := range gt {
				// if this gt already matched, and not a crowd, continue
				if gtm[gind] > 0 && !g.iscrowd {
					continue
				}
				// if dt matched to reg gt, and on ignore gt, stop
				if m > -1 && !gtIg[m] && gtIg[gind] {
					break
				}
				// continue to next gt unless better match made
				if bbIou(d.bbox, g.bbox, g.iscrowd) < iou {
					continue
				}
				// if match successful and best so far, store appropriately
				iou = bbIou(d.bbox, g.bbox, g.iscrowd)
				m = gind
			}
			// if match made store id of match for both dt and gt
			if m == -1 {
				continue
			}
			dtIg[tind][dind] = gtIg[m]
			dtm[tind][dind] = gt[m].id
			gtm[m] = d.id
		}
		// set unmatched detections outside of area range to ignore
		for dind, d := range dt {
			if dtm[tind][dind] == 0 && (d.area() < aRng[0] || d.area() > aRng[1]) {
				dtIg[tind][dind] = true
			}
		}
	}
	return dtm, dtIg, gtIg
}

// bbIou translates bbIou of cocoapi, common/maskApi.c.
func bbIou(dt, gt [4]float64, iscrowd bool) float64 {
	ga, da := gt[2]*gt[3], dt[2]*dt[3]
	w := min(dt[2]+dt[0], gt[2]+gt[0]) - max(dt[0], gt[0])
	if w <= 0 {
		return 0
	}
	h := min(dt[3]+dt[1], gt[3]+gt[1]) - max(dt[1], gt[1])
	if h <= 0 {
		return 0
	}
	i := w * h
	u := da + ga - i
	if iscrowd {
		u = da
	}
	return i / u
}

// linspace is NumPy's.
func linspace(start, stop float64, num int) []float64 {
	step := (stop - start) / float64(num-1)
	v := make([]float64, num)
	for i := range v {
		product := float64(i) * step
		v[i] = product + start
	}
	v[num-1] = stop
	return v
}

// closestCandidates translates shared/closest_candidates.m of Hosang et al., except that it returns
// only the IoUs of the objects.
func closestCandidates(objects []dataset.Object, candidates []box.Box) []float64 {
	iouMatrix := make([][]float64, len(objects))
	for i, o := range objects {
		iouMatrix[i] = make([]float64, len(candidates))
		for j, c := range candidates {
			iouMatrix[i][j] = referenceIoU(o, c)
		}
	}
	best := make([]float64, len(objects))
	if len(objects) > len(candidates) {
		transposed := make([][]float64, len(candidates))
		for j := range candidates {
			for i := range objects {
				transposed[j] = append(transposed[j], iouMatrix[i][j])
			}
		}
		for j, i := range greedyMatchingRowwise(transposed) {
			best[i] = iouMatrix[i][j]
		}
		return best
	}
	for i, j := range greedyMatchingRowwise(iouMatrix) {
		best[i] = iouMatrix[i][j]
	}
	return best
}

// greedyMatchingRowwise translates the function of that name in closest_candidates.m. It returns the
// column of each row.
func greedyMatchingRowwise(iouMatrix [][]float64) []int {
	m := make([][]float64, len(iouMatrix))
	for i := range m {
		m[i] = slices.Clone(iouMatrix[i])
	}
	matching := make([]int, len(m))
	for range m {
		// The function max of Matlab returns the first of equal elements.
		maxIoU, row, col := math.Inf(-1), -1, -1
		for r := range m {
			for c, iou := range m[r] {
				if iou > maxIoU {
					maxIoU, row, col = iou, r, c
				}
			}
		}
		if row < 0 {
			break
		}
		matching[row] = col
		for c := range m[row] {
			m[row][c] = math.Inf(-1)
		}
		for r := range m {
			m[r][col] = math.Inf(-1)
		}
	}
	return matching
}

// computeAverageRecall translates recall/compute_average_recall.m of Hosang et al., which integrates
// in steps of 0.001.
func computeAverageRecall(overlaps []float64) float64 {
	const dx = .001
	var goodRecall []float64
	for i := 500; i <= 1000; i++ {
		overlap := float64(i) * dx
		if i == 1000 {
			overlap = 1
		}
		found := 0
		for _, o := range overlaps {
			if o >= overlap {
				found++
			}
		}
		goodRecall = append(goodRecall, float64(found)/float64(len(overlaps)))
	}
	trapz := 0.0
	for i := 1; i < len(goodRecall); i++ {
		trapz += (goodRecall[i-1] + goodRecall[i]) / 2
	}
	return 2 * dx * trapz
}
