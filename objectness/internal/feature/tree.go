package feature

import (
	"math/bits"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/kernels"
)

// treeCounts are the numbers of nodes, strategies and color spaces whose box is the
// candidate's, and the share of the nodes that are initial regions.
var treeCounts = section{
	names: []string{"trees.nodes", "trees.strategies", "trees.spaces", "trees.leaves"},
	fill:  fillTreeCounts,
}

// treeStatistics are the maximum, the mean and the minimum, over the nodes whose box is the
// candidate's, of: the position in the tree; the similarities at which the region was born
// and merged away, and the difference of the two; the share of the box that the region
// fills; the growth of the box and of the pixels when the region is merged.
var treeStatistics = section{
	names: func() (names []string) {
		for _, statistic := range [numStatistics]string{"max", "mean", "min"} {
			for _, value := range [...]string{"position", "birth", "death", "life", "fill", "grow", "parent"} {
				names = append(names, "trees."+value+"."+statistic)
			}
		}
		return names
	}(),
	fill: fillTreeStatistics,
}

const numStatistics = 3

// unionParts say of which kind a candidate is and, of unions and of joins of two nodes, else 0: the
// similarity of the two regions, 0 of a join, and how much it is below the larger of those at which
// they were merged away; the share of the smaller region in the pixels of both; the share of the box
// that both fill, and that the larger of their boxes fills. Of a union, all but the similarity are
// those of the first pair.
var unionParts = section{
	names: []string{"trees.kind", "trees.similarity", "trees.margin", "trees.share", "trees.cover", "trees.part"},
	fill:  fillUnionParts,
}

// leafBirth stands for the birth of an initial region, which was not merged: it exceeds the
// sum of four similarities of at most 1.
const leafBirth = 4

// originNode is what is read from the node of an origin, and from its parent unless parent is
// negative.
type originNode struct {
	leaf                   bool
	parent                 int32
	area                   float32 // of the box
	parentArea, parentSize float32
}

// gatherNodes reads the nodes of all origins, and then their parents.
func (b *Block) gatherNodes(trees []*hierarchy.Tree) {
	b.origins = b.origins[:0]
	for i := range b.candidates {
		for _, o := range b.candidates[i].Origins {
			nodes := trees[o.Strategy].Nodes
			n := &nodes[len(nodes)-int(o.Position)]
			b.origins = append(b.origins, originNode{leaf: n.Children[0] < 0, parent: n.Parent, area: float32(n.Box.Area())})
		}
	}
	next := 0
	for i := range b.candidates {
		for _, o := range b.candidates[i].Origins {
			origin := &b.origins[next]
			next++
			if origin.parent >= 0 {
				n := &trees[o.Strategy].Nodes[origin.parent]
				origin.parentArea = float32(n.Box.Area())
				origin.parentSize = float32(n.Size)
			}
		}
	}
}

// fillTreeCounts also collects the values of treeStatistics in b.nodes.
func fillTreeCounts(e *Extractor, b *Block, dst Columns) {
	b.nodes = b.nodes[:0]
	origins := b.origins
	for i := range b.candidates {
		c := &b.candidates[i]
		area := float32(c.Box.Area())
		var spaces uint64
		strategies, last, leaves := float32(0), int32(-1), float32(0)
		for k, o := range c.Origins {
			if o.Strategy != last { // origins are in the order of the strategies
				strategies++
				last = o.Strategy
			}
			spaces |= 1 << (e.spaces[o.Strategy] % 64)
			origin, birth, size := &origins[k], o.Birth, float32(o.Size)
			if origin.leaf {
				leaves++
				birth = leafBirth
			}
			node := row{log2(float32(o.Position)), birth, o.Death, birth - o.Death, size / area}
			if origin.parent >= 0 {
				node[5] = log2(origin.parentArea / area)
				node[6] = log2(origin.parentSize / size)
			}
			b.nodes = append(b.nodes, node)
		}
		origins = origins[len(c.Origins):]
		b.counts[i] = int32(len(c.Origins))
		n := float32(len(c.Origins))
		put(dst, i, log2(n), strategies, float32(bits.OnesCount64(spaces)), leaves/n)
	}
}

func fillTreeStatistics(_ *Extractor, b *Block, dst Columns) {
	n := len(b.candidates)
	kernels.MaxMeanMin(b.statistics[:numStatistics*n], b.nodes, b.counts[:n])
	kernels.TransposeBlock(dst, b.statistics[:])
}

func fillUnionParts(_ *Extractor, b *Block, dst Columns) {
	origins := b.origins
	for i := range b.candidates {
		c := &b.candidates[i]
		var similarity, margin, share, cover, part float32
		if c.Kind.Parts(len(c.Origins)) == 2 {
			x, y := c.Origins[0], c.Origins[1]
			area, size := float32(c.Box.Area()), float32(x.Size)+float32(y.Size)
			similarity = c.Similarity
			margin = max(x.Death, y.Death) - similarity
			share = float32(min(x.Size, y.Size)) / size
			cover = size / area
			part = max(origins[0].area, origins[1].area) / area
		}
		origins = origins[len(c.Origins):]
		put(dst, i, float32(c.Kind), similarity, margin, share, cover, part)
	}
}
