package scene

import (
	"math"
	"math/rand/v2"
)

// A backdrop is the background: a wall or the sky above the edge, and the ground in perspective
// below it.
type backdrop struct {
	w, h, edge, horizon float64
	pal                 *palette
	upper, lower        func(u, v, pixel float64) rgb
	outdoors            bool
}

func newBackdrop(r *rand.Rand, pal *palette, w, h float64) *backdrop {
	b := &backdrop{w: w, h: h, edge: h * (0.40 + float64(0.08*r.Float64())), horizon: h * 0.12, pal: pal}
	seed := r.Uint32()
	switch r.IntN(4) {
	case 0:
		b.lower, b.upper = planks(hex(0xa87442), hex(0x5e3a20), seed), plaster(pal, seed)
	case 1:
		b.lower, b.upper = planks(hex(0x8c8377), hex(0x544c43), seed), wallpaper(pal, seed)
	case 2:
		b.lower, b.upper = gingham(pal.pale, pal.colors[r.IntN(len(pal.colors))], seed), plaster(pal, seed)
	default:
		b.outdoors = true
		b.horizon = b.edge - float64(0.22*h)
		b.lower, b.upper = grass(seed), sky(seed, b.edge/h)
	}
	return b
}

func (b *backdrop) color(x, y float64) rgb {
	u := (x - float64(b.w/2)) / b.h
	if y < b.edge {
		c := b.upper(u, y/b.h, 1/b.h)
		if b.outdoors {
			return c
		}
		// The light comes from the upper left; the wall is darker near the table.
		light := 1.15 - float64(0.5*hypot(u+0.45, y/b.h-0.12))
		return c.scale(light * (0.72 + float64(0.28*smooth(0, 0.16, (b.edge-y)/b.h))))
	}
	d := (y - b.horizon) / (b.h - b.horizon)
	c := b.lower(u/d, 1/d, 1/(b.h*d*d))
	light := 1.12 - float64(0.42*hypot(u+0.3, 0.8*(y/b.h-0.62)))
	if !b.outdoors {
		light *= 0.8 + float64(0.2*smooth(0, 0.035, (y-b.edge)/b.h))
	}
	return c.scale(light)
}

func planks(a, b rgb, seed uint32) func(u, v, pixel float64) rgb {
	wood := grained(a, b, seed)
	return func(u, v, pixel float64) rgb {
		t := v * 4.5
		plank := math.Floor(t)
		tone := 0.78 + float64(0.44*hash(int32(plank), 0, seed))
		off := float64(37 * hash(int32(plank), 1, seed))
		c := wood(float64(u*0.8)+off, float64(v*0.8)+off, pixel).scale(tone)
		gap := math.Min(frac(t), 1-frac(t))
		return c.scale(0.35 + float64(0.65*smooth(0, 0.02+float64(3*pixel), gap)))
	}
}

func gingham(a, b rgb, seed uint32) func(u, v, pixel float64) rgb {
	return func(u, v, pixel float64) rgb {
		const n = 5
		p := band(float64(u*n)+40, 0.5, pixel*n) + band(v*n, 0.5, pixel*(2*n))
		c := mix(a, b, p*0.5)
		weave := noise(u*160, v*40, seed) + noise(u*40, v*160, seed+1)
		fold := clouds(u*1.3, v*1.3, 2, seed+2)
		return c.scale(0.62 + float64(0.16*weave) + float64(0.3*fold))
	}
}

func grass(seed uint32) func(u, v, pixel float64) rgb {
	light, dark, dry := hex(0x8fb04a), hex(0x33581f), hex(0xc2b565)
	return func(u, v, pixel float64) rgb {
		near := 1 / (1 + float64(60*pixel))
		blades := lerp(0.5, noise(u*95, v*26, seed), near)
		patch := clouds(u*2.2, v*2.2, 4, seed+3)
		c := mix(dark, light, clamp01(float64(0.75*blades)+float64(0.8*patch)-0.25))
		return mix(c, dry, 0.5*smooth(0.55, 0.75, clouds(u*1.1, v*1.1, 3, seed+7)))
	}
}

func plaster(pal *palette, seed uint32) func(u, v, pixel float64) rgb {
	return func(u, v, _ float64) rgb {
		c := mix(pal.wall, pal.wall2, clouds(u*3, v*3, 4, seed+11))
		return c.scale(0.93 + float64(0.14*noise(u*130, v*130, seed+12)))
	}
}

func wallpaper(pal *palette, seed uint32) func(u, v, pixel float64) rgb {
	return func(u, v, pixel float64) rgb {
		c := mix(pal.wall, pal.wall2, band(u*6, 0.5, pixel*6))
		// A diamond in the center of each stripe.
		d := math.Abs(frac(u*12)-0.5) + math.Abs(frac(float64(v*9)+float64(0.5*math.Floor(u*12)))-0.5)
		c = mix(pal.pale, c, 0.45+float64(0.55*smooth(0.16, 0.16+float64(24*pixel), d)))
		return c.scale(0.92 + float64(0.16*noise(u*90, v*90, seed+12)))
	}
}

func sky(seed uint32, edge float64) func(u, v, pixel float64) rgb {
	high, low, cloud := hex(0x5b92c4), hex(0xd9e6ea), hex(0xfdfaf2)
	far, near := hex(0x7f9bab), hex(0x58794f)
	return func(u, v, pixel float64) rgb {
		c := mix(high, low, clamp01(v/edge))
		c = mix(c, cloud, smooth(0.5, 0.75, clouds(float64(u*1.6)+9, v*4.5, 5, seed+21)))
		ridge := func(base, rise, scale float64, s uint32) float64 {
			return edge - base - float64(rise*clouds(float64(u*scale)+50, 0.5, 4, s))
		}
		c = mix(c, far, smooth(-pixel, pixel, v-ridge(0.02, 0.22, 2.2, seed+31)))
		trees := mix(near, near.scale(0.45), clouds(u*42, v*42, 3, seed+41))
		return mix(c, trees, smooth(-pixel, pixel, v-ridge(-0.035, 0.15, 3.1, seed+32)+float64(0.012*noise(u*60, 0, seed+33))))
	}
}
