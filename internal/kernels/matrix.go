package kernels

import "fmt"

// The size of the tile that [MultiplyAdd] computes.
const (
	TileRows    = 4
	TileColumns = 16
)

// MultiplyAdd adds the product of a TileRows×n matrix a and an n×TileColumns matrix b to c. Element
// (i,k) of a is a[i*aRow+k*aColumn]; rows of b begin bRow apart, those of c cRow. The products of an
// element are added in the order of k. It panics if an element is out of range, or n is not above 0.
func MultiplyAdd(c []float32, cRow int, a []float32, aRow, aColumn int, b []float32, bRow, n int) {
	if n <= 0 || min(cRow, aRow, aColumn, bRow) < 0 ||
		(TileRows-1)*cRow+TileColumns > len(c) || (TileRows-1)*aRow+(n-1)*aColumn >= len(a) || (n-1)*bRow+TileColumns > len(b) {
		panic(fmt.Sprintf("kernels: MultiplyAdd: lengths %d, %d, %d: n %d, strides %d, %d, %d, %d",
			len(c), len(a), len(b), n, cRow, aRow, aColumn, bRow))
	}
	multiplyAdd(c, cRow, a, aRow, aColumn, b, bRow, n)
}

func multiplyAddGeneric(c []float32, cRow int, a []float32, aRow, aColumn int, b []float32, bRow, n int) {
	for i := range TileRows {
		row := (*[TileColumns]float32)(c[i*cRow:])
		sums := *row
		for k := range n {
			v, factors := a[i*aRow+k*aColumn], (*[TileColumns]float32)(b[k*bRow:])
			for j, f := range factors {
				sums[j] += float32(v * f)
			}
		}
		*row = sums
	}
}
