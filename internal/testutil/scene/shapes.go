package scene

import (
	"math"
	"math/rand/v2"
)

// elevation is the ratio of the axes of a horizontal circle as the camera sees it from above.
const elevation = 0.3

// A surface is the silhouette and the shading of an object, in units of its size. The origin is the
// point where the object stands on the ground; y points up.
type surface struct {
	name                  string
	left, right, down, up float64 // extent of the silhouette
	foot                  float64 // half the width of the base, for the shadow
	// dist approximates the signed distance to the outline, negative inside.
	dist func(x, y float64) float64
	// color returns the shaded color; w is the size of a pixel.
	color func(x, y, w float64) rgb
}

// shade returns a color shaded by the normal of the surface, with a highlight of strength gloss.
func shade(c rgb, nx, ny, nz, gloss float64) rgb {
	// Directional light from the upper left and the front, and ambient light from above.
	d := float64(nx*-0.52) + float64(ny*0.60) + float64(nz*0.61)
	c = c.scale(0.26 + float64(0.10*ny) + float64(0.86*math.Max(0, d)))
	// Blinn highlight: the halfway vector between the light and a viewer straight ahead.
	s := math.Max(0, float64(nx*-0.29)+float64(ny*0.334)+float64(nz*0.897))
	for range 5 {
		s *= s
	}
	return c.add(gloss * s)
}

func ellipse(x, y, rx, ry float64) float64 {
	px, py := x/rx, y/ry
	k := hypot(px, py)
	g := hypot(px/rx, py/ry)
	if g == 0 {
		return -math.Min(rx, ry)
	}
	return k * (k - 1) / g
}

func capsule(x, y, x0, y0, x1, y1, r float64) float64 {
	dx, dy := x1-x0, y1-y0
	t := clamp01((float64((x-x0)*dx) + float64((y-y0)*dy)) / (float64(dx*dx) + float64(dy*dy)))
	return hypot(x-x0-float64(t*dx), y-y0-float64(t*dy)) - r
}

// rotation returns the cosine and the sine of an angle of about t eighths of a circle, t in -1..1.
func rotation(t float64) (c, s float64) {
	t = float64(t * (math.Sqrt2 - 1))
	q := float64(t * t)
	return (1 - q) / (1 + q), 2 * t / (1 + q)
}

// randomRotation returns a rotation by up to limit eighths of a circle in either direction.
func randomRotation(r *rand.Rand, limit float64) (c, s float64) {
	return rotation(limit * (float64(2*float64(r.Float64())) - 1))
}

// sphere is a textured ellipsoid in a random orientation.
func sphere(r *rand.Rand, name string, radius, flat, gloss float64, tex texture) surface {
	c, s := randomRotation(r, 1)
	c2, s2 := randomRotation(r, 1)
	rx, ry := radius, float64(radius*flat)
	return surface{
		name: name, left: -rx, right: rx, up: 2 * ry, foot: 0.75 * rx,
		dist: func(x, y float64) float64 { return ellipse(x, y-ry, rx, ry) },
		color: func(x, y, w float64) rgb {
			nx, ny := x/rx, (y-ry)/ry
			nz := math.Sqrt(math.Max(0, 1-float64(nx*nx)-float64(ny*ny)))
			// Rotate about the line of sight, then about the horizontal axis, so that a pole is
			// visible.
			px, py := float64(c*nx)-float64(s*ny), float64(s*nx)+float64(c*ny)
			py, pz := float64(c2*py)-float64(s2*nz), float64(s2*py)+float64(c2*nz)
			u := arcsin(px / math.Max(1e-6, hypot(px, pz)))
			if pz < 0 {
				u = math.Pi - u
			}
			return shade(tex(u/math.Pi, arcsin(py)/math.Pi+0.5, w), nx, ny, nz, gloss)
		},
	}
}

// apple is a sphere with a dimple, a stalk and a leaf.
func apple(skin texture, leaf rgb) surface {
	const r = 0.3
	stalk := func(x, y float64) float64 { return capsule(x, y, 0.01, 0.5, 0.05, 0.66, 0.014) }
	blade := func(x, y float64) float64 { return ellipse(x-float64(0.35*y)+0.068, y-0.6, 0.1, 0.04) }
	body := func(x, y float64) float64 {
		return math.Min(ellipse(x-0.09, y-0.28, r*0.78, 0.28), ellipse(x+0.09, y-0.28, r*0.78, 0.28))
	}
	return surface{
		name: "apple", left: -0.36, right: 0.36, up: 0.68, foot: 0.22,
		dist: func(x, y float64) float64 { return math.Min(body(x, y), math.Min(stalk(x, y), blade(x, y))) },
		color: func(x, y, w float64) rgb {
			if blade(x, y) < w/2 {
				return leaf.scale(0.8 + float64(5*math.Abs(y-0.6)))
			}
			if stalk(x, y) < w/2 {
				return hex(0x5a3d22)
			}
			nx, ny := x/0.33, (y-0.28)/0.3
			nz := math.Sqrt(math.Max(0.02, 1-float64(nx*nx)-float64(ny*ny)))
			c := shade(skin(float64(nx*0.6)/math.Max(0.3, nz), float64(ny*0.15), w), nx, ny, nz, 0.5)
			return c.scale(0.6 + float64(0.4*smooth(0, 0.13, hypot(x-0.01, (y-0.53)*1.6))))
		},
	}
}

// revolution is a hollow solid of revolution, with evenly spaced radii from the bottom to the top.
func revolution(name string, height float64, radii []float64, gloss float64, tex texture, inside rgb) surface {
	last := float64(len(radii) - 1)
	radius := func(y float64) float64 {
		t := float64(clamp01(y/height) * last)
		i := min(int(t), len(radii)-2)
		// A Catmull-Rom spline through the radii.
		p1, p2 := radii[i], radii[i+1]
		p0, p3 := radii[max(i-1, 0)], radii[min(i+2, len(radii)-1)]
		f := t - float64(i)
		a := float64(f * (float64(3*(p1-p2)) + p3 - p0))
		b := float64(2*p0) - float64(5*p1) + float64(4*p2) - p3
		return p1 + float64(0.5*f*(p2-p0+float64(f*(a+b))))
	}
	widest := 0.0
	for i := range 65 {
		widest = math.Max(widest, radius(height*float64(i)/64))
	}
	bottom, top := radii[0], radii[len(radii)-1]
	mouth := func(x, y float64) float64 { return ellipse(x, y-height, top, top*elevation) }
	return surface{
		name: name, left: -widest, right: widest, down: -bottom * elevation, up: height + float64(top*elevation), foot: bottom,
		dist: func(x, y float64) float64 {
			r := radius(y)
			slope := (radius(y+0.01) - radius(y-0.01)) * 50
			side := math.Max((math.Abs(x)-r)/math.Sqrt(1+float64(slope*slope)), math.Max(-y, y-height))
			return math.Min(side, math.Min(mouth(x, y), ellipse(x, y, bottom, bottom*elevation)))
		},
		color: func(x, y, w float64) rgb {
			if m := mouth(x, y); m < 0 && top > 0.06 {
				interior := mix(inside.scale(0.14), inside.scale(0.7), clamp01(0.5+float64(x/top/2)))
				return mix(interior, shade(tex(x, 0.98, w), -0.1, 0.8, 0.5, gloss), smooth(-0.022-w, -0.022, m))
			}
			r := radius(y)
			nx := math.Max(-0.99, math.Min(0.99, x/r))
			nz := math.Sqrt(1 - float64(nx*nx))
			slope := (radius(y+0.01) - radius(y-0.01)) * 50
			n := 1 / math.Sqrt(1+float64(slope*slope))
			v := (y + float64(elevation*r*nz)) / height
			c := tex(arcsin(nx)/math.Pi, v*height, w)
			c = shade(c, nx*n, -slope*n, nz*n, gloss)
			return c.scale(0.55 + float64(0.45*smooth(-0.05, 0.18, y+float64(elevation*bottom*nz))))
		},
	}
}

// cuboid is a box of height h seen at a corner. The half sides of its base are a and b.
func cuboid(r *rand.Rand, name string, a, b, h float64, side, top texture) surface {
	c, s := rotation(0.35 + float64(0.5*r.Float64()))
	// The nearest and the rightmost corner of the base; the other two are opposite.
	nearX, nearY := float64(b*s)-float64(a*c), -float64(a*s)-float64(b*c)
	rightX, rightY := float64(a*c)+float64(b*s), float64(a*s)-float64(b*c)
	outline := [][2]float64{
		{nearX, nearY * elevation},
		{rightX, rightY * elevation},
		{rightX, float64(rightY*elevation) + h},
		{-nearX, float64(-nearY*elevation) + h},
		{-rightX, float64(-rightY*elevation) + h},
		{-rightX, -rightY * elevation},
	}
	return surface{
		name: name, left: -rightX, right: rightX, down: nearY * elevation, up: h - float64(nearY*elevation), foot: rightX * 0.95,
		dist: func(x, y float64) float64 {
			d := math.Inf(-1)
			for i, p := range outline {
				n := outline[(i+1)%len(outline)]
				ex, ey := n[0]-p[0], n[1]-p[1]
				d = math.Max(d, (float64((x-p[0])*ey)-float64((y-p[1])*ex))/hypot(ex, ey))
			}
			return d
		},
		color: func(x, y, w float64) rgb {
			gy := (y - h) / elevation
			if u, v := float64(x*c)+float64(gy*s), float64(gy*c)-float64(x*s); math.Abs(u) <= a && math.Abs(v) <= b {
				k := top(u+a, v+b, w*2)
				return shade(k, -0.05, 0.95, 0.3, 0).scale(0.97 + float64(0.06*(a-u)))
			}
			// A side: the position along its lower edge, and the height.
			if x < nearX {
				f := (nearX - x) / (nearX + rightX)
				z := y - float64(elevation*lerp(nearY, -rightY, f))
				return shade(side(f*2*b, z, w), -0.72, 0.05, 0.62, 0).scale(0.7 + float64(0.3*smooth(-0.02, 0.15, z)))
			}
			f := (x - nearX) / (rightX - nearX)
			z := y - float64(elevation*lerp(nearY, rightY, f))
			return shade(side(f*2*a, z, w), 0.62, 0.05, 0.55, 0).scale(0.7 + float64(0.3*smooth(-0.02, 0.15, z)))
		},
	}
}

// ribboned is paper with a ribbon at u = middle and, if cross is set, also at v = middle.
func ribboned(paper texture, ribbon rgb, middle float64, cross bool) texture {
	return func(u, v, w float64) rgb {
		d := math.Abs(u - middle)
		if cross {
			d = math.Min(d, math.Abs(v-middle))
		}
		return mix(ribbon.scale(0.8+float64(2*d)), paper(u, v, w), smooth(0.05, 0.05+w, d))
	}
}

// slatted is boards with gaps between them.
func slatted(wood texture, n float64) texture {
	return func(u, v, w float64) rgb {
		board := math.Floor(v * n)
		c := wood(u+float64(board*3.7), v, w)
		return c.scale(0.3 + float64(0.7*smooth(0, 0.09, math.Min(frac(v*n), 1-frac(v*n)))))
	}
}

// The vertices of a five-pointed star and of a hexagon of radius 1.
var (
	starPoints = [][2]float64{
		{0, 1},
		{-0.2763, 0.3804},
		{-0.9511, 0.3090},
		{-0.4472, -0.1453},
		{-0.5878, -0.8090},
		{0, -0.4702},
		{0.5878, -0.8090},
		{0.4472, -0.1453},
		{0.9511, 0.3090},
		{0.2763, 0.3804},
	}
	hexagonPoints = [][2]float64{{0, 1}, {-0.8660, 0.5}, {-0.8660, -0.5}, {0, -1}, {0.8660, -0.5}, {0.8660, 0.5}}
)

// prism is an upright plate with a polygonal outline and beveled edges.
func prism(r *rand.Rand, name string, points [][2]float64, size, round float64, tex texture) surface {
	c, s := randomRotation(r, 0.5)
	p := make([][2]float64, len(points))
	out := surface{name: name, left: math.Inf(1), right: math.Inf(-1), up: math.Inf(-1), foot: 0.45 * size}
	low := math.Inf(1)
	for i, q := range points {
		p[i] = [2]float64{size * (float64(c*q[0]) - float64(s*q[1])), size * (float64(s*q[0]) + float64(c*q[1]))}
		low = math.Min(low, p[i][1])
	}
	for i := range p {
		p[i][1] += round - low
		out.left, out.right = math.Min(out.left, p[i][0]-round), math.Max(out.right, p[i][0]+round)
		out.up = math.Max(out.up, p[i][1]+round)
	}
	dist := func(x, y float64) float64 {
		near, inside := math.Inf(1), false
		for i, a := range p {
			b := p[(i+1)%len(p)]
			near = math.Min(near, capsule(x, y, a[0], a[1], b[0], b[1], 0))
			if (a[1] > y) != (b[1] > y) && x < a[0]+float64((y-a[1])/(b[1]-a[1])*(b[0]-a[0])) {
				inside = !inside
			}
		}
		if inside {
			near = -near
		}
		return near - round
	}
	out.dist = dist
	out.color = func(x, y, w float64) rgb {
		const h, bevel = 0.004, 0.07
		gx, gy := (dist(x+h, y)-dist(x-h, y))/(2*h), (dist(x, y+h)-dist(x, y-h))/(2*h)
		t := 0.75 * (1 - smooth(0, bevel, -dist(x, y)))
		u, v := float64(c*x)+float64(s*y), float64(c*y)-float64(s*x)
		return shade(tex(u, v, w), gx*t, float64(gy*t)+0.1, math.Sqrt(1-float64(t*t)), 0.1)
	}
	return out
}

// cushion is a rounded, padded square.
func cushion(r *rand.Rand, tex texture) surface {
	c, s := randomRotation(r, 0.45)
	const half, round = 0.25, 0.1
	reach := float64(half*(c+math.Abs(s))) + round
	untilt := func(x, y float64) (float64, float64) {
		y -= reach
		return float64(c*x) + float64(s*y), float64(c*y) - float64(s*x)
	}
	return surface{
		name: "cushion", left: -reach, right: reach, up: 2 * reach, foot: 0.26,
		dist: func(x, y float64) float64 {
			u, v := untilt(x, y)
			// The sides curve inward between the corners.
			u, v = u*(1.06-math.Min(0.15, 0.9*v*v)), v*(1.06-math.Min(0.15, 0.9*u*u))
			p, q := math.Abs(u)-half, math.Abs(v)-half
			return hypot(math.Max(p, 0), math.Max(q, 0)) + math.Min(math.Max(p, q), 0) - round
		},
		color: func(x, y, w float64) rgb {
			u, v := untilt(x, y)
			a, b := u/(half+round), v/(half+round)
			nu, nv := a*a*a*0.8, b*b*b*0.8
			nx, ny := float64(c*nu)-float64(s*nv), float64(s*nu)+float64(c*nv)
			nz := math.Sqrt(math.Max(0.05, 1-float64(nx*nx)-float64(ny*ny)))
			return shade(tex(u, v, w), nx, ny, nz, 0)
		},
	}
}

// numClasses is the number of classes of objects.
const numClasses = 12

// Classes returns the classes of objects, sorted.
func Classes() []string {
	return []string{"apple", "ball", "book", "bottle", "bowl", "crate", "cushion", "gift", "orange", "star", "tile", "vase"}
}

// newObject returns an object of a class in two colors of the palette.
func newObject(r *rand.Rand, class int, pal *palette, first int) surface {
	seed := r.Uint32()
	n := len(pal.colors)
	a, b := pal.colors[first%n], pal.colors[(first+1+r.IntN(n-1))%n]
	if r.IntN(2) == 0 {
		b = pal.pale
	}
	pattern := func(n float64) texture {
		switch r.IntN(6) {
		case 0:
			return striped(a, b, n, seed)
		case 1:
			return zigzag(a, b, n, seed)
		case 2:
			return dotted(a, b, n, seed)
		case 3:
			return checked(a, b, n, seed)
		case 4:
			return speckled(a, b, seed)
		}
		return mottled(a, seed)
	}
	vary := func(x float64) float64 { return x * (0.88 + float64(0.24*r.Float64())) }
	wood := grained(hex(0xb98650), hex(0x6f4526), seed)
	switch class {
	case 0:
		return revolution("vase", vary(1.15), []float64{vary(0.17), vary(0.3), 0.34, vary(0.22), 0.12, vary(0.17)}, 0.35, pattern(6), a)
	case 1:
		red := speckled(hex(0xb3261e), hex(0xe2a03c), seed)
		if r.IntN(2) == 0 {
			red = speckled(hex(0x8fae3a), hex(0xc9cf6a), seed)
		}
		return apple(red, hex(0x4f7f35))
	case 2:
		return sphere(r, "ball", vary(0.33), 1, 0.5, segmented(a, b, 4, seed))
	case 3:
		d := vary(0.34)
		paper := dotted(a, b, 7, seed)
		return cuboid(r, "gift", d, d, vary(0.5), ribboned(paper, pal.pale, d, false), ribboned(paper, pal.pale, d, true))
	case 4:
		return prism(r, "star", starPoints, vary(0.42), 0.03, mottled(hex(0xe0a93a), seed))
	case 5:
		return revolution("bowl", vary(0.42), []float64{0.18, vary(0.36), 0.46, vary(0.5)}, 0.3, pattern(7), a)
	case 6:
		return cushion(r, checked(a, b, 5, seed))
	case 7:
		return cuboid(r, "crate", vary(0.42), vary(0.34), vary(0.45), slatted(wood, 6), slatted(wood, 5))
	case 8:
		return revolution("bottle", vary(1.25), []float64{0.17, 0.19, 0.19, vary(0.18), 0.075, 0.06, 0.07}, 0.8, mottled(mix(a, pal.dark, 0.45), seed), a)
	case 9:
		return sphere(r, "orange", vary(0.26), 0.96, 0.22, speckled(hex(0xe9862a), hex(0xcf6a1c), seed))
	case 10:
		return cuboid(r, "book", vary(0.48), vary(0.34), vary(0.14), striped(a, pal.pale, 9, seed), mottled(a, seed))
	default:
		return prism(r, "tile", hexagonPoints, vary(0.36), 0.02, pattern(5))
	}
}
