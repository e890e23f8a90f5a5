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

// Order is how the proposals of all strategies become one ranked list.
type Order uint8

const (
	// OrderPaper is the order of Uijlings et al. (§4.4): a region's position from
	// the root of its tree, times a random number in (0,1] that follows from
	// Options.Seed. The randomness keeps one tree's large regions from filling
	// the head of the list.
	OrderPaper Order = iota
	// OrderHierarchy is the position alone: the largest structures first.
	OrderHierarchy
	// OrderObjectness is that of Options.Ranker: by how much a box adds to those before
	// it, given how probably each holds an object.
	OrderObjectness
	orders
)

var orderNames = [orders]string{"paper", "hierarchy", "objectness"}

// String is the name by which ParseOrder knows the order.
func (o Order) String() string {
	if o < orders {
		return orderNames[o]
	}
	return fmt.Sprintf("Order(%d)", uint8(o))
}

// ParseOrder reads paper, hierarchy or objectness.
func ParseOrder(s string) (Order, error) {
	if i := slices.Index(orderNames[:], s); i >= 0 {
		return Order(i), nil
	}
	return 0, fmt.Errorf("order %q: want one of %s", s, strings.Join(orderNames[:], ", "))
}

// The bounds of Options. They keep a search that a stranger asked for finite.
const (
	MaxStrategies = 256
	MaxSigma      = 16.0
)

// Strategy is one way to group a picture's regions: one tree.
type Strategy struct {
	Space raster.Space
	// K is the scale of the segmentation: larger K, larger first regions. Above 0.
	K float64
	// MinSize is the smallest first region in pixels; 0 means K.
	MinSize int
	// Weights says which similarity measures count, and how much.
	Weights similarity.Weights
}

// LeastSize is MinSize, or what that stands for if it is 0.
func (s Strategy) LeastSize() int {
	if s.MinSize == 0 {
		return int(math.Round(s.K))
	}
	return s.MinSize
}

// Options says how to search. The zero value is not of use: begin with [Preset].
type Options struct {
	// Strategies are the trees to build, at least one, at most MaxStrategies.
	Strategies []Strategy
	// Sigma smooths the picture before the segmentation, in pixels: 0 to MaxSigma.
	Sigma float64
	// Connectivity is the grid of the segmentation.
	Connectivity segment.Connectivity
	Order        Order
	// Ranker tells how probably a box holds an object; OrderObjectness needs one.
	Ranker Ranker
	// Seed chooses the random numbers of OrderPaper.
	Seed uint64
	// NMS drops proposals that overlap a better one.
	NMS box.NMS
	// MinSide drops proposals whose width or height is smaller, in pixels. A picture
	// that is smaller itself has none.
	MinSide int
	// Max is how many proposals to return at most, the best ones; 0 means all.
	Max int
	// Threads bounds the goroutines that work at once; 0 means GOMAXPROCS.
	Threads int
	// MaxRegions is how many first regions a picture may fall into; 0 means
	// DefaultMaxRegions. A small K and MinSize make a region of every few pixels, and
	// each takes 2 KiB; photographs have one for some hundreds of pixels.
	MaxRegions int
	// Keep has the Result hold the Regions, too.
	Keep bool
}

// DefaultMaxRegions keeps the descriptors of a grouping below half a gigabyte.
const DefaultMaxRegions = 1 << 18

// A RegionsError is a picture that a strategy cuts into too many first regions.
type RegionsError struct {
	Strategy Strategy
	Regions  int
	Max      int
}

func (e *RegionsError) Error() string {
	return fmt.Sprintf("selective: %v with k %v makes %d first regions, more than %d: want a larger k, a larger min size or a smaller picture",
		e.Strategy.Space, e.Strategy.K, e.Regions, e.Max)
}

// Validate reports every setting that Search does not take.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := len(o.Strategies); n < 1 || n > MaxStrategies {
		bad("%d strategies: want 1 to %d", n, MaxStrategies)
	}
	for i, s := range o.Strategies {
		if !slices.Contains(raster.Spaces(), s.Space) {
			bad("strategy %d: unknown colour space %v", i, s.Space)
		}
		if !(s.K > 0 && s.K <= segment.MaxK) {
			bad("strategy %d: k = %v: want a number in (0,%g]", i, s.K, float64(segment.MaxK))
		}
		if s.MinSize < 0 {
			bad("strategy %d: min size %d: want 0 or more", i, s.MinSize)
		}
		if err := s.Weights.Validate(); err != nil {
			bad("strategy %d: %w", i, err)
		}
		if j := slices.Index(o.Strategies, s); j < i {
			bad("strategy %d is strategy %d again", i, j)
		}
	}
	if !(o.Sigma >= 0 && o.Sigma <= MaxSigma) {
		bad("sigma %v: want a number in [0,%g]", o.Sigma, MaxSigma)
	}
	if o.Connectivity != segment.Four && o.Connectivity != segment.Eight {
		bad("connectivity %d: want 4 or 8", o.Connectivity)
	}
	if o.Order >= orders {
		bad("%v: unknown", o.Order)
	}
	if o.Order == OrderObjectness && o.Ranker == nil {
		bad("order %v without a ranker: want one, as package objectness has it", o.Order)
	}
	if err := o.NMS.Validate(); err != nil {
		bad("NMS: %w", err)
	}
	for _, v := range []struct {
		name  string
		value int
	}{{"minimum side", o.MinSide}, {"maximum of proposals", o.Max}, {"threads", o.Threads}, {"maximum of regions", o.MaxRegions}} {
		if v.value < 0 {
			bad("%s %d: want 0 or more", v.name, v.value)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("selective: %w", errors.Join(errs...))
	}
	return nil
}
