//go:build !amd64 || purego

package simd

func distances1(dst []uint16, a, b []float32) { distances1Go(dst, a, b) }

func distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	distances3Go(dst, a0, a1, a2, b0, b1, b2)
}

func thin4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	thin4Go(kept, above, here, rightBelow)
}

func thin8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	thin8Go(kept, above, here, rightBelow)
}
