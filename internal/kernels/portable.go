package kernels

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

func columns4Go(out []float32, rows *[9][]uint8, w *[5]int32) {
	n := len(out)
	a4, a3, a2, a1, c := rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n], rows[4][:n]
	b1, b2, b3, b4 := rows[5][:n], rows[6][:n], rows[7][:n], rows[8][:n]
	w0, w1, w2, w3, w4 := w[0], w[1], w[2], w[3], w[4]
	for x := range out {
		out[x] = float32(w0*int32(c[x]) +
			w1*(int32(a1[x])+int32(b1[x])) + w2*(int32(a2[x])+int32(b2[x])) +
			w3*(int32(a3[x])+int32(b3[x])) + w4*(int32(a4[x])+int32(b4[x])))
	}
}

func bothColumns4Go(even, odd []float32, rows *[9][]uint8, w, v *[5]int32) {
	n := len(even)
	odd = odd[:n]
	a4, a3, a2, a1, c := rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n], rows[4][:n]
	b1, b2, b3, b4 := rows[5][:n], rows[6][:n], rows[7][:n], rows[8][:n]
	for x := range even {
		p, q := int32(a1[x]), int32(b1[x])
		s, d := w[0]*int32(c[x])+w[1]*(p+q), v[1]*(q-p)
		p, q = int32(a2[x]), int32(b2[x])
		s, d = s+w[2]*(p+q), d+v[2]*(q-p)
		p, q = int32(a3[x]), int32(b3[x])
		s, d = s+w[3]*(p+q), d+v[3]*(q-p)
		p, q = int32(a4[x]), int32(b4[x])
		s, d = s+w[4]*(p+q), d+v[4]*(q-p)
		even[x], odd[x] = float32(s), float32(d)
	}
}

func smoothRow4Go(out, padded []float32, w *[5]float32) {
	w0, w1, w2, w3, w4 := w[0], w[1], w[2], w[3], w[4]
	for x := range out {
		p := (*[9]float32)(padded[x:])
		out[x] = float32(w0*p[4]) + float32(w1*(p[3]+p[5])) + float32(w2*(p[2]+p[6])) +
			float32(w3*(p[1]+p[7])) + float32(w4*(p[0]+p[8]))
	}
}

func slopeRow4Go(out, padded []float32, w *[5]float32) {
	w1, w2, w3, w4 := w[1], w[2], w[3], w[4]
	for x := range out {
		p := (*[9]float32)(padded[x:])
		out[x] = float32(w1*(p[5]-p[3])) + float32(w2*(p[6]-p[2])) +
			float32(w3*(p[7]-p[1])) + float32(w4*(p[8]-p[0]))
	}
}

func bins1Go(dst []uint16, a []uint8) {
	dst = dst[:len(a)]
	for x, v := range a {
		dst[x] = colourBin(v)
	}
}

func bins3Go(dst []uint16, a, b, c []uint8) {
	b, c, dst = b[:len(a)], c[:len(a)], dst[:len(a)]
	for x, v := range a {
		dst[x] = colourBin(v) | colourBin(b[x])<<FieldBits | colourBin(c[x])<<(2*FieldBits)
	}
}

func colourBin(v uint8) uint16 { return uint16(v) * QuantizeLevels >> 8 }

// responseBin maps a response, rounded towards 0 and limited to ±(TextureBins−1), to
// its place.
var responseBin = func() (t [2*GradientLevels - 1]uint32) {
	for i := 1; i < GradientLevels; i++ {
		t[GradientLevels-1+i] = uint32(i)
		t[GradientLevels-1-i] = uint32(GradientLevels + i)
	}
	return t
}()

func texturesGo(list []uint32, gx, gy []float32, scale, diagonal float32) int {
	gy = gy[:len(gx)]
	n := 0
	for x, u := range gx {
		v := gy[x]
		code := place(u*scale) |
			place((u+v)*diagonal)<<FieldBits |
			place(v*scale)<<(2*FieldBits) |
			place((v-u)*diagonal)<<(3*FieldBits)
		// Written in any case: whether it counts is hard to guess.
		list[n] = uint32(x)<<GradientBits | code
		if code != 0 {
			n++
		}
	}
	return n
}

func place(response float32) uint32 {
	const last = GradientLevels - 1
	return responseBin[max(-last, min(last, int32(response)))+last]
}

func intersectionsGo(sums []uint32, row, rows []uint16, others []int32) {
	for i, o := range others {
		other := rows[int(o)*len(row):][:len(row)]
		var sum uint32
		for j, v := range row {
			sum += uint32(min(v, other[j]))
		}
		sums[i] = sum
	}
}

func normaliseGo(normal []uint16, counts []uint32, s scale) {
	normal = normal[:len(counts)]
	for i, c := range counts {
		normal[i] = uint16((uint64(c)*s.reciprocal + s.half) >> (s.shift & 63))
	}
}

func mergeGo(normal []uint16, sum, a, b []uint32, s scale) {
	a, b = a[:len(sum)], b[:len(sum)]
	for i := range sum {
		sum[i] = a[i] + b[i]
	}
	normaliseGo(normal, sum, s)
}

func addGo(sum, a []uint32) {
	a = a[:len(sum)]
	for i := range sum {
		sum[i] += a[i]
	}
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

// corners are the labels of a cell's pixels: top left, top right, bottom left, bottom right.
type corners [4]uint16

// ends are the corners that an edge of a cell lies between.
var ends = [6][2]uint8{top: {0, 1}, left: {0, 2}, falling: {0, 3}, right: {1, 3}, rising: {1, 2}, bottom: {2, 3}}

// beaten tells whether an edge comes after one of others between the same two labels.
func (p *places) beaten(c *corners, edge int, others ...uint8) bool {
	a, b := c[ends[edge][0]], c[ends[edge][1]]
	for _, f := range others {
		s, t := c[ends[f][0]], c[ends[f][1]]
		if p[f] < p[edge] && (s == a && t == b || s == b && t == a) {
			return true
		}
	}
	return false
}

func borders4Go(kept, weights *[2][]uint16, labels []uint16, stride int) {
	n := len(kept[0])
	kr, kd, r, d := kept[0][:n], kept[1][:n], weights[0], weights[1]
	at := func(i int) (places, corners) {
		j := i + stride
		return cell(r[i], d[i], noEdge, d[i+1], noEdge, r[j]), corners{labels[i], labels[i+1], labels[j], labels[j+1]}
	}
	for x := range n {
		i := stride + 1 + x
		kr[x], kd[x] = noEdge, noEdge
		if labels[i] != labels[i+1] {
			c, l := at(i)
			a, m := at(i - stride)
			kr[x] = keep(r[i], c.beaten(&l, top, left, right, bottom) || a.beaten(&m, bottom, top, left, right))
		}
		if labels[i] != labels[i+stride] {
			c, l := at(i)
			b, m := at(i - 1)
			kd[x] = keep(d[i], c.beaten(&l, left, top, right, bottom) || b.beaten(&m, right, top, left, bottom))
		}
	}
}

func borders8Go(kept, weights *[4][]uint16, labels []uint16, stride int) {
	n := len(kept[0])
	kr, kd, kf, ki := kept[0][:n], kept[1][:n], kept[2][:n], kept[3][:n]
	r, d, f, g := weights[0], weights[1], weights[2], weights[3]
	at := func(i int) (places, corners) {
		j := i + stride
		return cell(r[i], d[i], f[i], d[i+1], g[i+1], r[j]), corners{labels[i], labels[i+1], labels[j], labels[j+1]}
	}
	for x := range n {
		i := stride + 1 + x
		kr[x], kd[x], kf[x], ki[x] = noEdge, noEdge, noEdge, noEdge
		here, l := at(i)
		if l[0] != l[1] {
			a, m := at(i - stride)
			kr[x] = keep(r[i], here.beaten(&l, top, left, falling, right, rising, bottom) || a.beaten(&m, bottom, top, left, falling, right, rising))
		}
		before, m := at(i - 1)
		if l[0] != l[2] {
			kd[x] = keep(d[i], here.beaten(&l, left, top, falling, right, rising, bottom) || before.beaten(&m, right, top, left, falling, rising, bottom))
		}
		if l[0] != l[3] {
			kf[x] = keep(f[i], here.beaten(&l, falling, top, left, right, rising, bottom))
		}
		if m[1] != m[2] {
			ki[x] = keep(g[i], before.beaten(&m, rising, top, left, falling, right, bottom))
		}
	}
}

func keep(w uint16, drop bool) uint16 {
	if drop {
		return noEdge
	}
	return w
}

func list4Go(dst []uint32, number uint32, limit uint16, r, d []uint16) int {
	n := 0
	d = d[:len(r)]
	for x, w := range r {
		e := number + 4*uint32(x)
		dst[n] = uint32(w)<<16 | e
		n += less(w, limit)
		w = d[x]
		dst[n] = uint32(w)<<16 | (e + 1)
		n += less(w, limit)
	}
	return n
}

func list8Go(dst []uint32, number uint32, limit uint16, r, d, f, i []uint16) int {
	n := 0
	d, f, i = d[:len(r)], f[:len(r)], i[:len(r)]
	for x := range r {
		e := number + 4*uint32(x)
		for k, w := range [4]uint16{r[x], d[x], f[x], i[x]} {
			dst[n] = uint32(w)<<16 | (e + uint32(k))
			n += less(w, limit)
		}
	}
	return n
}

// less is 1 if a < b, else 0, without a jump: in a picture it would often be mispredicted.
func less(a, b uint16) int { return int((uint32(a) - uint32(b)) >> 31) }

func grayGo(y, r, g, b []uint8) {
	g, b, y = g[:len(r)], b[:len(r)], y[:len(r)]
	for i := range r {
		// The weights in 1/65536; they add up to one.
		y[i] = uint8((19595*uint32(r[i]) + 38470*uint32(g[i]) + 7471*uint32(b[i]) + 1<<15) >> 16)
	}
}

// hueScale is 256/6/n, saturationScale 255/n rounded up, both in 1/65536.
var hueScale, saturationScale = func() (h, s [256]int32) {
	for n := int32(1); n < 256; n++ {
		h[n] = (256<<16 + 3*n) / (6 * n)
		s[n] = (255<<16 + n - 1) / n
	}
	return h, s
}()

// extremes are the smallest and the largest of three samples. The built-in min and
// max jump, and in a picture jumps are mispredicted too often.
func extremes(r, g, b int32) (bottom, top int32) {
	bottom, top = order(r, g)
	bottom, _ = order(bottom, b)
	_, top = order(top, b)
	return bottom, top
}

func order(a, b int32) (low, high int32) {
	d := a - b
	d &= d >> 31 // a−b if that is negative, else 0
	return b + d, a - d
}

// hueOf is the hue of a colour whose largest sample is v and smallest v−d. It wraps as a byte.
func hueOf(r, g, b, v, d int32) uint8 {
	// All three are worked out beforehand: again, no jumps.
	h, green, red := r-g+4*d, b-r+2*d, g-b
	if v == g {
		h = green
	}
	if v == r {
		h = red
	}
	return uint8((h*hueScale[d&255] + 1<<15) >> 16)
}

func hueGo(h, r, g, b []uint8) {
	g, b, h = g[:len(r)], b[:len(r)], h[:len(r)]
	for i := range r {
		u, v, w := int32(r[i]), int32(g[i]), int32(b[i])
		bottom, top := extremes(u, v, w)
		h[i] = hueOf(u, v, w, top, top-bottom)
	}
}

func hsvGo(h, s, v, r, g, b []uint8) {
	g, b = g[:len(r)], b[:len(r)]
	h, s, v = h[:len(r)], s[:len(r)], v[:len(r)]
	for i := range r {
		x, y, z := int32(r[i]), int32(g[i]), int32(b[i])
		bottom, top := extremes(x, y, z)
		spread := top - bottom
		h[i] = hueOf(x, y, z, top, spread)
		s[i] = uint8((spread*saturationScale[top&255] + 1<<15) >> 16)
		v[i] = uint8(top)
	}
}

func labGo(l, a, b, red, green, blue []uint8, t *LabTables) {
	const centre = 128<<LabRootBits + 1<<(LabRootBits-1)
	green, blue = green[:len(red)], blue[:len(red)]
	l, a, b = l[:len(red)], a[:len(red)], b[:len(red)]
	m := t.Matrix
	for i := range red {
		u, v, w := t.Linear[red[i]], t.Linear[green[i]], t.Linear[blue[i]]
		x, y, z := t.root(&m[0], u, v, w), t.root(&m[1], u, v, w), t.root(&m[2], u, v, w)
		fx, fy, fz := x>>8, y>>8, z>>8
		l[i] = uint8(y)
		a[i] = uint8((500*(fx-fy) + centre) >> LabRootBits)
		b[i] = uint8((200*(fy-fz) + centre) >> LabRootBits)
	}
}

func (t *LabTables) root(m *[4]int16, u, v, w int32) int32 {
	sum := u*int32(m[0]) + v*int32(m[1]) + w*int32(m[2]) + int32(m[3])
	return t.Roots[sum>>LabXYZBits&(LabRoots-1)]
}

func differGo(bits []uint8, a, b []int32) {
	b = b[:len(a)]
	for i, v := range a {
		if v != b[i] {
			bits[i/8] |= 1 << (i % 8)
		}
	}
}

const binMask = 1<<FieldBits - 1

func addBins3Go(counts []uint32, row int, bins []uint16, labels []int32) {
	labels = labels[:len(bins)]
	for i, b := range bins {
		b, at := uint(b), uint(labels[i])*uint(row)
		counts[at+b&binMask]++
		counts[at+(QuantizeLevels+b>>FieldBits&binMask)]++
		counts[at+(2*QuantizeLevels+b>>(2*FieldBits))]++
	}
}

func addTexturesGo(counts []uint32, row int, list []uint32, labels []int32) {
	const places = 2 * GradientLevels
	for _, t := range list {
		t, at := uint(t), uint(labels[t>>GradientBits])*uint(row)
		counts[at+t&binMask]++
		counts[at+(places+t>>FieldBits&binMask)]++
		counts[at+(2*places+t>>(2*FieldBits)&binMask)]++
		counts[at+(3*places+t>>(3*FieldBits)&binMask)]++
	}
}

func sumTreesGo(sums *[BlockSize]int16, levels [][BlockSize]int8, trees []tree) {
	*sums = [BlockSize]int16{}
	for k := range trees {
		t := &trees[k]
		var leaf [BlockSize]uint8
		for q, offset := range t.offsets {
			threshold := t.thresholds[q]
			for i, v := range levels[offset/BlockSize] {
				no := uint8(0)
				if v < threshold {
					no = 1
				}
				leaf[i] |= no << q
			}
		}
		for i, l := range leaf {
			l %= 1 << TreeDepth
			sums[i] += int16(uint16(t.high[l])<<8 | uint16(t.low[l]))
		}
	}
}

func overlapsGo(found []int32, ious []float32, b *Boxes, runs [][2]int32, box *[4]int32, area, least float32) int {
	n := 0
	for _, r := range runs {
		for i := r[0]; i < r[1]; i++ {
			x0, y0 := max(b.X0[i], box[0]), max(b.Y0[i], box[1])
			x1, y1 := min(b.X1[i], box[2]), min(b.Y1[i], box[3])
			if x0 >= x1 || y0 >= y1 {
				continue
			}
			inter := float32(float32(x1-x0) * float32(y1-y0)) // never fused with the subtraction
			if iou := inter / (area + b.Areas[i] - inter); iou >= least {
				found[n], ious[n] = b.IDs[i], iou
				n++
			}
		}
	}
	return n
}

func uncoveredGo(sums *[8]float32, edges []uint32, objects []Target) {
	for k, e := range edges {
		o := &objects[e>>CoverageBits]
		sums[k%len(sums)] += float32(o.Weight * float32(max(int32(e&(1<<CoverageBits-1)), o.Covered)-o.Covered))
	}
}

func tallyGo(edges []uint32) (counts, covers uint64) {
	for _, e := range edges {
		cover := e & (1<<CoverageBits - 1)
		covers += uint64(cover)
		fifth := (CoverageBins*cover + CoverageBins - 1) >> CoverageBits
		counts += 1 << (CoverageCountBits * fifth % 64)
	}
	return counts, covers
}

func scaleColumnsGo(levels [][BlockSize]int8, columns [][BlockSize]float32, means, scales []float32, most, unit float32) {
	for f, mean := range means {
		scale, to := scales[f], &levels[f]
		for i, v := range columns[f] {
			scaled := min(max(float32((v-mean)*scale), -most), most)
			to[i] = int8(math.RoundToEven(float64(float32(scaled * unit))))
		}
	}
}

func interleaveGo(pairs [][BlockSize][2]int16, levels [][BlockSize]int8) {
	for k := range pairs {
		for i := range pairs[k] {
			pairs[k][i] = [2]int16{int16(levels[2*k][i]), int16(levels[2*k+1][i])}
		}
	}
}

func projectGo(dst *[2][BlockSize]int32, pairs [][BlockSize][2]int16, a, b [][2]int16) {
	*dst = [2][BlockSize]int32{}
	for s, weights := range [2][][2]int16{a, b} {
		for f, w := range weights {
			for i, v := range pairs[f] {
				dst[s][i] += int32(w[0])*int32(v[0]) + int32(w[1])*int32(v[1])
			}
		}
	}
}

func halveGo(dst, top, low []uint8) {
	for x := range dst {
		dst[x] = uint8((int(top[2*x]) + int(top[2*x+1]) + int(low[2*x]) + int(low[2*x+1]) + 2) / 4)
	}
}

// steepnessGo writes the pixels from a number on to another.
func steepnessGo(dst [][8]uint8, here, up, low *[3][]uint8, from, to int) {
	magnitude := func(v int32) int32 { return max(v, -v) }
	for x := from; x < to; x++ {
		left, right := max(x-1, 0), min(x+1, len(dst)-1)
		var across, down, falling, rising int32
		for c := range here {
			dx := int32(here[c][right]) - int32(here[c][left])
			dy := int32(low[c][x]) - int32(up[c][x])
			across += magnitude(dx)
			down += magnitude(dy)
			falling += magnitude(dx + dy)
			rising += magnitude(dx - dy)
		}
		// Three planes, and two where they meet along a diagonal: at most 255.
		dst[x] = [8]uint8{
			uint8(uint32(across) / 3), uint8(uint32(down) / 3), uint8(uint32(falling) / 6), uint8(uint32(rising) / 6),
			here[0][x], here[1][x], here[2][x],
		}
	}
}

func integrateGo(here, above [][8]uint32, cells [][8]uint8) {
	var row [8]uint32
	for i := range here {
		for k, v := range cells[i] {
			row[k] += uint32(v)
			here[i][k] = above[i][k] + row[k]
		}
	}
}

func rectanglesGo(dst [][8]float32, table [][8]uint32, corners [][4]int32, scales []float32, offset, gain *[8]float32) {
	for i, c := range corners {
		to, scale := &dst[i], scales[i]
		lt, rt, lb, rb := &table[c[0]], &table[c[1]], &table[c[2]], &table[c[3]]
		for k := range to {
			mean := float32(float32(int32(rb[k]-lb[k]-rt[k]+lt[k])) * scale)
			to[k] = float32((mean - offset[k]) * gain[k])
		}
	}
}

func gridsGo(dst [][8]float32, table [][8]uint32, lattices []Grid) {
	for i := range lattices {
		l := &lattices[i]
		for _, r := range l.Rows {
			for _, c := range l.Columns {
				corners := [4]int32{r.Begin + c.Begin, r.Begin + c.End, r.End + c.Begin, r.End + c.End}
				rectanglesGo(dst[:1], table, [][4]int32{corners}, []float32{float32(r.Scale * c.Scale)}, &l.Offset, &l.Gain)
				dst = dst[1:]
			}
		}
	}
}

func summariseGo(dst, rows [][8]float32, counts []int32) {
	for i, n := range counts {
		most, sum, least := rows[0], rows[0], rows[0]
		for _, row := range rows[1:n] {
			for k, v := range row {
				most[k], least[k] = max(most[k], v), min(least[k], v)
				sum[k] += v
			}
		}
		for k := range sum {
			sum[k] /= float32(n)
		}
		dst[MaxMeanMinRows*i], dst[MaxMeanMinRows*i+1], dst[MaxMeanMinRows*i+2] = most, sum, least
		rows = rows[n:]
	}
}

func transposeGo(columns [][BlockSize]float32, rows [][8]float32) {
	cells := len(rows) / BlockSize
	for i, row := range rows {
		for k, v := range row[:7] {
			columns[i%cells*7+k][i/cells] = v
		}
	}
}
