package felzenszwalb

import (
	"context"
	"math"
	"math/bits"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
)

// A tile and its workspace fit the second-level cache. Smaller ones, which would fit the first, leave more
// components.
const (
	tileBits   = 7
	tileSide   = 1 << tileBits
	tilePixels = tileSide * tileSide
	tileMask   = tilePixels - 1
)

// tile is a rectangle of the image, up to tileSide pixels wide and high.
type tile struct{ left, top, right, bottom int }

// tileJoiner joins the pixels of a tile to components.
type tileJoiner struct {
	dropped       [2][tileSide + 1]uint8 // of two rows of cells, by column: a bit for each edge
	keys, scratch []uint64               // of edges: the key, and below it the number within the tile
	counters      counters
	first, stride int // the place of the tile's first pixel, and that of the rows

	// Disjoint sets as in disjointSets, but packed more tightly. The sets of a root accept edges whose
	// keys are below the threshold, which is at most the limit: the key of the lightest edge that leaves
	// the tile. From that edge on the set is blocked. The limit is at least 1, because edges of weight
	// 0 join whatever they meet, in any order, as long as the scale is positive. Without that exception,
	// the pixels of a flat tile would not be joined.
	root, next, size  [tilePixels]uint16
	isRoot            [tilePixels / 64]uint64 // a bit for each pixel
	thresholds, limit [tilePixels]int32
	last              [tilePixels]uint16 // by root: the number of the last edge that joined
	numbers           [tilePixels]int32  // by root: the number of its component

	scale float64                 // of tau
	tau   [tilePixels + 1]float64 // by size: the scale divided by it
}

// blockedBit is the sign bit of the threshold of a set that accepts no edge any longer.
const blockedBit = math.MinInt32

// joinTiles joins the pixels of each tile, and numbers the components of all tiles.
func (s *Segmenter) joinTiles(ctx context.Context) error {
	s.labels = freelist.Resize(s.labels, len(s.grid.keys[right]))
	rows, columns := (s.height+tileSide-1)/tileSide, (s.width+tileSide-1)/tileSide
	at := func(i int) *tile {
		x, y := i%columns, i/columns
		return &tile{
			left: split(s.width, x, columns), top: split(s.height, y, rows),
			right: split(s.width, x+1, columns), bottom: split(s.height, y+1, rows),
		}
	}
	s.parts = freelist.Extend(s.parts, rows*columns)
	err := s.pool.Run(len(s.parts), func(i int) error {
		t := s.joiners.Get()
		defer s.joiners.Put(t)
		s.parts[i] = t.join(s, at(i), s.parts[i][:0])
		return ctx.Err()
	})
	if err != nil {
		return err
	}

	// The components of a tile have the numbers after those of the tiles before it.
	s.components = s.components[:0]
	for _, part := range s.parts {
		s.components = append(s.components, part...)
	}
	return s.pool.Run(len(s.parts), func(i int) error {
		first := int32(0)
		for _, part := range s.parts[:i] {
			first += int32(len(part))
		}
		tile := at(i)
		for y := tile.top; y < tile.bottom; y++ {
			row := s.labels[s.grid.at(tile.left, y):][:tile.right-tile.left]
			for x := range row {
				row[x] += first
			}
		}
		return nil
	})
}

// split returns the start of part i of a length that is split into n about equal parts. The product
// may need more than the 32 bits of an int on some machines.
func split(length, i, n int) int { return int(int64(length) * int64(i) / int64(n)) }

// join joins the pixels of a tile, labels them with their components, and appends those to dst.
func (t *tileJoiner) join(s *Segmenter, tile *tile, dst []component) []component {
	g := &s.grid
	t.first, t.stride = g.at(tile.left, tile.top), g.stride
	t.listEdges(tile, g)
	t.scratch = freelist.Resize(t.scratch, len(t.keys))
	sortEdges(&t.counters, t.keys, t.scratch, 1, func(number uint32) (edgeNumber, float64) {
		n := t.edge(number)
		return n, g.weight(n)
	})
	t.init(tile, g, s.scale)
	t.mergeEdges(g)
	return t.emitComponents(s, tile, dst)
}

// edge returns the number of an edge, given that within the tile.
func (t *tileJoiner) edge(number uint32) edgeNumber {
	p := int(number & tileMask)
	place := t.first + p>>tileBits*t.stride + p&(tileSide-1)
	return edgeNumber(number>>(2*tileBits)<<directionShift) | edgeNumber(place)
}

// listEdges lists the edges within a tile, without those that come last in a cycle: when the turn of
// such an edge comes, either the others have joined its ends, or both are blocked. Of edges of equal
// keys it is not known which comes last, and they are kept, except for edges of weight 0, whose order
// does not matter.
func (t *tileJoiner) listEdges(tile *tile, g *grid) {
	t.keys = freelist.Resize(t.keys, directions*tilePixels+1)
	n, width := 0, tile.right-tile.left
	above, here := t.dropped[0][:width+1], t.dropped[1][:width+1] // from the cell left of the tile on
	kernels.CycleEdges(here, g.cells(g.at(tile.left-1, tile.top-1), len(here)))
	for y := tile.top; y < tile.bottom; y++ {
		above, here = here, above
		if y+1 < g.height {
			kernels.CycleEdges(here, g.cells(g.at(tile.left-1, y), len(here)))
		} else {
			clear(here) // there are no cells
		}
		number := uint32(y-tile.top) << tileBits
		at := g.at(tile.left, y)
		// list adds the edges of a direction whose first pixels are in the given columns, unless
		// they are dropped in either of two cells.
		list := func(direction, from, to int, a []uint8, aEdge uint, b []uint8, bEdge uint) {
			keys := g.keys[direction][at+from : at+to]
			a, b = a[:len(keys)], b[:len(keys)]
			number := number + uint32(direction)<<(2*tileBits) + uint32(from)
			buffer := t.keys
			for i, k := range keys {
				buffer[n] = uint64(k)<<32 | uint64(number+uint32(i))
				// Nothing accepts weights that are infinite or no number.
				n += int(less(k, infinity) &^ uint32(a[i]>>aEdge|b[i]>>bEdge))
			}
		}
		list(right, 0, width-1, here[1:], kernels.TopEdge, above[1:], kernels.BottomEdge)
		if y < tile.bottom-1 {
			list(down, 0, width, here[1:], kernels.LeftEdge, here, kernels.RightEdge)
			list(downRight, 0, width-1, here[1:], kernels.DownRightEdge, here[1:], kernels.DownRightEdge)
			list(downLeft, 1, width, here[1:], kernels.DownLeftEdge, here[1:], kernels.DownLeftEdge)
		}
	}
	t.keys = t.keys[:n]
}

var identity = func() (s [tilePixels]uint16) {
	for i := range s {
		s[i] = uint16(i)
	}
	return s
}()

// init makes a set of each pixel of a tile.
func (t *tileJoiner) init(tile *tile, g *grid, scale float64) {
	width, height := tile.right-tile.left, tile.bottom-tile.top
	if t.scale != scale || t.tau[1] != scale {
		t.scale = scale
		for i := 1; i < len(t.tau); i++ {
			t.tau[i] = scale / float64(i)
		}
	}
	t.root, t.next = identity, identity
	clear(t.isRoot[:])
	t.thresholds[0], t.limit[0], t.size[0] = threshold(scale), noEdge, 1
	for n := 1; n < tilePixels; n *= 2 {
		copy(t.thresholds[n:], t.thresholds[:n])
		copy(t.limit[n:], t.limit[:n])
		copy(t.size[n:], t.size[:n])
	}
	for y := range height {
		for x := 0; x < width; x += 64 {
			t.isRoot[(y<<tileBits+x)/64] = 1<<min(64, width-x) - 1
		}
	}

	// Pixel (x, y) of the tile has an edge that leaves the tile, and begins at (fromX, fromY).
	leaves := func(x, y, direction, fromX, fromY int) {
		i := y<<tileBits + x
		t.limit[i] = min(t.limit[i], max(1, g.keys[direction][g.at(tile.left+fromX, tile.top+fromY)]))
		t.thresholds[i] = min(t.thresholds[i], t.limit[i])
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
func (t *tileJoiner) mergeEdges(g *grid) {
	step := [directions]uint32{right: 1, down: tileSide, downRight: tileSide + 1, downLeft: tileSide - 1}
	for _, e := range t.keys {
		number, k := uint32(e), int32(e>>32)
		p := number & tileMask
		q := (p + step[number>>(2*tileBits)%directions]) & tileMask
		a, b := uint32(t.root[p])&tileMask, uint32(t.root[q])&tileMask
		// An edge within a set is handled without a branch, as if it were rejected but blocked
		// nothing: same is −1 for it, which accepts no edge, and else 0.
		same := differ(a, b) - 1
		least := min(t.thresholds[a], t.thresholds[b]) | same
		if k >= least && (k > least || !t.accepts(g, k, a, b)) {
			t.thresholds[a] |= blockedBit &^ same
			t.thresholds[b] |= blockedBit &^ same
			continue
		}
		limit := min(t.limit[a], t.limit[b])
		sizeA, sizeB := int32(t.size[a]), int32(t.size[b])
		size, smaller := sizeA+sizeB, min(sizeA, sizeB)
		// a is to be the root of the larger set.
		swap := (a ^ b) & uint32((sizeA-sizeB)>>31)
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
		t.isRoot[b/64] &^= 1 << (b % 64)
		t.next[a], t.next[b] = t.next[b], t.next[a]
		t.size[a], t.limit[a], t.last[a] = uint16(size), limit, uint16(number)
		t.thresholds[a] = min(threshold(weightOf(k)+t.tau[size]), limit)
	}
}

// accepts reports whether two sets accept an edge whose key is the lower of their thresholds.
func (t *tileJoiner) accepts(g *grid, k int32, a, b uint32) bool {
	exact := func(a uint32) int32 {
		w := 0.0
		if t.size[a] > 1 {
			w = g.weight(t.edge(uint32(t.last[a])))
		}
		return min(threshold(w+t.tau[t.size[a]]), t.limit[a])
	}
	return k < min(exact(a), exact(b))
}

// differ returns 1 if the numbers differ, else 0.
func differ(a, b uint32) int32 {
	d := a ^ b
	return int32((d | -d) >> 31)
}

// emitComponents appends the components of a tile to dst, and labels its pixels with their numbers in
// the tile.
func (t *tileJoiner) emitComponents(s *Segmenter, tile *tile, dst []component) []component {
	width, height := tile.right-tile.left, tile.bottom-tile.top
	for w := range t.isRoot[:height<<tileBits/64] {
		for roots := t.isRoot[w]; roots != 0; roots &= roots - 1 {
			i := (w*64 + bits.TrailingZeros64(roots)) & tileMask
			t.numbers[i] = int32(len(dst))
			c := component{size: int32(t.size[i])}
			if c.size > 1 {
				c.last = t.edge(uint32(t.last[i]))
				c.key = s.grid.keys[c.last.direction()][c.last.place()]
			}
			dst = append(dst, c)
		}
	}
	for y := range height {
		row := s.labels[s.grid.at(tile.left, tile.top+y):][:width]
		root := t.root[y<<tileBits:]
		root = root[:len(row)]
		for x := range row {
			row[x] = t.numbers[root[x]&tileMask]
		}
	}
	return dst
}
