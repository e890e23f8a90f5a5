package scene

import (
	"math"
	"math/rand/v2"
)

// elevation is how far the camera looks down: a circle on the ground is this flat.
const elevation = 0.3

// A surface is an object's silhouette and its shading, in its own units: the origin
// is where it stands, one unit is its size, y points up.
type surface struct {
	name                  string
	left, right, down, up float64 // what the silhouette spans
	foot                  float64 // half the width of its stand, for the shadow
	// dist is the signed distance to the outline, negative inside, near enough at the edge.
	dist func(x, y float64) float64
	// color is the lit colour; w is the size of a pixel.
	color func(x, y, w float64) rgb
}

// lit shades a colour by the normal of its surface; gloss adds a highlight.
func lit(c rgb, nx, ny, nz, gloss float64) rgb {
	// The light comes from the upper left and from the front; the sky lights from above.
	d := float64(nx*-0.52) + float64(ny*0.60) + float64(nz*0.61)
	c = c.scale(0.26 + float64(0.10*ny) + float64(0.86*math.Max(0, d)))
	// Blinn's halfway vector between the light and a viewer straight ahead.
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

// turn is the cosine and the sine of about t eighths of a circle, -1..1.
func turn(t float64) (c, s float64) {
	t = float64(t * (math.Sqrt2 - 1))
	q := float64(t * t)
	return (1 - q) / (1 + q), 2 * t / (1 + q)
}

// tilt is a random turn by up to limit to either side.
func tilt(r *rand.Rand, limit float64) (c, s float64) {
	return turn(limit * (float64(2*float64(r.Float64())) - 1))
}

// ball is a sphere that carries a texture, turned at random.
func ball(r *rand.Rand, name string, radius, flat, gloss float64, tex texture) surface {
	c, s := tilt(r, 1)
	c2, s2 := tilt(r, 1)
	rx, ry := radius, float64(radius*flat)
	return surface{
		name: name, left: -rx, right: rx, up: 2 * ry, foot: 0.75 * rx,
		dist: func(x, y float64) float64 { return ellipse(x, y-ry, rx, ry) },
		color: func(x, y, w float64) rgb {
			nx, ny := x/rx, (y-ry)/ry
			nz := math.Sqrt(math.Max(0, 1-float64(nx*nx)-float64(ny*ny)))
			// Turn about the line of sight, then about the horizontal, to see a pole.
			px, py := float64(c*nx)-float64(s*ny), float64(s*nx)+float64(c*ny)
			py, pz := float64(c2*py)-float64(s2*nz), float64(s2*py)+float64(c2*nz)
			u := arcsin(px / math.Max(1e-6, hypot(px, pz)))
			if pz < 0 {
				u = math.Pi - u
			}
			return lit(tex(u/math.Pi, arcsin(py)/math.Pi+0.5, w), nx, ny, nz, gloss)
		},
	}
}

// apple is a ball with a dimple, a stalk and a leaf.
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
			c := lit(skin(float64(nx*0.6)/math.Max(0.3, nz), float64(ny*0.15), w), nx, ny, nz, 0.5)
			return c.scale(0.6 + float64(0.4*smooth(0, 0.13, hypot(x-0.01, (y-0.53)*1.6))))
		},
	}
}

// turned is a body of revolution, a pot: radii from the bottom to the top, evenly spaced.
func turned(name string, height float64, radii []float64, gloss float64, tex texture, inside rgb) surface {
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
				shade := mix(inside.scale(0.14), inside.scale(0.7), clamp01(0.5+float64(x/top/2)))
				return mix(shade, lit(tex(x, 0.98, w), -0.1, 0.8, 0.5, gloss), smooth(-0.022-w, -0.022, m))
			}
			r := radius(y)
			nx := math.Max(-0.99, math.Min(0.99, x/r))
			nz := math.Sqrt(1 - float64(nx*nx))
			slope := (radius(y+0.01) - radius(y-0.01)) * 50
			n := 1 / math.Sqrt(1+float64(slope*slope))
			v := (y + float64(elevation*r*nz)) / height
			c := tex(arcsin(nx)/math.Pi, v*height, w)
			c = lit(c, nx*n, -slope*n, nz*n, gloss)
			return c.scale(0.55 + float64(0.45*smooth(-0.05, 0.18, y+float64(elevation*bottom*nz))))
		},
	}
}

// crate is a cuboid on a corner: half its ground's sides are a and b, it is h high.
func crate(r *rand.Rand, name string, a, b, h float64, side, top texture) surface {
	c, s := turn(0.35 + float64(0.5*r.Float64()))
	// The ground's nearest corner and its rightmost; the other two are opposite.
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
				return lit(k, -0.05, 0.95, 0.3, 0).scale(0.97 + float64(0.06*(a-u)))
			}
			// A side: how far along its lower edge, and how high.
			if x < nearX {
				f := (nearX - x) / (nearX + rightX)
				z := y - float64(elevation*lerp(nearY, -rightY, f))
				return lit(side(f*2*b, z, w), -0.72, 0.05, 0.62, 0).scale(0.7 + float64(0.3*smooth(-0.02, 0.15, z)))
			}
			f := (x - nearX) / (rightX - nearX)
			z := y - float64(elevation*lerp(nearY, rightY, f))
			return lit(side(f*2*a, z, w), 0.62, 0.05, 0.55, 0).scale(0.7 + float64(0.3*smooth(-0.02, 0.15, z)))
		},
	}
}

// ribboned ties a ribbon across a face of the given width.
func ribboned(paper texture, ribbon rgb, middle float64, cross bool) texture {
	return func(u, v, w float64) rgb {
		d := math.Abs(u - middle)
		if cross {
			d = math.Min(d, math.Abs(v-middle))
		}
		return mix(ribbon.scale(0.8+float64(2*d)), paper(u, v, w), smooth(0.05, 0.05+w, d))
	}
}

// slatted is a face of boards with gaps between them.
func slatted(wood texture, n float64) texture {
	return func(u, v, w float64) rgb {
		board := math.Floor(v * n)
		c := wood(u+float64(board*3.7), v, w)
		return c.scale(0.3 + float64(0.7*smooth(0, 0.09, math.Min(frac(v*n), 1-frac(v*n)))))
	}
}

// The five-pointed star and the hexagon, of radius 1.
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

// plaque is a thick polygon that stands on the ground, bevelled towards its outline.
func plaque(r *rand.Rand, name string, points [][2]float64, size, round float64, tex texture) surface {
	c, s := tilt(r, 0.5)
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
		return lit(tex(u, v, w), gx*t, float64(gy*t)+0.1, math.Sqrt(1-float64(t*t)), 0.1)
	}
	return out
}

// cushion is a rounded square, puffed up.
func cushion(r *rand.Rand, tex texture) surface {
	c, s := tilt(r, 0.45)
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
			// The sides curve inwards between the corners.
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
			return lit(tex(u, v, w), nx, ny, nz, 0)
		},
	}
}

// kinds is how many sorts of things thing knows.
const kinds = 12

// Kinds are the names that a scene's objects have, in order.
func Kinds() []string {
	return []string{"apple", "ball", "book", "bottle", "bowl", "crate", "cushion", "gift", "orange", "star", "tile", "vase"}
}

// thing makes an object of the given sort in two of the palette's colours.
func thing(r *rand.Rand, kind int, pal *palette, first int) surface {
	seed := r.Uint32()
	n := len(pal.things)
	a, b := pal.things[first%n], pal.things[(first+1+r.IntN(n-1))%n]
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
	switch kind {
	case 0:
		return turned("vase", vary(1.15), []float64{vary(0.17), vary(0.3), 0.34, vary(0.22), 0.12, vary(0.17)}, 0.35, pattern(6), a)
	case 1:
		red := speckled(hex(0xb3261e), hex(0xe2a03c), seed)
		if r.IntN(2) == 0 {
			red = speckled(hex(0x8fae3a), hex(0xc9cf6a), seed)
		}
		return apple(red, hex(0x4f7f35))
	case 2:
		return ball(r, "ball", vary(0.33), 1, 0.5, segmented(a, b, 4, seed))
	case 3:
		d := vary(0.34)
		paper := dotted(a, b, 7, seed)
		return crate(r, "gift", d, d, vary(0.5), ribboned(paper, pal.pale, d, false), ribboned(paper, pal.pale, d, true))
	case 4:
		return plaque(r, "star", starPoints, vary(0.42), 0.03, mottled(hex(0xe0a93a), seed))
	case 5:
		return turned("bowl", vary(0.42), []float64{0.18, vary(0.36), 0.46, vary(0.5)}, 0.3, pattern(7), a)
	case 6:
		return cushion(r, checked(a, b, 5, seed))
	case 7:
		return crate(r, "crate", vary(0.42), vary(0.34), vary(0.45), slatted(wood, 6), slatted(wood, 5))
	case 8:
		return turned("bottle", vary(1.25), []float64{0.17, 0.19, 0.19, vary(0.18), 0.075, 0.06, 0.07}, 0.8, mottled(mix(a, pal.dark, 0.45), seed), a)
	case 9:
		return ball(r, "orange", vary(0.26), 0.96, 0.22, speckled(hex(0xe9862a), hex(0xcf6a1c), seed))
	case 10:
		return crate(r, "book", vary(0.48), vary(0.34), vary(0.14), striped(a, pal.pale, 9, seed), mottled(a, seed))
	default:
		return plaque(r, "tile", hexagonPoints, vary(0.36), 0.02, pattern(5))
	}
}
