package kernels

// Gray writes the BT.601 luma of RGB samples, rounded to the nearest.
func Gray(y, r, g, b []uint8) {
	checkLengths("Gray", len(y), len(r), len(g), len(b))
	gray(y, r, g, b)
}

func grayGeneric(y, r, g, b []uint8) {
	g, b, y = g[:len(r)], b[:len(r)], y[:len(r)]
	for i := range r {
		// The weights are in 1/65536 and add up to one.
		y[i] = uint8((19595*uint32(r[i]) + 38470*uint32(g[i]) + 7471*uint32(b[i]) + 1<<15) >> 16)
	}
}

// Hue writes the hue of [HSV].
func Hue(h, r, g, b []uint8) {
	checkLengths("Hue", len(h), len(r), len(g), len(b))
	hue(h, r, g, b)
}

func hueGeneric(h, r, g, b []uint8) {
	g, b, h = g[:len(r)], b[:len(r)], h[:len(r)]
	for i := range r {
		u, v, w := int32(r[i]), int32(g[i]), int32(b[i])
		smallest, largest := extremes(u, v, w)
		h[i] = hueOf(u, v, w, largest, largest-smallest)
	}
}

// HSV writes Smith's hue, of which 256 units are a full circle, saturation in 1/255, and value,
// rounded to the nearest. Hue and saturation are 0 where they are undefined.
func HSV(h, s, v, r, g, b []uint8) {
	checkLengths("HSV", len(h), len(s), len(v), len(r), len(g), len(b))
	hsv(h, s, v, r, g, b)
}

func hsvGeneric(h, s, v, r, g, b []uint8) {
	g, b = g[:len(r)], b[:len(r)]
	h, s, v = h[:len(r)], s[:len(r)], v[:len(r)]
	for i := range r {
		x, y, z := int32(r[i]), int32(g[i]), int32(b[i])
		smallest, largest := extremes(x, y, z)
		spread := largest - smallest
		h[i] = hueOf(x, y, z, largest, spread)
		s[i] = uint8((spread*saturationScale[largest&255] + 1<<15) >> 16)
		v[i] = uint8(largest)
	}
}

// hueScale[n] is 256/6/n and saturationScale[n] is 255/n rounded up, both in 1/65536.
var hueScale, saturationScale = func() (h, s [256]int32) {
	for n := int32(1); n < 256; n++ {
		h[n] = (256<<16 + 3*n) / (6 * n)
		s[n] = (255<<16 + n - 1) / n
	}
	return h, s
}()

// extremes returns the smallest and the largest of three samples. The built-in min and max compile
// to branches, which are mispredicted too often on images.
func extremes(r, g, b int32) (smallest, largest int32) {
	smallest, largest = order(r, g)
	smallest, _ = order(smallest, b)
	_, largest = order(largest, b)
	return smallest, largest
}

func order(a, b int32) (low, high int32) {
	d := a - b
	d &= d >> 31 // a−b if that is negative, else 0
	return b + d, a - d
}

// hueOf returns the hue of a color whose largest sample is v and whose smallest is v−d. It wraps
// around at 256.
func hueOf(r, g, b, v, d int32) uint8 {
	// All three cases are computed first to avoid branches.
	h, green, red := r-g+4*d, b-r+2*d, g-b
	if v == g {
		h = green
	}
	if v == r {
		h = red
	}
	return uint8((h*hueScale[d&255] + 1<<15) >> 16)
}

// The fixed-point formats of [LabTables].
const (
	LabXYZBits  = 12   // fraction bits of Matrix
	LabRootBits = 20   // fraction bits of f in Roots
	LabRoots    = 2048 // steps of X, Y and Z
)

// LabTables are the tables of [Lab].
type LabTables struct {
	// Linear is the linear light of a sample, less than LabRoots.
	Linear [256]int32
	// Roots is f<<8 | L* of X, Y or Z. CIE's f is at most 1, with LabRootBits fraction bits.
	Roots [LabRoots]int32
	// Matrix has a row for each of X, Y and Z: the weights of linear red, green and blue, and a
	// term for rounding. All results must be below LabRoots<<LabXYZBits.
	Matrix [3][4]int16
}

func (t *LabTables) root(m *[4]int16, u, v, w int32) int32 {
	sum := u*int32(m[0]) + v*int32(m[1]) + w*int32(m[2]) + int32(m[3])
	return t.Roots[sum>>LabXYZBits&(LabRoots-1)]
}

// Lab writes L*, 500·(f(X)−f(Y))+128 and 200·(f(Y)−f(Z))+128, rounded to the nearest. The latter two
// must be in 0..255.
func Lab(l, a, b, red, green, blue []uint8, t *LabTables) {
	checkLengths("Lab", len(l), len(a), len(b), len(red), len(green), len(blue))
	lab(l, a, b, red, green, blue, t)
}

func labGeneric(l, a, b, red, green, blue []uint8, t *LabTables) {
	const center = 128<<LabRootBits + 1<<(LabRootBits-1)
	green, blue = green[:len(red)], blue[:len(red)]
	l, a, b = l[:len(red)], a[:len(red)], b[:len(red)]
	m := t.Matrix
	for i := range red {
		u, v, w := t.Linear[red[i]], t.Linear[green[i]], t.Linear[blue[i]]
		x, y, z := t.root(&m[0], u, v, w), t.root(&m[1], u, v, w), t.root(&m[2], u, v, w)
		fx, fy, fz := x>>8, y>>8, z>>8
		l[i] = uint8(y)
		a[i] = uint8((500*(fx-fy) + center) >> LabRootBits)
		b[i] = uint8((200*(fy-fz) + center) >> LabRootBits)
	}
}

// Downsample2 writes the mean of each 2×2 samples of two rows, rounded to the nearest. The rows are
// twice as long as dst.
func Downsample2(dst, top, bottom []uint8) {
	checkLengths("Downsample2", 2*len(dst), len(top), len(bottom))
	downsample2(dst, top, bottom)
}

func downsample2Generic(dst, top, bottom []uint8) {
	for x := range dst {
		dst[x] = uint8((int(top[2*x]) + int(top[2*x+1]) + int(bottom[2*x]) + int(bottom[2*x+1]) + 2) / 4)
	}
}

// Split3 writes the samples of interleaved pixels to their three planes. pixels is three times as long
// as a plane.
func Split3(a, b, c, pixels []uint8) {
	checkLengths("Split3", len(a), len(b), len(c))
	checkLengths("Split3", 3*len(a), len(pixels))
	split3(a, b, c, pixels)
}

func split3Generic(a, b, c, pixels []uint8) {
	b, c = b[:len(a)], c[:len(a)]
	for i := range a {
		p := pixels[3*i:][:3]
		a[i], b[i], c[i] = p[0], p[1], p[2]
	}
}
