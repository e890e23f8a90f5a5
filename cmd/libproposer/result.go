package main

/*
#include "internal.h"
#include "proposer.h"
*/
import "C"

import (
	"context"
	"math"
	"unsafe"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/propose"
)

// An arena is one block of C memory, from which a result and all that it points to is taken, so that
// free frees them together.
type arena struct {
	block unsafe.Pointer
	used  uintptr
}

// newArena allocates size bytes with malloc.
func newArena(size uintptr) (*arena, error) {
	block := C.proposer_alloc(C.size_t(size))
	if block == nil {
		return nil, errNoMemory
	}
	return &arena{block: block}, nil
}

// take returns the next n values of the block, which are aligned if those of larger types are
// taken first.
func take[T any](a *arena, n int) []T {
	var zero T
	values := unsafe.Slice((*T)(unsafe.Add(a.block, a.used)), n)
	a.used += uintptr(n) * unsafe.Sizeof(zero)
	return values
}

// text copies s to the block, with a NUL at its end.
func (a *arena) text(s string) *C.char {
	b := take[byte](a, len(s)+1)
	copy(b, s)
	b[len(s)] = 0
	return (*C.char)(unsafe.Pointer(&b[0]))
}

// newResult returns a result in C memory.
func newResult(ctx context.Context, r *propose.Result, withMasks bool) (*C.proposer_result, error) {
	n := len(r.Boxes)
	size := unsafe.Sizeof(C.proposer_result{}) + uintptr(n)*(4*4+4) + uintptr(len(r.Warning)+1)
	var masks []string
	if withMasks {
		all, err := r.Masks(ctx, math.MaxInt64)
		if err != nil {
			return nil, err
		}
		masks = make([]string, n)
		for i, m := range all {
			masks[i] = m.String()
			size += unsafe.Sizeof((*C.char)(nil)) + uintptr(len(masks[i])+1)
		}
	}
	a, err := newArena(size)
	if err != nil {
		return nil, err
	}
	c := &take[C.proposer_result](a, 1)[0]
	texts := take[*C.char](a, len(masks))
	boxes := take[[4]C.int32_t](a, n)
	scores := take[C.float](a, n)
	for i, b := range r.Boxes {
		boxes[i] = [4]C.int32_t{C.int32_t(b.X0), C.int32_t(b.Y0), C.int32_t(b.X1), C.int32_t(b.Y1)}
		scores[i] = C.float(r.Scores[i])
	}
	for i, m := range masks {
		texts[i] = a.text(m)
	}
	*c = C.proposer_result{
		width: C.int32_t(r.Width), height: C.int32_t(r.Height), count: C.size_t(n),
		boxes: (*C.int32_t)(unsafe.Pointer(unsafe.SliceData(boxes))), scores: unsafe.SliceData(scores),
	}
	if withMasks {
		c.masks = unsafe.SliceData(texts)
	}
	if r.Warning != "" {
		c.warning = a.text(r.Warning)
	}
	return c, nil
}

// newLabels returns a label image in C memory.
func newLabels(s *propose.Segmentation) (*C.proposer_labels, error) {
	return labelsInC(s.Width, s.Height, s.Regions, s.Labels, s.Warning)
}

// labelsInC returns a label image in C memory.
func labelsInC(width, height, regions int, pix []int32, warning string) (*C.proposer_labels, error) {
	n := len(pix)
	a, err := newArena(unsafe.Sizeof(C.proposer_labels{}) + uintptr(n)*4 + uintptr(len(warning)+1))
	if err != nil {
		return nil, err
	}
	c := &take[C.proposer_labels](a, 1)[0]
	labels := take[int32](a, n)
	copy(labels, pix)
	*c = C.proposer_labels{
		width: C.int32_t(width), height: C.int32_t(height), count: C.int32_t(regions),
		labels: (*C.int32_t)(unsafe.SliceData(labels)),
	}
	if warning != "" {
		c.warning = a.text(warning)
	}
	return c, nil
}

// newTree returns the merge tree of the only strategy of a search in C memory.
func newTree(ctx context.Context, r *propose.Result) (*C.proposer_merge_tree, error) {
	tree, err := r.Tree(ctx, 0)
	if err != nil {
		return nil, err
	}
	pix, err := r.Labels(ctx, 0)
	if err != nil {
		return nil, err
	}
	return treeInC(r.Width, r.Height, tree.Nodes, pix)
}

// treeInC returns a merge tree in C memory. pix holds the leaf of each pixel.
func treeInC(width, height int, tree []hierarchy.Node, pix []int32) (*C.proposer_merge_tree, error) {
	a, err := newArena(unsafe.Sizeof(C.proposer_merge_tree{}) +
		uintptr(len(tree))*unsafe.Sizeof(C.proposer_node{}) + uintptr(len(pix))*4)
	if err != nil {
		return nil, err
	}
	c := &take[C.proposer_merge_tree](a, 1)[0]
	nodes := take[C.proposer_node](a, len(tree))
	labels := take[int32](a, len(pix))
	copy(labels, pix)
	for i, n := range tree {
		nodes[i] = C.proposer_node{
			box:  [4]C.int32_t{C.int32_t(n.Box.X0), C.int32_t(n.Box.Y0), C.int32_t(n.Box.X1), C.int32_t(n.Box.Y1)},
			size: C.int32_t(n.Size), parent: C.int32_t(n.Parent), similarity: C.float(n.Similarity),
			children: [2]C.int32_t{C.int32_t(n.Children[0]), C.int32_t(n.Children[1])},
		}
	}
	*c = C.proposer_merge_tree{
		width: C.int32_t(width), height: C.int32_t(height),
		leaves: C.int32_t((len(tree) + 1) / 2), count: C.int32_t(len(nodes)),
		labels: (*C.int32_t)(unsafe.SliceData(labels)), nodes: unsafe.SliceData(nodes),
	}
	return c, nil
}
