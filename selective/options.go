package selective

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/similarity"
)

// An Order is a way to rank the candidates of all strategies.
type Order uint8

const (
	// OrderObjectness, the default, is a greedy coverage order: each proposal is the candidate
	// that adds most to those before it, given the probabilities of Options.Ranker that
	// candidates contain an object. See [candidate.Set.CoverageOrder].
	OrderObjectness Order = iota
	// OrderPaper is the order of Uijlings et al. (§4.4): the position of a region in its tree,
	// counted from the root, times a random number in (0,1] that is drawn from Options.Seed. The
	// randomness keeps the large regions of one tree from filling the head of the list.
	OrderPaper
	// OrderHierarchy is the position without the randomness: the largest structures first.
	OrderHierarchy
	numOrders
)

var orderNames = [numOrders]string{"objectness", "paper", "hierarchy"}

// String returns the name of the order as [ParseOrder] reads it.
func (o Order) String() string {
	if o < numOrders {
		return orderNames[o]
	}
	return fmt.Sprintf("Order(%d)", uint8(o))
}

// ParseOrder returns the order with the name objectness, paper or hierarchy.
func ParseOrder(s string) (Order, error) {
	if i := slices.Index(orderNames[:], s); i >= 0 {
		return Order(i), nil
	}
	return 0, fmt.Errorf("order %q: want one of %s", s, strings.Join(orderNames[:], ", "))
}

// Bounds of Options, which keep the work of a request from untrusted clients finite.
const (
	MaxStrategies = 256
	MaxSigma      = 16.0
	MaxUnions     = 1 << 17
	MaxJoins      = 10_000
)

// A Strategy is one way to group the regions of an image: one tree.
type Strategy struct {
	// Space is the color space that the image is converted to, or [Given] of an image of
	// Options.Images, which is used as it is.
	Space raster.Space
	// K is the scale of the segmentation: the larger, the larger are the initial regions. It
	// is positive and at most [segment.MaxK].
	K float64
	// MinSize is the smallest size of an initial region in pixels; 0 stands for K.
	MinSize int
	// Weights are those of the similarity measures.
	Weights similarity.Weights
	// Sigma replaces Options.Sigma if it is not 0.
	Sigma float64
}

// MaxImages is the largest number of Options.Images.
const MaxImages = 1 << 7

// firstGiven is the space of the first image of Options.Images. No color space is as large.
const firstGiven = raster.Space(math.MaxUint8 + 1 - MaxImages)

// Given returns the space of strategies that use Options.Images[i]. It panics if i is not below
// MaxImages.
func Given(i int) raster.Space {
	if i < 0 || i >= MaxImages {
		panic(fmt.Sprintf("selective: Given(%d): want 0 to %d", i, MaxImages-1))
	}
	return firstGiven + raster.Space(i)
}

// given returns the index in Options.Images of the image of a space, and whether there is one.
func given(space raster.Space) (int, bool) { return int(space) - int(firstGiven), space >= firstGiven }

// spaceName returns the name of a color space or a given image in messages.
func spaceName(space raster.Space) string {
	if i, ok := given(space); ok {
		return fmt.Sprintf("image %d", i)
	}
	return space.String()
}

// EffectiveMinSize returns MinSize, or the value that it stands for if it is 0.
func (s Strategy) EffectiveMinSize() int {
	if s.MinSize == 0 {
		return int(math.Round(s.K))
	}
	return s.MinSize
}

// Options configure a search. The zero value is not valid: begin with a mode, such as
// [Fast], and change what should differ.
type Options struct {
	// Strategies are the trees to build: 1 to MaxStrategies, all different.
	Strategies []Strategy
	// Images are further images of what is searched, such as its conversion to a color space
	// that package raster does not have: at most MaxImages, of the same size, in RGB or Gray,
	// which here says only how many planes there are. Strategies use them by [Given].
	Images []*raster.Image
	// Sigma is the standard deviation, in pixels, of the Gaussian that smooths the image before
	// the segmentation: 0 to MaxSigma.
	Sigma float64
	// Connectivity is that of the pixel grid in the segmentation.
	Connectivity segment.Connectivity
	// Order is that of the proposals.
	Order Order
	// Ranker estimates how likely a candidate contains an object, for OrderObjectness. Nil
	// stands for that of the mode with the same strategies, see [New].
	Ranker Ranker
	// Unions is the maximum number of candidates that are unions of two touching regions of one
	// tree, which no tree holds: 0 to MaxUnions. Only OrderObjectness has them. See
	// [candidate.Set.AddUnions].
	Unions int
	// Joins is the maximum number of candidates that are joined from two of the best, 0 to
	// MaxJoins. The first Joins of the order are joined, each with up to five, until there are as
	// many. Only OrderObjectness has them. See [candidate.Set.AddJoins].
	Joins int
	// Seed is the seed of OrderPaper.
	Seed uint64
	// NMS suppresses proposals that overlap a better one.
	NMS box.NMS
	// MinSide drops boxes whose width or height is smaller, in pixels. All boxes of an image that
	// is smaller itself are dropped.
	MinSide int
	// Keep drops boxes for which it returns false, unless it is nil. Like MinSide it applies
	// before the boxes are ranked, so that Max of the others are returned. See [box.Filter].
	Keep func(b box.Box) bool
	// Max is the maximum number of proposals, the best ones; 0 means all.
	Max int
	// Threads is the maximum number of goroutines that work at a time; 0 means GOMAXPROCS.
	Threads int
	// MaxRegions is the maximum number of initial regions in an image; 0 means
	// DefaultMaxRegions. Photographs have one for some hundreds of pixels, but a small K and
	// MinSize make one of every few pixels, of 2 KiB each.
	MaxRegions int
	// MaxTotalRegions is the maximum number of initial regions of all strategies together; 0 means no
	// limit. The merge tree of a strategy and its candidates take 700 bytes for each of them.
	MaxTotalRegions int
	// KeepRegions keeps the pixels of the tree nodes in Result.Regions.
	KeepRegions bool
}

// DefaultMaxRegions keeps the descriptors of one grouping below half a gigabyte.
const DefaultMaxRegions = 1 << 18

// A TooManyRegionsError reports that a strategy cuts an image into too many initial regions.
type TooManyRegionsError struct {
	Strategy Strategy
	Regions  int
	Max      int
	// Total reports whether Regions and Max include the strategies before Strategy.
	Total bool
}

func (e *TooManyRegionsError) Error() string {
	if e.Total {
		return fmt.Sprintf("selective: the strategies up to %s with k %v make %d initial regions, more than %d: want fewer strategies, a larger k, a larger min size or a smaller image",
			spaceName(e.Strategy.Space), e.Strategy.K, e.Regions, e.Max)
	}
	return fmt.Sprintf("selective: %s with k %v makes %d initial regions, more than %d: want a larger k, a larger min size or a smaller image",
		spaceName(e.Strategy.Space), e.Strategy.K, e.Regions, e.Max)
}

// Validate returns an error that joins all invalid options, or nil.
func (o Options) Validate() error {
	var errs []error
	invalid := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := len(o.Strategies); n < 1 || n > MaxStrategies {
		invalid("%d strategies: want 1 to %d", n, MaxStrategies)
	}
	if n := len(o.Images); n > MaxImages {
		invalid("%d images: want at most %d", n, MaxImages)
	}
	for i, s := range o.Strategies {
		if err := s.validate(len(o.Images)); err != nil {
			invalid("strategy %d: %w", i, err)
		}
		if j := slices.Index(o.Strategies[:i], s); j >= 0 {
			invalid("strategy %d equals strategy %d: want different strategies", i, j)
		}
	}
	if !(o.Sigma >= 0 && o.Sigma <= MaxSigma) {
		invalid("sigma %v: want a number in [0,%g]", o.Sigma, MaxSigma)
	}
	if o.Connectivity != segment.Four && o.Connectivity != segment.Eight {
		invalid("connectivity %d: want 4 or 8", o.Connectivity)
	}
	if o.Order >= numOrders {
		invalid("unknown order %v: want one of %s", o.Order, strings.Join(orderNames[:], ", "))
	}
	if o.Unions < 0 || o.Unions > MaxUnions {
		invalid("%d unions: want 0 to %d", o.Unions, MaxUnions)
	}
	if o.Joins < 0 || o.Joins > MaxJoins {
		invalid("%d joins: want 0 to %d", o.Joins, MaxJoins)
	}
	if err := o.NMS.Validate(); err != nil {
		invalid("NMS: %w", err)
	}
	for _, v := range []struct {
		name  string
		value int
	}{
		{"minimum side", o.MinSide},
		{"maximum number of proposals", o.Max},
		{"number of threads", o.Threads},
		{"maximum number of regions", o.MaxRegions},
		{"maximum number of regions of all strategies", o.MaxTotalRegions},
	} {
		if v.value < 0 {
			invalid("%s %d: want 0 or more", v.name, v.value)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("selective: %w", errors.Join(errs...))
	}
	return nil
}

// validate returns an error that joins what is invalid in a strategy of a search with a number
// of given images, or nil.
func (s Strategy) validate(images int) error {
	var errs []error
	if i, ok := given(s.Space); ok {
		if i >= images {
			errs = append(errs, fmt.Errorf("image %d of %d", i, images))
		}
	} else if !slices.Contains(raster.Spaces(), s.Space) {
		errs = append(errs, fmt.Errorf("unknown color space %v", s.Space))
	}
	if !(s.Sigma >= 0 && s.Sigma <= MaxSigma) {
		errs = append(errs, fmt.Errorf("sigma %v: want a number in [0,%g]", s.Sigma, MaxSigma))
	}
	if !(s.K > 0 && s.K <= segment.MaxK) {
		errs = append(errs, fmt.Errorf("k = %v: want a number in (0,%g]", s.K, float64(segment.MaxK)))
	}
	if s.MinSize < 0 {
		errs = append(errs, fmt.Errorf("min size %d: want 0 or more", s.MinSize))
	}
	if err := s.Weights.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
