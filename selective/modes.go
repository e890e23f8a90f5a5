package selective

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// mode is a named product of color spaces, scales and sets of measures.
type mode struct {
	name         string
	spaces       []raster.Space
	ks           []float64
	measures     []string
	minSize      int
	connectivity segment.Connectivity
	unions       int
	joins        int
}

// modes are described at [Mode]. The paper's smallest initial region is of k pixels, OpenCV's
// of 100.
var modes = []mode{
	{
		"single",
		[]raster.Space{raster.HSV},
		[]float64{100},
		[]string{"CTSF"},
		0, segment.Eight, 0, 0,
	},
	{
		"fast",
		[]raster.Space{raster.HSV, raster.Lab},
		[]float64{50, 100},
		[]string{"CTSF", "TSF"},
		0, segment.Eight, 2000, 1500,
	},
	{
		"quality",
		[]raster.Space{raster.HSV, raster.Lab, raster.RgI, raster.Hue, raster.Gray},
		[]float64{50, 100, 150, 300},
		[]string{"CTSF", "TSF", "F", "S"},
		0, segment.Eight, 2000, 3000,
	},
	{
		"best",
		[]raster.Space{raster.Lab, raster.RgI},
		[]float64{50, 150, 200},
		[]string{"CTSF", "TSF", "F", "S", "SF"},
		0, segment.Eight, 1000, 1500,
	},
	{
		"opencv-single",
		[]raster.Space{raster.HSV},
		[]float64{200},
		[]string{"CTSF"},
		100, segment.Four, 0, 0,
	},
	{
		"opencv-fast",
		[]raster.Space{raster.HSV, raster.Lab},
		[]float64{150, 300, 450},
		[]string{"CTSF", "TSF"},
		100, segment.Four, 0, 0,
	},
	{
		"opencv-quality",
		[]raster.Space{raster.HSV, raster.Lab, raster.Gray, raster.Hue, raster.RGGray},
		[]float64{150, 300, 450, 600, 750},
		[]string{"CTSF", "TSF", "F", "S"},
		100, segment.Four, 0, 0,
	},
}

// Single returns the options of mode single: 1 tree, the paper's "single strategy".
func Single() Options { return mustMode("single") }

// Fast returns the options of mode fast: 8 trees, the paper's "fast".
func Fast() Options { return mustMode("fast") }

// Quality returns the options of mode quality: 80 trees, the paper's "quality".
func Quality() Options { return mustMode("quality") }

// Best returns the options of mode best: 30 trees, which find more objects than those of mode fast
// in little more time, as a grouping costs little beside the graph of a color space. It is not
// the paper's.
func Best() Options { return mustMode("best") }

// Modes returns the names of the modes.
func Modes() []string {
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = m.name
	}
	return names
}

// Mode returns the options of the mode with a name:
//
//	single          1 tree     HSV; k 100; CTSF
//	fast            8 trees    HSV, Lab; k 50, 100; CTSF, TSF
//	quality         80 trees   HSV, Lab, rgI, H, I; k 50, 100, 150, 300; CTSF, TSF, F, S
//	best            30 trees   Lab, rgI; k 50, 150, 200; CTSF, TSF, F, S, SF
//	opencv-single   1 tree     HSV; k 200; CTSF
//	opencv-fast     12 trees   HSV, Lab; k 150, 300, 450; CTSF, TSF
//	opencv-quality  100 trees  HSV, Lab, I, H, R-G-I; k 150, 300, 450, 600, 750; CTSF, TSF, F, S
//
// The first three are those of Uijlings et al. (IJCV 2013, table 5). The last three build the
// trees of OpenCV's ximgproc, with its initial regions of at least 100 pixels and its
// 4-neighbor grid. All smooth with a sigma of 0.8 and rank by objectness.
//
// Modes fast, quality and best have Unions (2,000, 2,000 and 1,000) and Joins (1,500, 3,000 and
// 1,500), which the paper does not have. In another order than OrderObjectness, or without both,
// their boxes are those of the trees alone.
func Mode(name string) (Options, error) {
	for i := range modes {
		if modes[i].name == name {
			return modes[i].options(), nil
		}
	}
	return Options{}, fmt.Errorf("mode %q: want one of %s", name, strings.Join(Modes(), ", "))
}

func mustMode(name string) Options {
	opts, err := Mode(name)
	if err != nil {
		panic(err)
	}
	return opts
}

func (m *mode) strategies() []Strategy {
	sets := make([]similarity.Weights, len(m.measures))
	for i, text := range m.measures {
		var err error
		if sets[i], err = similarity.ParseWeights(text); err != nil {
			panic(err) // the table of modes is wrong
		}
	}
	return Combine(m.spaces, m.ks, sets, m.minSize)
}

func (m *mode) options() Options {
	return Options{
		Strategies:   m.strategies(),
		Sigma:        0.8,
		Connectivity: m.connectivity,
		Seed:         1,
		Unions:       m.unions,
		Joins:        m.joins,
	}
}

// modeStrategies returns the strategies of each of the modes.
var modeStrategies = sync.OnceValue(func() [][]Strategy {
	all := make([][]Strategy, len(modes))
	for i := range modes {
		all[i] = modes[i].strategies()
	}
	return all
})

// defaultRanker returns the ranker of the mode with the given strategies. If there is no such mode,
// or it has no ranker, it returns the one for the number of strategies.
func defaultRanker(strategies []Strategy) *objectness.Ranker {
	for i, s := range modeStrategies() {
		if slices.Equal(s, strategies) {
			if r := objectness.ForMode(modes[i].name); r != nil {
				return r
			}
		}
	}
	return objectness.Default(len(strategies))
}

// Combine returns a strategy for each combination of a color space, a scale and a set of
// similarity measures, in this order.
func Combine(spaces []raster.Space, ks []float64, sets []similarity.Weights, minSize int) []Strategy {
	all := make([]Strategy, 0, len(spaces)*len(ks)*len(sets))
	for _, space := range spaces {
		for _, k := range ks {
			for _, w := range sets {
				all = append(all, Strategy{Space: space, K: k, MinSize: minSize, Weights: w})
			}
		}
	}
	return all
}
