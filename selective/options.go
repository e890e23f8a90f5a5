package selective

import (
	"fmt"
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
	orders
)

var orderNames = [orders]string{"paper", "hierarchy"}

// String is the name by which ParseOrder knows the order.
func (o Order) String() string {
	if o < orders {
		return orderNames[o]
	}
	return fmt.Sprintf("Order(%d)", uint8(o))
}

// ParseOrder reads paper or hierarchy.
func ParseOrder(s string) (Order, error) {
	if i := slices.Index(orderNames[:], s); i >= 0 {
		return Order(i), nil
	}
	return 0, fmt.Errorf("order %q: want %s", s, strings.Join(orderNames[:], " or "))
}

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

// Options says how to search. The zero value is not of use: begin with a Preset.
type Options struct {
	// Strategies are the trees to build, at least one, at most MaxStrategies.
	Strategies []Strategy
	// Sigma smooths the picture before the segmentation, in pixels: 0 to MaxSigma.
	Sigma float64
	// Connectivity is the grid of the segmentation.
	Connectivity segment.Connectivity
	Order        Order
	// Seed chooses the random numbers of OrderPaper.
	Seed uint64
	// NMS drops proposals that overlap a better one.
	NMS box.NMS
	// MinSide drops proposals whose width or height is smaller, in pixels.
	// The whole picture always stays.
	MinSide int
	// Max is how many proposals to return at most, the best ones; 0 means all.
	Max int
	// Threads bounds the goroutines that work at once; 0 means GOMAXPROCS.
	Threads int
}
