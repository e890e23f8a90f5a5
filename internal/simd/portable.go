package simd

import "math"

// The twins of the kernels. Products are converted to float32 before they are added:
// without that the compiler may fuse the two on some architectures.

func distances1Go(dst []uint16, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = quantise(float32(math.Abs(float64(a[i] - b[i]))))
	}
}

func distances3Go(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	n := len(dst)
	a0, a1, a2, b0, b1, b2 = a0[:n], a1[:n], a2[:n], b0[:n], b1[:n], b2[:n]
	for i := range dst {
		x, y, z := a0[i]-b0[i], a1[i]-b1[i], a2[i]-b2[i]
		dst[i] = quantise(float32(math.Sqrt(float64(float32(x*x) + float32(y*y) + float32(z*z)))))
	}
}

func quantise(distance float32) uint16 {
	return uint16(int32(float32(distance*128) + 0.5))
}

const noEdge = math.MaxUint16

func thin4Go(kept, above, here *[2][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	kr, kd := kept[0][:n], kept[1][:n]
	ra, da, r, d, rb := above[0][:n+2], above[1][:n+2], here[0][:n+2], here[1][:n+2], rightBelow[:n+2]
	for x := range n {
		t := r[x+1]
		kr[x] = keep(t, t > max(d[x+1], d[x+2], rb[x+1]) || t >= max(ra[x+1], da[x+1], da[x+2]))
		s := d[x+1]
		kd[x] = keep(s, s >= t && s > max(d[x+2], rb[x+1]) || s >= max(r[x], d[x]) && s > rb[x])
	}
}

func thin8Go(kept, above, here *[4][]uint16, rightBelow []uint16) {
	n := len(kept[0])
	kr, kd, kf, ki := kept[0][:n], kept[1][:n], kept[2][:n], kept[3][:n]
	ra, da, fa, ia := above[0][:n+2], above[1][:n+2], above[2][:n+2], above[3][:n+2]
	r, d, f, i, rb := here[0][:n+2], here[1][:n+2], here[2][:n+2], here[3][:n+2], rightBelow[:n+2]
	before := cell(r[0], d[0], f[0], d[1], i[1], rb[0])
	for x := range n {
		above := cell(ra[x+1], da[x+1], fa[x+1], da[x+2], ia[x+2], r[x+1])
		here := cell(r[x+1], d[x+1], f[x+1], d[x+2], i[x+2], rb[x+1])
		kr[x] = keep(r[x+1], above.drops(bottom, left, falling, rising, right, top) || here.drops(top, left, rising, falling, right, bottom))
		kd[x] = keep(d[x+1], before.drops(right, top, falling, rising, bottom, left) || here.drops(left, top, rising, falling, bottom, right))
		kf[x] = keep(f[x+1], here.drops(falling, top, right, left, bottom, rising))
		ki[x] = keep(i[x+1], before.drops(rising, top, left, right, bottom, falling))
		before = here
	}
}

// The edges of a cell, in the order of equal weights.
const (
	top = iota
	left
	falling
	right
	rising
	bottom
)

// places are the places of a cell's edges in their order.
type places [6]uint32

func cell(t, l, f, r, i, b uint16) places {
	return places{uint32(t) << 3, uint32(l)<<3 + 1, uint32(f)<<3 + 2, uint32(r)<<3 + 3, uint32(i)<<3 + 4, uint32(b)<<3 + 5}
}

// drops tells whether an edge comes after all edges of another way between its ends:
// by a and b, by c and d, or by one of each and then m.
func (p *places) drops(edge, a, b, c, d, m int) bool {
	return p[edge] > min(max(p[a], p[b]), max(p[c], p[d]), max(p[a], p[m], p[d]), max(p[c], p[m], p[b]))
}

func keep(w uint16, drop bool) uint16 {
	if drop {
		return noEdge
	}
	return w
}
