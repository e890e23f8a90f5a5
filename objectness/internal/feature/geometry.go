package feature

// geometry is the size, shape and position of the box, relative to the image except for the
// shorter side, which is in pixels. The horizontal position is the distance from the middle
// of the image, and borders are told apart by distance, so that all are their own mirror
// images.
var geometry = section{
	names: []string{
		"place.area", "place.width", "place.height", "place.aspect", "place.side",
		"place.x", "place.y", "place.near", "place.far", "place.top", "place.bottom", "place.borders",
	},
	fill: fillGeometry,
}

func fillGeometry(e *Extractor, b *Block, dst Columns) {
	width, height := float32(e.set.Image.Width), float32(e.set.Image.Height)
	for i := range b.candidates {
		box := b.candidates[i].Box
		w, h := float32(box.Width()), float32(box.Height())
		left, right := float32(box.X0), width-float32(box.X1)
		top, bottom := float32(box.Y0), height-float32(box.Y1)
		borders := float32(0) // of the image that the box touches
		for _, d := range [...]float32{left, right, top, bottom} {
			if d == 0 {
				borders++
			}
		}
		x := float32(box.X0+box.X1)/(2*width) - .5
		put(dst, i,
			log2(float32(box.Area())/float32(width*height)), w/width, h/height, log2(w/h), log2(min(w, h)),
			max(x, -x), float32(box.Y0+box.Y1)/(2*height),
			min(left, right)/width, max(left, right)/width, top/height, bottom/height, borders)
	}
}
