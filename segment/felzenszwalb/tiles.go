package felzenszwalb

import (
	"context"
	"math"
	"math/bits"

	"github.com/proposer/proposer/internal/freelist"
)

const (
	tileBits   = 6
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
	sorter        sorter

	// Disjoint sets as in disjointSets, but packed more tightly.
	root, next [tilePixels]uint16
	isRoot     [tileSide]uint64 // by row, a bit for each pixel
	sets       [tilePixels]tileSet
	internal   [tilePixels]float64 // by root: the largest weight that was joined
	numbers    [tilePixels]int32   // by root: the number of its component
}

// tileSet is the set of a root. It accepts edges whose keys are below the threshold.
type tileSet struct {
	threshold int32 // at most limit
	// limit is the key of the lightest edge that leaves the tile: from that edge on the set is
	// blocked. It is at least 1, because edges of weight 0 join whatever they meet, in any order, as
	// long as the scale is positive. Without that exception, the pixels of a flat tile would not be
	// joined.
	limit int32
	size  int32
}

// blockedBit is the sign bit of the threshold of a set that accepts no edge any longer.
const blockedBit = math.MinInt32

// joinTiles joins the pixels of each tile, and numbers the components of all tiles.
func (s *Segmenter) joinTiles(ctx context.Context) error {
	s.labels = freelist.Resize(s.labels, len(s.grid.keys[right]))
	s.components = s.components[:0]
	rows, columns := (s.height+tileSide-1)/tileSide, (s.width+tileSide-1)/tileSide
	for i := range rows {
		for j := range columns {
			if err := ctx.Err(); err != nil {
				return err
			}
			s.tiles.join(s, &tile{
				left: split(s.width, j, columns), top: split(s.height, i, rows),
				right: split(s.width, j+1, columns), bottom: split(s.height, i+1, rows),
			})
		}
	}
	return nil
}

// split returns the start of part i of a length that is split into n about equal parts. The product
// may need more than the 32 bits of an int on some machines.
func split(length, i, n int) int { return int(int64(length) * int64(i) / int64(n)) }

// join joins the pixels of a tile.
func (t *tileJoiner) join(s *Segmenter, tile *tile) {
	g, first := &s.grid, s.grid.at(tile.left, tile.top)
	t.listEdges(tile, g)
	t.scratch = freelist.Resize(t.scratch, len(t.keys))
	t.sorter.firstKey = 1
	t.sorter.sort(t.keys, t.scratch, func(number uint32) (edgeNumber, float64) {
		return edgeNumber(number), t.weight(g, first, number)
	})
	t.init(tile, g, s.scale)
	t.mergeEdges(g, first, s.scale)
	t.emitComponents(s, tile)
}

// weight returns the weight of an edge of a tile whose first pixel has the given place.
func (t *tileJoiner) weight(g *grid, first int, number uint32) float64 {
	p := int(number & tileMask)
	return g.weights[number>>(2*tileBits)%directions][first+p>>tileBits*g.stride+p&(tileSide-1)]
}

// The edges of a cell, a square of 2×2 neighboring pixels, in the order of those of weight 0.
const (
	topEdge = iota
	leftEdge
	downRightEdge
	rightEdge
	downLeftEdge
	bottomEdge
)

// dropEdges finds the edges of a row of cells that come last in a cycle of their cell, and writes a
// bit for each of them to dst. The cells begin at the given place.
//
// Of edges with equal keys it is not known which comes last, and they are kept, except for edges of
// weight 0: their order does not matter, so here it is that of the constants.
func (g *grid) dropEdges(dst []uint8, place int) {
	n := len(dst)
	tops, sides := g.keys[right][place:][:n], g.keys[down][place:][:n+1]
	downRights, downLefts := g.keys[downRight][place:][:n], g.keys[downLeft][place:][:n+1]
	bottoms := g.keys[right][place+g.stride:][:n]
	for x := range n {
		t, l, dr := tops[x], max(sides[x], leftEdge), max(downRights[x], downRightEdge)
		r, dl, b := max(sides[x+1], rightEdge), max(downLefts[x+1], downLeftEdge), max(bottoms[x], bottomEdge)
		// Of the paths of two and three edges between the ends of each edge, the one whose heaviest
		// edge is the lightest.
		throughTop := min(max(l, dl), max(dr, r), max(l, b, r), max(dr, b, dl))
		throughLeft := min(max(t, dl), max(dr, b), max(t, r, b), max(dr, r, dl))
		throughDownRight := min(max(t, r), max(l, b), max(t, dl, b), max(l, dl, r))
		throughRight := min(max(t, dr), max(dl, b), max(t, l, b), max(dl, l, dr))
		throughDownLeft := min(max(t, l), max(r, b), max(t, dr, b), max(r, dr, l))
		throughBottom := min(max(l, dr), max(dl, r), max(l, t, r), max(dl, t, dr))
		dst[x] = uint8(less(throughTop, t)<<topEdge | less(throughLeft, l)<<leftEdge |
			less(throughDownRight, dr)<<downRightEdge | less(throughRight, r)<<rightEdge |
			less(throughDownLeft, dl)<<downLeftEdge | less(throughBottom, b)<<bottomEdge)
	}
}

// less returns 1 if a < b, else 0. Neither is negative.
func less(a, b int32) uint32 { return uint32(a-b) >> 31 }

// listEdges lists the edges within a tile, without those that come last in a cycle: when the turn of
// such an edge comes, either the others have joined its ends, or both are blocked.
func (t *tileJoiner) listEdges(tile *tile, g *grid) {
	t.keys = freelist.Resize(t.keys, directions*tilePixels+1)
	n, width := 0, tile.right-tile.left
	above, here := t.dropped[0][:width+1], t.dropped[1][:width+1] // from the cell left of the tile on
	g.dropEdges(here, g.at(tile.left-1, tile.top-1))
	for y := tile.top; y < tile.bottom; y++ {
		above, here = here, above
		if y+1 < g.height {
			g.dropEdges(here, g.at(tile.left-1, y))
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
		list(right, 0, width-1, here[1:], topEdge, above[1:], bottomEdge)
		if y < tile.bottom-1 {
			list(down, 0, width, here[1:], leftEdge, here, rightEdge)
			list(downRight, 0, width-1, here[1:], downRightEdge, here[1:], downRightEdge)
			list(downLeft, 1, width, here[1:], downLeftEdge, here[1:], downLeftEdge)
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
	t.root, t.next = identity, identity
	t.sets[0] = tileSet{threshold: threshold(0, scale, 1), limit: noEdge, size: 1}
	for n := 1; n < tilePixels; n *= 2 {
		copy(t.sets[n:], t.sets[:n])
	}
	clear(t.internal[:])
	for y := range height {
		t.isRoot[y] = 1<<width - 1
	}

	// Pixel (x, y) of the tile has an edge that leaves the tile, and begins at (fromX, fromY).
	leaves := func(x, y, direction, fromX, fromY int) {
		s := &t.sets[y<<tileBits+x]
		s.limit = min(s.limit, max(1, g.keys[direction][g.at(tile.left+fromX, tile.top+fromY)]))
		s.threshold = min(s.threshold, s.limit)
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
func (t *tileJoiner) mergeEdges(g *grid, first int, scale float64) {
	step := [directions]uint32{right: 1, down: tileSide, downRight: tileSide + 1, downLeft: tileSide - 1}
	for _, k := range t.keys {
		number := uint32(k)
		p := number & tileMask
		q := (p + step[number>>(2*tileBits)%directions]) & tileMask
		a, b := uint32(t.root[p])&tileMask, uint32(t.root[q])&tileMask
		sa, sb := &t.sets[a], &t.sets[b]
		// An edge within a set is handled without a branch, as if it were rejected but blocked
		// nothing: same is −1 for it, which accepts no edge, and else 0.
		same := differ(a, b) - 1
		if int32(k>>32) >= min(sa.threshold, sb.threshold)|same {
			sa.threshold |= blockedBit &^ same
			sb.threshold |= blockedBit &^ same
			continue
		}
		size, limit := sa.size+sb.size, min(sa.limit, sb.limit)
		smaller := min(sa.size, sb.size)
		// a is to be the root of the larger set.
		swap := (a ^ b) & uint32((sa.size-sb.size)>>31)
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
		w := t.weight(g, first, number)
		t.sets[a] = tileSet{min(threshold(w, scale, size), limit), limit, size}
		t.internal[a] = w
	}
}

// differ returns 1 if the numbers differ, else 0.
func differ(a, b uint32) int32 {
	d := a ^ b
	return int32((d | -d) >> 31)
}

// emitComponents appends the components of a tile to those of the tiles before it, and labels its
// pixels.
func (t *tileJoiner) emitComponents(s *Segmenter, tile *tile) {
	width, height := tile.right-tile.left, tile.bottom-tile.top
	for y := range height {
		for roots := t.isRoot[y%tileSide]; roots != 0; roots &= roots - 1 {
			i := (y<<tileBits + bits.TrailingZeros64(roots)) & tileMask
			t.numbers[i] = int32(len(s.components))
			s.components = append(s.components, component{t.sets[i].size, t.internal[i]})
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
}
