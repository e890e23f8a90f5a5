// Package feature computes the features by which package objectness ranks candidates. They
// rest on evidence that a selective search has anyway, or that costs next to nothing.
//
// Features come in sections, each of which has the names of its features, their mirror images
// and their computation in one place; the files tree.go, geometry.go, overlap.go and
// appearance.go hold one kind of evidence each. A model file stores the names of all
// features, so their order is part of its format.
//
// A float32 product that is added to something is converted first, so that it is not fused
// with the sum: features are equal on all machines, to the bit.
package feature

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/raster"
)

// BlockSize is the number of candidates that are described together.
const BlockSize = 64

// Columns hold the values of features for a block of candidates, one feature after another.
type Columns = [][BlockSize]float32

// A section is a range of features that are computed together.
type section struct {
	// names are the features'. The part before the first point is the group.
	names []string
	// mirror maps each feature to the one that has its value in the mirrored image, both by
	// index in the section. Nil is the identity.
	mirror []int
	// fill writes the features of the first b.n candidates to dst.
	fill func(e *Extractor, b *Block, dst Columns)
}

// sections are in the order of the model file. The order is also that of their computation:
// treeStatistics uses what treeCounts collects.
var sections = []section{treeCounts, geometry, overlaps, treeStatistics, appearance, grid, unionParts}

var names = func() (all []string) {
	for _, s := range sections {
		all = append(all, s.names...)
	}
	return all
}()

// Names returns the names of all features, in the order of the columns.
func Names() []string { return slices.Clone(names) }

// Count returns the number of features.
func Count() int { return len(names) }

// Group returns the group of the feature with a name.
func Group(name string) string {
	group, _, _ := strings.Cut(name, ".")
	return group
}

// Groups returns the names of the groups.
func Groups() (groups []string) {
	for _, name := range names {
		if g := Group(name); !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return groups
}

// Mirror returns, for each feature, the index of the one that has its value if the image is
// mirrored left to right.
func Mirror() []int {
	all := make([]int, 0, len(names))
	for _, s := range sections {
		start := len(all)
		for i := range s.names {
			if s.mirror != nil {
				i = s.mirror[i]
			}
			all = append(all, start+i)
		}
	}
	return all
}

// An Extractor holds what the features of all candidates of a set are computed from. It
// reuses its memory. Once reset, it is safe for concurrent use.
type Extractor struct {
	set      *candidate.Set
	spaces   []uint8 // by tree: index of its color space
	integral integralImage
}

// Reset prepares for the candidates of a set, in time linear in the pixels of its image, unless
// that is the image of the set before and Release was not called. The only error is the context's.
func (e *Extractor) Reset(ctx context.Context, set *candidate.Set) error {
	sameImage := e.set != nil && e.set.Image == set.Image
	e.spaces = e.spaces[:0]
	var seen []raster.Space
	for _, space := range set.Spaces {
		i := slices.Index(seen, space)
		if i < 0 {
			i = len(seen)
			seen = append(seen, space)
		}
		e.spaces = append(e.spaces, uint8(i))
	}
	e.set = set
	if sameImage {
		return nil
	}
	if err := e.integral.build(ctx, set.Image); err != nil {
		e.set = nil
		return err
	}
	return nil
}

// Release drops the reference to the set.
func (e *Extractor) Release() { e.set = nil }

// A Block holds the features of up to BlockSize candidates. It reuses its memory.
type Block struct {
	Columns Columns

	candidates []candidate.Candidate
	origins    []originNode // of all candidates, one candidate after another
	nodes      []row        // by origin: the values of treeStatistics
	counts     [BlockSize]int32
	histograms [BlockSize]candidate.Histogram
	statistics [numStatistics * BlockSize]row

	rects      rectList // two of each candidate: its box, and the box with a ring around it
	rectCells  [maxRects]int
	means      [maxRects]row
	appearance [2 * BlockSize]row

	grids     [BlockSize]kernels.Grid
	gridCells []row
}

// maxOrigins bounds the memory that a block keeps. Photographs have far fewer origins in a
// block, but all regions of an image may have one box.
const maxOrigins = 1 << 16

// Compute computes the features of the candidates from to to−1 of the extractor's set, at
// most BlockSize.
func (b *Block) Compute(e *Extractor, from, to int) {
	b.Columns = freelist.Resize(b.Columns, len(names))
	b.gather(e, from, to)
	at := 0
	for i := range sections {
		s := &sections[i]
		s.fill(e, b, b.Columns[at:at+len(s.names)])
		at += len(s.names)
	}
	b.candidates = nil
	if cap(b.origins) > maxOrigins {
		b.origins = nil
		b.nodes = nil
	}
}

// gather reads what the features need from memory that is far away, in loops so short that
// the processor has the cache misses of many candidates under way at a time.
func (b *Block) gather(e *Extractor, from, to int) {
	b.candidates = e.set.Candidates[from:to]
	for i := range b.candidates {
		b.histograms[i] = e.set.OverlapHistogram(from + i)
	}
	b.gatherNodes(e.set.Trees)
	b.gatherMeans(&e.integral)
}

// put writes the values of candidate i of a block to consecutive columns.
func put(dst Columns, i int, values ...float32) {
	dst = dst[:len(values)]
	for k, v := range values {
		dst[k][i%BlockSize] = v
	}
}

// log2 is exact at the powers of two and linear in between, which is the same on every
// machine and keeps the order. Of 0 it is −127.
func log2(v float32) float32 {
	const one, mantissaBits = 127, 23
	return float32(math.Float32bits(v))/(1<<mantissaBits) - one
}
