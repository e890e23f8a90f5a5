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
	// edgeBits are those of an edge's number, of row, column and direction, in simd.List4's keys.
	edgeBits = 16
	// lightLimit bounds the weights that the pixels of a tile are joined by: 32 grey
	// levels. Few are heavier, and those come to their turn later anyway.
	lightLimit = 32 * weightScale
)

// tiler joins the pixels of tiles, one after the other. What it has of a photograph's tile takes 150 KB.
type tiler struct {
	kept   [directions][tileSide]uint16 // of a row, the weights of edges that may join something
	pieces [tilePixels]part
	keys   []uint32
	sorted []uint32
	counts [lightLimit]uint32

	// A forest like the other.
	root, next [tilePixels]uint16
	roots      [tileSide]uint64 // a bit for each pixel that is one
	trees      [tilePixels]tree
	inner      [tilePixels]uint16 // Int(C)
}

// tree is a root's tree.
type tree struct {
	limit int32 // min(Int(C) + k/|C|, last); negative if the tree waits
	size  uint16
	// last is the greatest weight below the lightest edge that leaves the tile: behind it the
	// tree waits. It is not below 0: edges of weight 0 join whatever they meet, in any
	// order, as no limit is below 0. Else a flat tile would be left in pixels.
	last uint16
}

// join joins the pixels of tile i.
func (t *tiler) join(ctx context.Context, g *Graph, i int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tile := &g.tiles[i]
	t.list(tile, &g.weights)
	t.sort()
	t.plant(tile, &g.weights, g.least)
	t.grow(g.least)
	t.harvest(tile, g, uint16(i/g.columns%2*2+i%g.columns%2)*tilePixels)
	return nil
}

// list lists the light edges within a tile, each its weight and number, in the order of
// their numbers, without those that come last in a cycle.
func (t *tiler) list(tile *tile, w *weights) {
	t.keys = freelist.Resize(t.keys, directions*tilePixels+kernels.EdgeKeyPadding)
	n, width := 0, tile.right-tile.left
	for y := tile.top; y < tile.bottom; y++ {
		var kept, above, here [directions][]uint16
		for d := range w.directions() {
			kept[d] = t.kept[d][:width]
			above[d], here[d] = w.padded(d, y-1)[tile.left:tile.right+2], w.padded(d, y)[tile.left:tile.right+2]
		}
		rightBelow := w.padded(right, y+1)[tile.left : tile.right+2]
		if w.connectivity == Four {
			kernels.PruneEdges4((*[2][]uint16)(kept[:]), (*[2][]uint16)(above[:]), (*[2][]uint16)(here[:]), rightBelow)
		} else {
			kernels.PruneEdges8(&kept, &above, &here, rightBelow)
		}
		// Edges to other tiles are not wanted.
		kept[right][width-1] = noEdge
		if w.connectivity == Eight {
			kept[downRight][width-1], kept[downLeft][0] = noEdge, noEdge
		}
		if y == tile.bottom-1 {
			for d := down; d < w.directions(); d++ {
				copy(kept[d], noEdges[:])
			}
		}
		n += listRow(t.keys[n:], uint32(y-tile.top)<<tileBits, lightLimit, &kept)
	}
	t.keys = t.keys[:n]
}

// listRow is simd.List4 or simd.List8.
func listRow(dst []uint32, first uint32, limit uint16, row *[directions][]uint16) int {
	if row[downRight] == nil {
		return kernels.EdgeKeys4(dst, first, limit, row[right], row[down])
	}
	return kernels.EdgeKeys8(dst, first, limit, row[right], row[down], row[downRight], row[downLeft])
}

// sort sorts the keys by weight, stably.
func (t *tiler) sort() {
	clear(t.counts[:])
	for _, key := range t.keys {
		t.counts[key>>edgeBits%lightLimit]++
	}
	total := uint32(0)
	for w, count := range t.counts {
		t.counts[w] = total
		total += count
	}
	t.sorted = freelist.Resize(t.sorted, len(t.keys))
	for _, key := range t.keys {
		at := &t.counts[key>>edgeBits%lightLimit]
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

// plant makes a tree of every pixel of a tile.
func (t *tiler) plant(tile *tile, w *weights, scale uint32) {
	width, height := tile.right-tile.left, tile.bottom-tile.top
	t.root, t.next = identity, identity
	t.trees[0] = tree{limit: int32(scale), size: 1, last: noEdge - 1}
	for n := 1; n < tilePixels; n *= 2 {
		copy(t.trees[n:], t.trees[:n])
	}
	clear(t.inner[:])
	for y := range height {
		t.roots[y] = 1<<width - 1
	}
	// Pixel x, y of the tile has an edge to outside that begins at from.
	leave := func(x, y, direction, fromX, fromY int) {
		if direction >= w.directions() {
			return
		}
		p := &t.trees[y<<tileBits+x]
		p.last = min(p.last, max(w.planes[direction][w.at(tile.left+fromX, tile.top+fromY)], 1)-1)
		p.limit = min(p.limit, int32(p.last))
	}
	for y := range height {
		leave(0, y, right, -1, y)
		leave(0, y, downRight, -1, y-1)
		leave(0, y, downLeft, 0, y)
		leave(width-1, y, right, width-1, y)
		leave(width-1, y, downRight, width-1, y)
		leave(width-1, y, downLeft, width, y-1)
	}
	for x := range width {
		leave(x, 0, down, x, -1)
		leave(x, 0, downRight, x-1, -1)
		leave(x, 0, downLeft, x+1, -1)
		leave(x, height-1, down, x, height-1)
		leave(x, height-1, downRight, x, height-1)
		leave(x, height-1, downLeft, x, height-1)
	}
}

// grow joins the trees of a tile by the sorted edges.
func (t *tiler) grow(scale uint32) {
	step := [directions]uint32{right: 1, down: tileSide, downRight: tileSide + 1, downLeft: tileSide - 1}
	for _, key := range t.sorted {
		p := key / directions & tileMask
		q := (p + step[key%directions]) & tileMask
		a, b := uint32(t.root[p])&tileMask, uint32(t.root[q])&tileMask
		ta, tb := &t.trees[a], &t.trees[b]
		w := int32(key >> edgeBits)
		one := int32(differ(int32(a), int32(b))) - 1 // −1 if both ends are in one tree, else 0
		if w > min(ta.limit, tb.limit)|one {
			ta.limit |= ^one
			tb.limit |= ^one
			continue
		}
		size, last := ta.size+tb.size, min(ta.last, tb.last)
		smaller := min(ta.size, tb.size)
		swap := (a ^ b) & uint32((int32(ta.size)-int32(tb.size))>>31)
		a, b = a^swap, b^swap
		// Most trees are of one or two pixels: no jump asks which.
		x := uint32(t.next[b]) & tileMask
		t.root[b], t.root[x] = uint16(a), uint16(a)
		if smaller > 2 {
			for range smaller - 2 {
				x = uint32(t.next[x]) & tileMask
				t.root[x] = uint16(a)
			}
		}
		t.roots[b/tileSide] &^= 1 << (b % tileSide)
		t.next[a], t.next[b] = t.next[b], t.next[a]
		t.trees[a] = tree{min(w+int32(scale/uint32(size)), int32(last)), size, last}
		t.inner[a] = uint16(w)
	}
}

// differ is 1 for two different numbers, else 0.
func differ(a, b int32) int {
	d := uint32(a ^ b)
	return int((d | -d) >> 31)
}

// harvest makes pieces of the trees, and labels the tile's pixels with them and a tag.
func (t *tiler) harvest(tile *tile, g *Graph, tag uint16) {
	width, height := tile.right-tile.left, tile.bottom-tile.top
	number := &t.next // the rings have done their work
	n := 0
	for y := range height {
		for roots := t.roots[y%tileSide]; roots != 0; roots &= roots - 1 {
			i := (y<<tileBits + bits.TrailingZeros64(roots)) & tileMask
			number[i] = uint16(n) | tag
			t.pieces[n&tileMask] = part{int32(t.trees[i].size), int32(t.inner[i])}
			n++
		}
	}
	tile.pieces = append(tile.pieces[:0], t.pieces[:n]...)
	for y := range height {
		row := g.labels[g.weights.at(tile.left, tile.top+y):][:width]
		root := t.root[y<<tileBits:]
		root = root[:len(row)]
		for x := range row {
			row[x] = number[root[x]&tileMask]
		}
	}
}

// ceil is a/b, rounded up.
func ceil(a, b int) int { return (a + b - 1) / b }

// cut is where part i begins of a length that is cut into n about equal parts. The
// product takes more than the 32 bits of an int on some machines.
func cut(length, i, n int) int { return int(int64(length) * int64(i) / int64(n)) }
