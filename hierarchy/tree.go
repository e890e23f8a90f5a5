// Package hierarchy groups the regions of a segmentation into a merge tree (Uijlings et
// al., IJCV 2013, algorithm 1): it merges the two most similar neighbors until one region,
// the whole image, is left.
//
// Similarity is defined by the caller: [Grouper.Group] works on any [Measure].
package hierarchy

import "github.com/proposer/proposer/box"

// Tree is a merge tree. R initial regions give 2R−1 nodes: the leaves 0..R−1 in the order
// of their labels, then the merged regions in the order of the merges. The last node is
// the root.
type Tree struct {
	Nodes []Node
	// Pairs are the last of the pairs of touching regions that existed at the same time, at most
	// Grouper.MaxPairs, in the order in which the second region of each was created. Most of
	// them were not merged with each other.
	Pairs []Pair
}

// Pair is two regions of a merge tree that touch, and existed at the same time.
type Pair struct {
	// A and B are the numbers of the regions, A < B.
	A, B int32
	// Similarity is that of the two regions.
	Similarity float32
}

// Node is a region of a merge tree.
type Node struct {
	Box box.Box
	// Size is the number of pixels of the region.
	Size int32
	// Children holds the numbers of the two regions that were merged into this one, the
	// smaller number first; −1 and −1 for a leaf.
	Children [2]int32
	// Parent is the number of the region that this one was merged into; −1 for the root.
	Parent int32
	// Similarity is the similarity of the two children when they were merged; +Inf for a
	// leaf.
	Similarity float32
}

// Leaves returns the number of initial regions.
func (t *Tree) Leaves() int { return (len(t.Nodes) + 1) / 2 }

// Position returns the position of a node, counted from the root: 1 for the root, 2 for
// the region merged last before it, and so on to the leaves.
func (t *Tree) Position(node int) int { return len(t.Nodes) - node }

// At returns the number of the node at a position; it is the inverse of Position.
func (t *Tree) At(position int) int { return len(t.Nodes) - position }
