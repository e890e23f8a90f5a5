package selective

import (
	"fmt"
	"strings"

	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// preset is a named product of colour spaces, scales and measures.
type preset struct {
	name     string
	spaces   []raster.Space
	ks       []float64
	measures []string
	minSize  int
	grid     segment.Connectivity
}

// The first three are the paper's (table 5), with its smallest first region of k pixels;
// best is our own: fast with more groupings, which cost next to nothing. The others are
// what OpenCV's ximgproc runs under these names.
var presets = []preset{
	{
		"single",
		[]raster.Space{raster.HSV},
		[]float64{100},
		[]string{"CTSF"},
		0, segment.Eight,
	},
	{
		"fast",
		[]raster.Space{raster.HSV, raster.Lab},
		[]float64{50, 100},
		[]string{"CTSF", "TSF"},
		0, segment.Eight,
	},
	{
		"quality",
		[]raster.Space{raster.HSV, raster.Lab, raster.RgI, raster.Hue, raster.Gray},
		[]float64{50, 100, 150, 300},
		[]string{"CTSF", "TSF", "F", "S"},
		0, segment.Eight,
	},
	{
		"best",
		[]raster.Space{raster.HSV, raster.Lab},
		[]float64{50, 100},
		[]string{"CTSF", "TSF", "F", "S"},
		0, segment.Eight,
	},
	{
		"opencv-single",
		[]raster.Space{raster.HSV},
		[]float64{200},
		[]string{"CTSF"},
		100, segment.Four,
	},
	{
		"opencv-fast",
		[]raster.Space{raster.HSV, raster.Lab},
		[]float64{150, 300, 450},
		[]string{"CTSF", "TSF"},
		100, segment.Four,
	},
	{
		"opencv-quality",
		[]raster.Space{raster.HSV, raster.Lab, raster.Gray, raster.Hue, raster.RGGray},
		[]float64{150, 300, 450, 600, 750},
		[]string{"CTSF", "TSF", "F", "S"},
		100, segment.Four,
	},
}

// PresetNames lists the presets.
func PresetNames() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.name
	}
	return names
}

// Preset gives the options of a preset, to be changed at will:
//
//	single          1 tree     HSV; k 100; CTSF
//	fast            8 trees    HSV, Lab; k 50, 100; CTSF, TSF
//	quality         80 trees   HSV, Lab, rgI, H, I; k 50, 100, 150, 300; CTSF, TSF, F, S
//	best            16 trees   HSV, Lab; k 50, 100; CTSF, TSF, F, S
//	opencv-single   1 tree     HSV; k 200; CTSF
//	opencv-fast     12 trees   HSV, Lab; k 150, 300, 450; CTSF, TSF
//	opencv-quality  100 trees  HSV, Lab, I, H, R-G-I; k 150, 300, 450, 600, 750; CTSF, TSF, F, S
//
// The first three are those of Uijlings et al. (IJCV 2013, table 5); best is fast
// with groupings that cost little and find more, and not the paper's; the others do the
// work of OpenCV's switchTo… functions, with its first regions of at least 100 pixels and
// its four neighbours.
func Preset(name string) (Options, error) {
	for _, p := range presets {
		if p.name != name {
			continue
		}
		var sets []similarity.Weights
		for _, m := range p.measures {
			w, err := similarity.ParseWeights(m)
			if err != nil {
				panic(err) // the table above is wrong
			}
			sets = append(sets, w)
		}
		return Options{
			Strategies:   Combine(p.spaces, p.ks, sets, p.minSize),
			Sigma:        0.8,
			Connectivity: p.grid,
			Order:        OrderPaper,
			Seed:         1,
		}, nil
	}
	return Options{}, fmt.Errorf("mode %q: want one of %s", name, strings.Join(PresetNames(), ", "))
}

// Combine makes a strategy of every colour space with every scale and every set of measures.
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
