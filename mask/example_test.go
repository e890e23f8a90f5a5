package mask_test

import (
	"fmt"

	"github.com/proposer/proposer/mask"
)

func ExampleEncoder() {
	e := mask.NewEncoder(4, 3) // two columns of two pixels each, from (1,1) on
	for x := 1; x < 3; x++ {
		e.Run(x*3+1, x*3+3)
	}
	m := e.RLE()
	fmt.Println(m, m.Counts(), m.Area(), m.Box())
	// Output: 42102 [4 2 1 2 3] 4 [1 1 3 3]
}

func ExampleParse() {
	m, err := mask.Parse("42102", 4, 3)
	fmt.Println(m.Counts(), err)
	_, err = mask.Parse("42102", 4, 4)
	fmt.Println(err)
	// Output:
	// [4 2 1 2 3] <nil>
	// mask: invalid run-length encoding: the runs have 12 pixels: want 4×4
}
