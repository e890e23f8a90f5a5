//go:build !purego

package simd

import "golang.org/x/sys/cpu"

var avx2 = cpu.X86.HasAVX2

func distances1(dst []uint16, a, b []float32) {
	if n := len(dst); avx2 && n >= 8 {
		distances1AVX2(&dst[0], &a[0], &b[0], n)
	} else {
		distances1Go(dst, a, b)
	}
}

func distances3(dst []uint16, a0, a1, a2, b0, b1, b2 []float32) {
	if n := len(dst); avx2 && n >= 8 {
		distances3AVX2(&dst[0], &a0[0], &a1[0], &a2[0], &b0[0], &b1[0], &b2[0], n)
	} else {
		distances3Go(dst, a0, a1, a2, b0, b1, b2)
	}
}

func thin4(kept, above, here *[2][]uint16, rightBelow []uint16) {
	if n := len(kept[0]); avx2 && n >= 16 {
		thin4AVX2(&kept[0][0], &kept[1][0], &above[0][0], &above[1][0], &here[0][0], &here[1][0], &rightBelow[0], n)
	} else {
		thin4Go(kept, above, here, rightBelow)
	}
}

func thin8(kept, above, here *[4][]uint16, rightBelow []uint16) {
	if n := len(kept[0]); avx2 && n >= 16 {
		thin8RightAVX2(&kept[0][0], &above[0][0], &above[1][0], &above[2][0], &above[3][0],
			&here[0][0], &here[1][0], &here[2][0], &here[3][0], &rightBelow[0], n)
		thin8DownAVX2(&kept[1][0], &kept[2][0], &kept[3][0],
			&here[0][0], &here[1][0], &here[2][0], &here[3][0], &rightBelow[0], n)
	} else {
		thin8Go(kept, above, here, rightBelow)
	}
}
