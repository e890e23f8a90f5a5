package segment

import (
	"context"
	"slices"

	"github.com/proposer/proposer/internal/simd"
)

const (
	tileSide = 64
	tileBits = 6
	// An edge of a tile is numbered in edgeBits: row, column, direction.
	edgeBits = 2*tileBits + 2
	// lightLimit bounds the weights that the pixels of a tile are joined by: 32 grey
	// levels. Few are heavier.
	lightLimit = 1 << 12
)

// tiler joins the pixels of a band's tiles.
type tiler struct {
	kept       [directions][]uint16 // the band's weights, laid out as weights are; noEdge for edges that join nothing
	keptMemory [directions][]uint16
	keys       []uint32 // weight and number of a tile's edges
	counts     [lightLimit]uint32
	sorted     []uint32
	root, next [tileSide * tileSide]uint16
	inner      [tileSide * tileSide]uint16
	nodes      [tileSide * tileSide]cell2
}

type cell2 struct {
	limit int32
	size  uint16
	outer uint16
}

// join joins the pixels of a band.
func (t *tiler) join(ctx context.Context, b *band, ws *weights, scale uint32) error {
	if err := t.thin(ctx, b, ws); err != nil {
		return err
	}
	w := ws.stride - 1
	n := (w + tileSide - 1) / tileSide
	b.pieces = b.pieces[:0]
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		left, right := i*w/n, (i+1)*w/n
		height := b.bottom - b.top
		t.list(ws, left, right, height)
		t.sort()
		t.prepare(ws, left, right, height, scale)
		t.grow(scale)
		t.number(b, w, left, right)
	}
	return nil
}

// row is a padded row of the kept edges, counted from the one above the band.
func (t *tiler) row(ws *weights, direction, y int) []uint16 {
	if t.kept[direction] == nil {
		return nil
	}
	return t.kept[direction][y*ws.stride : (y+1)*ws.stride+1]
}

// thin leaves out the edges that join nothing, in the band's rows and the one above.
func (t *tiler) thin(ctx context.Context, b *band, ws *weights) error {
	w := ws.stride - 1
	rows := b.bottom - b.top + 1
	for d := range t.kept {
		t.kept[d] = nil
		if d <= down || ws.connectivity == Eight {
			t.kept[d] = resize(t.keptMemory[d], rows*ws.stride+1)
			t.keptMemory[d] = t.kept[d]
			t.kept[d][0] = noEdge
		}
	}
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		y := b.top - 1 + i
		if y < 0 {
			for d := range t.kept {
				fill(t.row(ws, d, i))
			}
			continue
		}
		for d := range t.kept {
			if t.kept[d] != nil {
				t.row(ws, d, i)[w+1] = noEdge
			}
		}
		if ws.connectivity == Four {
			simd.Thin4(&[2][]uint16{t.row(ws, right, i)[1 : w+1], t.row(ws, down, i)[1 : w+1]},
				&[2][]uint16{ws.padded(right, y-1), ws.padded(down, y-1)},
				&[2][]uint16{ws.padded(right, y), ws.padded(down, y)}, ws.padded(right, y+1))
			continue
		}
		var above, here, kept [directions][]uint16
		for d := range directions {
			above[d], here[d] = ws.padded(d, y-1), ws.padded(d, y)
			kept[d] = t.row(ws, d, i)[1 : w+1]
		}
		simd.Thin8(&kept, &above, &here, ws.padded(right, y+1))
	}
	return nil
}

// list lists the light edges within a tile, in the order of their numbers.
func (t *tiler) list(ws *weights, left, right_, height int) {
	t.keys = resize(t.keys, directions*tileSide*tileSide)
	n := 0
	w := right_ - left
	var rows [directions][tileSide]uint16
	for y := range height {
		for d := range rows {
			if t.kept[d] != nil && (d == right || y < height-1) {
				copy(rows[d][:], t.row(ws, d, y+1)[1+left:1+right_])
			}
		}
		rows[right][w-1], rows[downRight][w-1], rows[downLeft][0] = noEdge, noEdge, noEdge
		first := uint32(y) << tileBits
		switch {
		case y == height-1:
			n += list1(t.keys[n:], first, rows[right][:w])
		case ws.connectivity == Four:
			n += list2(t.keys[n:], first, rows[right][:w], rows[down][:w])
		default:
			n += list4(t.keys[n:], first, rows[right][:w], rows[down][:w], rows[downRight][:w], rows[downLeft][:w])
		}
	}
	t.keys = t.keys[:n]
}

func list1(dst []uint32, base uint32, r []uint16) int {
	n := 0
	for x, w := range r {
		dst[n] = uint32(w)<<edgeBits | (base+uint32(x))*directions
		n += light(w)
	}
	return n
}

func list2(dst []uint32, base uint32, r, d []uint16) int {
	n := 0
	d = d[:len(r)]
	for x, w := range r {
		e := (base + uint32(x)) * directions
		dst[n] = uint32(w)<<edgeBits | e
		n += light(w)
		w = d[x]
		dst[n] = uint32(w)<<edgeBits | e | down
		n += light(w)
	}
	return n
}

func list4(dst []uint32, base uint32, r, d, dr, dl []uint16) int {
	n := 0
	d, dr, dl = d[:len(r)], dr[:len(r)], dl[:len(r)]
	for x, w := range r {
		e := (base + uint32(x)) * directions
		dst[n] = uint32(w)<<edgeBits | e
		n += light(w)
		w = d[x]
		dst[n] = uint32(w)<<edgeBits | e | down
		n += light(w)
		w = dr[x]
		dst[n] = uint32(w)<<edgeBits | e | downRight
		n += light(w)
		w = dl[x]
		dst[n] = uint32(w)<<edgeBits | e | downLeft
		n += light(w)
	}
	return n
}

// light is 1 for a weight below lightLimit, else 0, without a jump.
func light(w uint16) int { return int(uint32(int32(w)-lightLimit) >> 31) }

// sort sorts keys by weight, stably.
func (t *tiler) sort() {
	keys := t.keys
	clear(t.counts[:])
	for _, key := range keys {
		t.counts[key>>edgeBits&(lightLimit-1)]++
	}
	total := uint32(0)
	for w, count := range t.counts {
		t.counts[w] = total
		total += count
	}
	t.sorted = resize(t.sorted, len(keys))
	for _, key := range keys {
		at := &t.counts[key>>edgeBits&(lightLimit-1)]
		t.sorted[*at] = key
		*at++
	}
}

// prepare makes every pixel of a tile a tree.
func (t *tiler) prepare(ws *weights, left, right_, height int, scale uint32) {
	width := right_ - left
	clear(t.inner[:])
	for i := range t.nodes {
		t.nodes[i] = cell2{int32(scale), 1, noEdge}
		t.root[i], t.next[i] = uint16(i), uint16(i)
	}
	bound := func(x, y, d, fromX, fromY int) {
		if t.kept[d] == nil {
			return
		}
		nd := &t.nodes[y<<tileBits+x]
		nd.outer = min(nd.outer, t.kept[d][(fromY+1)*ws.stride+1+left+fromX])
		nd.limit = min(nd.limit, int32(nd.outer)-1)
	}
	for y := range height {
		bound(0, y, right, -1, y)
		bound(0, y, downRight, -1, y-1)
		bound(0, y, downLeft, 0, y)
		bound(width-1, y, right, width-1, y)
		bound(width-1, y, downRight, width-1, y)
		bound(width-1, y, downLeft, width, y-1)
	}
	for x := range width {
		bound(x, 0, down, x, -1)
		bound(x, 0, downRight, x-1, -1)
		bound(x, 0, downLeft, x+1, -1)
		bound(x, height-1, down, x, height-1)
		bound(x, height-1, downRight, x, height-1)
		bound(x, height-1, downLeft, x, height-1)
	}
}

// grow joins the trees of a tile.
func (t *tiler) grow(scale uint32) {
	step := [directions]uint32{right: 1, down: tileSide, downRight: tileSide + 1, downLeft: tileSide - 1}
	const mask = tileSide*tileSide - 1
	root, next, nodes := &t.root, &t.next, &t.nodes
	for _, key := range t.sorted {
		p := key / directions & mask
		q := (p + step[key%directions]) & mask
		a, b := uint32(root[p])&mask, uint32(root[q])&mask
		if a == b {
			continue
		}
		na, nb := &nodes[a], &nodes[b]
		w := int32(key >> edgeBits)
		if w > min(na.limit, nb.limit) {
			na.limit, nb.limit = -1, -1
			continue
		}
		size := na.size + nb.size
		outer := min(na.outer, nb.outer)
		if na.size < nb.size {
			a, b = b, a
		}
		for x := b; ; {
			root[x] = uint16(a)
			x = uint32(next[x]) & mask
			if x == b {
				break
			}
		}
		next[a], next[b] = next[b], next[a]
		nodes[a] = cell2{min(w+int32(scale/uint32(size)), int32(outer)-1), size, outer}
		t.inner[a] = uint16(w)
	}
}

// number makes pieces of the trees.
func (t *tiler) number(b *band, w, left, right int) {
	const mask = tileSide*tileSide - 1
	n := len(b.pieces)
	b.pieces = slices.Grow(b.pieces, tileSide*tileSide)
	pieces := b.pieces[:n+tileSide*tileSide]
	id := &t.next // the rings have done their work
	k := uint16(0)
	for y := range b.bottom - b.top {
		for x := range right - left {
			at := y<<tileBits + x
			nd := &t.nodes[at&mask]
			id[at&mask] = k
			pieces[n+int(k)] = piece{atom{int32(nd.size), int32(t.inner[at&mask])}}
			if t.root[at&mask] == uint16(at) {
				k++
			}
		}
	}
	b.pieces = pieces[:n+int(k)]
	for y := range b.bottom - b.top {
		row := b.pieceOf[y*w+left : y*w+right]
		root := t.root[y<<tileBits:]
		for x := range row {
			row[x] = int32(n) + int32(id[root[x]&mask])
		}
	}
}
