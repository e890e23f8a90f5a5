package segment

import (
	"context"
	"math/bits"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

const (
	tileBits   = 6
	tileSide   = 1 << tileBits
	tilePixels = tileSide * tileSide
	tileMask   = tilePixels - 1
	// lightLimit bounds the weights of the edges that join the pixels of a tile: 32 gray
	// levels. Few edges are heavier, and those are left to the next step.
	lightLimit = 32 * weightScale
)

// tile is a rectangle of the image, up to tileSide pixels wide and high.
type tile struct {
	left, top, right, bottom int
	first                    int32 // the number of its first component among those of all tiles
	components               []component
}

// label is the component of a pixel: its number within the tile in the lower bits, and above
// them the parities of the tile's row and column, so that pixels of adjacent tiles never have
// the same label.
type label uint16

// local returns the number of the component within its tile.
func (l label) local() int { return int(l & tileMask) }

// tileParity returns the parities of a tile's row and column as label bits.
func tileParity(row, column int) label { return label(row%2*2+column%2) * tilePixels }

// tileJoiner joins the pixels of a tile to components. Its part that is used for a
// photograph's tile takes 150 KB.
type tileJoiner struct {
	kept    [directions][tileSide]uint16 // of a row: the weights of the edges that may join anything
	keys    []uint32                     // edgeKey, in the order of their numbers
	sorted  []uint32                     // edgeKey, ascending
	counts  [lightLimit]uint32           // by weight
	emitted [tilePixels]component

	// Disjoint sets as in disjointSets, but packed more tightly.
	root, next [tilePixels]uint16
	isRoot     [tileSide]uint64 // by row, a bit for each pixel
	sets       [tilePixels]tileSet
	internal   [tilePixels]uint16 // Int(C) of a root
}

// tileSet is the set of a root.
type tileSet struct {
	threshold threshold // at most lastWeight
	size      uint16
	// lastWeight is the largest weight below that of the lightest edge that leaves the tile:
	// from that edge on the set is blocked. It is at least 0, because edges of weight 0 join
	// whatever they meet, in any order, as no threshold is below 0. Without that exception,
	// the pixels of a flat tile would not be joined.
	lastWeight uint16
}

// join joins the pixels of tile i.
func (t *tileJoiner) join(ctx context.Context, g *Graph, i int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tile := &g.tiles[i]
	t.listEdges(tile, &g.weights)
	t.sortEdges()
	t.init(tile, &g.weights, g.minScale)
	t.mergeEdges(g.minScale)
	t.emitComponents(tile, g, tileParity(i/g.columns, i%g.columns))
	return nil
}

// listEdges lists the light edges within a tile in the order of their numbers, without
// those that come last in a cycle.
func (t *tileJoiner) listEdges(tile *tile, w *edgeWeights) {
	t.keys = freelist.Resize(t.keys, directions*tilePixels+kernels.EdgeKeyPadding)
	n, width := 0, tile.right-tile.left
	for y := tile.top; y < tile.bottom; y++ {
		var kept, above, here [directions][]uint16
		for d := range w.directions() {
			kept[d] = t.kept[d][:width]
			above[d] = w.padded(d, y-1)[tile.left : tile.right+2]
			here[d] = w.padded(d, y)[tile.left : tile.right+2]
		}
		rightBelow := w.padded(right, y+1)[tile.left : tile.right+2]
		if w.connectivity == Four {
			kernels.PruneEdges4((*[2][]uint16)(kept[:]), (*[2][]uint16)(above[:]), (*[2][]uint16)(here[:]), rightBelow)
		} else {
			kernels.PruneEdges8(&kept, &above, &here, rightBelow)
		}

		// Remove the edges to other tiles.
		kept[right][width-1] = noEdge
		if w.connectivity == Eight {
			kept[downRight][width-1], kept[downLeft][0] = noEdge, noEdge
		}
		if y == tile.bottom-1 {
			for d := down; d < w.directions(); d++ {
				copy(kept[d], noEdges[:])
			}
		}
		n += edgeKeys(t.keys[n:], uint32(y-tile.top)<<tileBits, lightLimit, &kept)
	}
	t.keys = t.keys[:n]
}

// sortEdges sorts the edges by weight, stably.
func (t *tileJoiner) sortEdges() {
	clear(t.counts[:])
	for _, key := range t.keys {
		t.counts[edgeKey(key).weight()%lightLimit]++
	}
	total := uint32(0)
	for w, count := range t.counts {
		t.counts[w] = total
		total += count
	}
	t.sorted = freelist.Resize(t.sorted, len(t.keys))
	for _, key := range t.keys {
		at := &t.counts[edgeKey(key).weight()%lightLimit]
		t.sorted[*at] = key
		*at++
	}
}

var noEdges = func() (s [tileSide]uint16) {
	for i := range s {
		s[i] = noEdge
	}
	return s
}()

var identity = func() (s [tilePixels]uint16) {
	for i := range s {
		s[i] = uint16(i)
	}
	return s
}()

// init makes a set of each pixel of a tile.
func (t *tileJoiner) init(tile *tile, w *edgeWeights, scale uint32) {
	width, height := tile.right-tile.left, tile.bottom-tile.top
	t.root, t.next = identity, identity
	t.sets[0] = tileSet{threshold: threshold(scale), size: 1, lastWeight: noEdge - 1}
	for n := 1; n < tilePixels; n *= 2 {
		copy(t.sets[n:], t.sets[:n])
	}
	clear(t.internal[:])
	for y := range height {
		t.isRoot[y] = 1<<width - 1
	}

	// Pixel (x, y) of the tile has an edge that leaves the tile, and begins at (fromX, fromY).
	leaves := func(x, y, direction, fromX, fromY int) {
		if direction >= w.directions() {
			return
		}
		weight := w.planes[direction][w.at(tile.left+fromX, tile.top+fromY)]
		s := &t.sets[y<<tileBits+x]
		s.lastWeight = min(s.lastWeight, max(weight, 1)-1)
		s.threshold = min(s.threshold, threshold(s.lastWeight))
	}
	for y := range height {
		leaves(0, y, right, -1, y)
		leaves(0, y, downRight, -1, y-1)
		leaves(0, y, downLeft, 0, y)
		leaves(width-1, y, right, width-1, y)
		leaves(width-1, y, downRight, width-1, y)
		leaves(width-1, y, downLeft, width, y-1)
	}
	for x := range width {
		leaves(x, 0, down, x, -1)
		leaves(x, 0, downRight, x-1, -1)
		leaves(x, 0, downLeft, x+1, -1)
		leaves(x, height-1, down, x, height-1)
		leaves(x, height-1, downRight, x, height-1)
		leaves(x, height-1, downLeft, x, height-1)
	}
}

// mergeEdges joins the sets of a tile by the sorted edges.
func (t *tileJoiner) mergeEdges(scale uint32) {
	step := [directions]uint32{right: 1, down: tileSide, downRight: tileSide + 1, downLeft: tileSide - 1}
	for _, k := range t.sorted {
		key := edgeKey(k)
		p := key.pixel() & tileMask
		q := (p + step[key.direction()]) & tileMask
		a, b := uint32(t.root[p])&tileMask, uint32(t.root[q])&tileMask
		sa, sb := &t.sets[a], &t.sets[b]
		w := int32(key.weight())
		// An edge within a set is handled without a branch, as if it were rejected but
		// blocked nothing: same is −1 for it, which accepts no weight, and else 0.
		same := threshold(differ(a, b)) - 1
		if !(min(sa.threshold, sb.threshold) | same).accepts(w) {
			sa.threshold |= blockedBit &^ same
			sb.threshold |= blockedBit &^ same
			continue
		}
		size, lastWeight := sa.size+sb.size, min(sa.lastWeight, sb.lastWeight)
		smaller := min(sa.size, sb.size)
		// a is to be the root of the larger set.
		swap := (a ^ b) & uint32((int32(sa.size)-int32(sb.size))>>31)
		a, b = a^swap, b^swap
		// Most sets have one or two pixels, which the first two assignments cover without a branch.
		x := uint32(t.next[b]) & tileMask
		t.root[b], t.root[x] = uint16(a), uint16(a)
		if smaller > 2 {
			for range smaller - 2 {
				x = uint32(t.next[x]) & tileMask
				t.root[x] = uint16(a)
			}
		}
		t.isRoot[b/tileSide] &^= 1 << (b % tileSide)
		t.next[a], t.next[b] = t.next[b], t.next[a]
		t.sets[a] = tileSet{min(threshold(w+int32(scale/uint32(size))), threshold(lastWeight)), size, lastWeight}
		t.internal[a] = uint16(w)
	}
}

// differ returns 1 if the numbers differ, else 0.
func differ(a, b uint32) int32 {
	d := a ^ b
	return int32((d | -d) >> 31)
}

// emitComponents numbers the components of a tile and labels its pixels.
func (t *tileJoiner) emitComponents(tile *tile, g *Graph, parity label) {
	width, height := tile.right-tile.left, tile.bottom-tile.top
	labels := &t.next // by root; the rings are no longer needed
	n := 0
	for y := range height {
		for roots := t.isRoot[y%tileSide]; roots != 0; roots &= roots - 1 {
			i := (y<<tileBits + bits.TrailingZeros64(roots)) & tileMask
			labels[i] = uint16(label(n) | parity)
			t.emitted[n&tileMask] = component{int32(t.sets[i].size), int32(t.internal[i])}
			n++
		}
	}
	tile.components = append(tile.components[:0], t.emitted[:n]...)
	for y := range height {
		row := g.labels[g.weights.at(tile.left, tile.top+y):][:width]
		root := t.root[y<<tileBits:]
		root = root[:len(row)]
		for x := range row {
			row[x] = labels[root[x]&tileMask]
		}
	}
}
