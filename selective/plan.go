package selective

import "github.com/proposer/proposer/raster"

// A plan groups the strategies of a search by the work that they share: the graph and the
// binned image of a color space and sigma, and the segmentation, the descriptors and the
// adjacency of such and a scale. Groups are in the order of their first strategies.
type plan struct {
	spaces []spacePlan
	trees  int
}

// spacePlan is the work of one color space and sigma.
type spacePlan struct {
	space  raster.Space
	sigma  float64 // as Strategy.Sigma has it
	minK   float64 // the smallest k of its scales
	scales []scalePlan
}

// scalePlan is the work of one segmentation.
type scalePlan struct {
	k       float64
	minSize int   // as Strategy.MinSize has it
	trees   []int // the indices of the strategies, one tree each
}

func newPlan(strategies []Strategy) plan {
	p := plan{trees: len(strategies)}
	for i, s := range strategies {
		scale := p.addSpace(s.Space, s.Sigma).addScale(s.K, s.MinSize)
		scale.trees = append(scale.trees, i)
	}
	return p
}

// addSpace returns the group of a color space and sigma, which it adds if there is none.
func (p *plan) addSpace(space raster.Space, sigma float64) *spacePlan {
	for i := range p.spaces {
		if s := &p.spaces[i]; s.space == space && s.sigma == sigma {
			return s
		}
	}
	p.spaces = append(p.spaces, spacePlan{space: space, sigma: sigma})
	return &p.spaces[len(p.spaces)-1]
}

// addScale returns the group of a scale, which it adds if there is none.
func (p *spacePlan) addScale(k float64, minSize int) *scalePlan {
	for i := range p.scales {
		if s := &p.scales[i]; s.k == k && s.minSize == minSize {
			return s
		}
	}
	if len(p.scales) == 0 || k < p.minK {
		p.minK = k
	}
	p.scales = append(p.scales, scalePlan{k: k, minSize: minSize})
	return &p.scales[len(p.scales)-1]
}
