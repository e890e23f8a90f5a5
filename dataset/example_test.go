package dataset_test

import (
	"fmt"
	"strings"

	"github.com/proposer/proposer/dataset"
)

func ExampleReadVOC() {
	img, err := dataset.ReadVOC(strings.NewReader(`<annotation><filename>000005.jpg</filename><object><name>chair</name>
		<bndbox><xmin>263</xmin><ymin>211</ymin><xmax>324</xmax><ymax>339</ymax></bndbox></object></annotation>`))
	fmt.Printf("%+v %v\n", img.Objects, err)
	// Output: [{X0:262 Y0:210 X1:324 Y1:339 Class:chair Difficult:false}] <nil>
}
