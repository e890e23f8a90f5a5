package scene

import "math"

// The code of this package converts each product to float64 before it adds it to another value,
// including arguments of functions that may be inlined: otherwise the result would differ on
// processors with a fused multiply-add. For the same reason it uses only Sqrt, Floor, Abs, Min and
// Max of package math.

// rgb is a color in linear light, 0..1. Images store its square root, a gamma of 2.
type rgb [3]float64

func hex(c uint32) rgb {
	var v rgb
	for i := range v {
		s := float64(c>>(16-8*i)&255) / 255
		v[i] = s * s
	}
	return v
}

func (a rgb) scale(s float64) rgb { return rgb{a[0] * s, a[1] * s, a[2] * s} }

func (a rgb) add(s float64) rgb {
	s = float64(s)
	return rgb{a[0] + s, a[1] + s, a[2] + s}
}

func mix(a, b rgb, t float64) rgb {
	return rgb{lerp(a[0], b[0], t), lerp(a[1], b[1], t), lerp(a[2], b[2], t)}
}

func lerp(a, b, t float64) float64 {
	a, b = float64(a), float64(b)
	return a + float64((b-a)*t)
}

func clamp01(x float64) float64 { return math.Min(1, math.Max(0, x)) }

// smooth is the smoothstep function: it rises from 0 at a to 1 at b.
func smooth(a, b, x float64) float64 {
	t := clamp01((x - a) / (b - a))
	return float64(t * t * (3 - float64(2*t)))
}

func hypot(x, y float64) float64 { return math.Sqrt(float64(x*x) + float64(y*y)) }

func frac(x float64) float64 {
	x = float64(x)
	return x - math.Floor(x)
}

// arcsin approximates the inverse sine within 1e-4 (Abramowitz & Stegun 4.4.45).
func arcsin(x float64) float64 {
	a := math.Min(1, math.Abs(x))
	p := 0.0742610 - float64(0.0187293*a)
	p = float64(p*a) - 0.2121144
	p = float64(p*a) + 1.5707288
	r := math.Pi/2 - float64(math.Sqrt(1-a)*p)
	if x < 0 {
		return -r
	}
	return r
}

// hash returns a uniformly distributed number in [0,1) for a lattice point.
func hash(x, y int32, seed uint32) float64 {
	h := uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca77 ^ seed*0xc2b2ae3d
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	h *= 0x297a2d39
	h ^= h >> 15
	return float64(float64(h>>8) / (1 << 24))
}

// noise returns smooth value noise in [0,1] with features of about one unit.
func noise(x, y float64, seed uint32) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int32(int64(fx)), int32(int64(fy))
	tx, ty := x-fx, y-fy
	tx = tx * tx * (3 - float64(2*tx))
	ty = ty * ty * (3 - float64(2*ty))
	return lerp(
		lerp(hash(ix, iy, seed), hash(ix+1, iy, seed), tx),
		lerp(hash(ix, iy+1, seed), hash(ix+1, iy+1, seed), tx), ty)
}

// clouds returns fractal noise in [0,1]: octaves of noise, each with twice the frequency and half
// the amplitude.
func clouds(x, y float64, octaves int, seed uint32) float64 {
	sum, weight, total := 0.0, 1.0, 0.0
	for i := range octaves {
		sum += float64(weight * noise(x, y, seed+uint32(i)))
		total += weight
		weight /= 2
		x, y = float64(x*2)+7.3, float64(y*2)+3.1
	}
	return sum / total
}

// A texture returns the color of a surface at (u,v). Edges are smoothed over w, the size of a pixel
// in units of u and v.
type texture func(u, v, w float64) rgb

// band is 1 in the first part of each unit of x and 0 in the rest, smoothed over w.
func band(x, part, w float64) float64 {
	w = math.Min(w, 0.2) + 0.01
	f := frac(x)
	return float64(smooth(0, w, f) * (1 - smooth(part, part+w, f)))
}

// triangle is a triangle wave: it goes from 1 to 0 and back in each unit of x.
func triangle(x float64) float64 { return math.Abs(float64(2*frac(x)) - 1) }

func mottled(a rgb, seed uint32) texture {
	return func(u, v, _ float64) rgb {
		return a.scale(0.78 + float64(0.44*clouds(u*2.5, v*2.5, 3, seed)))
	}
}

func speckled(a, b rgb, seed uint32) texture {
	return func(u, v, _ float64) rgb {
		c := a.scale(0.85 + float64(0.3*clouds(u*1.7, v*1.7, 2, seed)))
		return mix(c, b, 0.7*smooth(0.68, 0.8, noise(u*19, v*19, seed+9)))
	}
}

func striped(a, b rgb, n float64, seed uint32) texture {
	return func(u, v, w float64) rgb {
		c := mix(a, b, band(float64(v*n)+0.25, 0.5, w*n))
		return c.scale(0.88 + float64(0.24*clouds(u*6, v*6, 2, seed)))
	}
}

func segmented(a, b rgb, n float64, seed uint32) texture {
	stripes := striped(a, b, n, seed)
	return func(u, v, w float64) rgb { return stripes(v, u, w) }
}

func checked(a, b rgb, n float64, seed uint32) texture {
	return func(u, v, w float64) rgb {
		p, q := band(u*n, 0.5, w*n), band(v*n, 0.5, w*n)
		c := mix(a, b, p+q-float64(2*p*q))
		return c.scale(0.88 + float64(0.24*clouds(u*7, v*7, 2, seed)))
	}
}

func dotted(a, b rgb, n float64, seed uint32) texture {
	return func(u, v, w float64) rgb {
		x, y := float64(u*n), float64(v*n)
		if int64(math.Floor(y))&1 != 0 {
			x += 0.5
		}
		d := hypot(frac(x)-0.5, frac(y)-0.5)
		e := math.Min(w*n, 0.3) + 0.01
		c := mix(b, a, smooth(0.3-float64(e/2), 0.3+float64(e/2), d))
		return c.scale(0.9 + float64(0.2*clouds(u*5, v*5, 2, seed)))
	}
}

func zigzag(a, b rgb, n float64, seed uint32) texture {
	return func(u, v, w float64) rgb {
		c := mix(a, b, band(float64(v*n)+float64(0.45*triangle(u*n)), 0.45, w*n*1.5))
		return c.scale(0.88 + float64(0.24*clouds(u*6, v*6, 2, seed)))
	}
}

// grained is wood with fibers along u, bent by rings.
func grained(a, b rgb, seed uint32) texture {
	return func(u, v, _ float64) rgb {
		bend := float64(noise(u*0.9, v*2, seed) * 1.6)
		ring := triangle(float64(v*4) + bend)
		fiber := clouds(u*3, v*38, 3, seed+5)
		return mix(a, b, clamp01(float64(0.45*ring)+float64(0.9*fiber)-0.2))
	}
}

// A palette is a set of matching colors.
type palette struct {
	wall, wall2 rgb
	colors      []rgb
	pale, dark  rgb
}

var palettes = []palette{
	{hex(0xc9b79c), hex(0xb59f80), []rgb{hex(0xc4512f), hex(0xe3a22b), hex(0x2a7f86), hex(0x28486b), hex(0x84a06c), hex(0xd98579)}, hex(0xf4e8d0), hex(0x2b2a33)},
	{hex(0x7f9aa0), hex(0x6c8890), []rgb{hex(0x9b2d4f), hex(0xea8c6c), hex(0xd9b44a), hex(0x3f7d6e), hex(0x51406b), hex(0xd7d2c0)}, hex(0xf5ead6), hex(0x27323b)},
	{hex(0xd6c6b8), hex(0xc9a79c), []rgb{hex(0xe0502a), hex(0x2f4a85), hex(0xf3a712), hex(0x7fae62), hex(0x5d9cc4), hex(0xb03a5b)}, hex(0xfaf0dc), hex(0x2c2533)},
	{hex(0x8f9b80), hex(0x7d8a6e), []rgb{hex(0xb5452c), hex(0xf0c05a), hex(0x345f63), hex(0xe6d3b1), hex(0x7a3e56), hex(0x5f86a6)}, hex(0xf2ead3), hex(0x2a2c27)},
}
