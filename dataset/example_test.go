package dataset_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/proposer/proposer/dataset"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "dataset")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	err = os.WriteFile(filepath.Join(dir, "instances.json"), []byte(`{
		"images": [{"id": 1, "file_name": "kitchen.jpg", "width": 640, "height": 480}],
		"annotations": [{"image_id": 1, "category_id": 3, "bbox": [10, 20, 100, 50], "iscrowd": 0}],
		"categories": [{"id": 3, "name": "cup"}]}`), 0o600)
	if err != nil {
		log.Fatal(err)
	}

	data, err := dataset.Open(dir, dataset.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, img := range data.Images {
		fmt.Println(img.File, img.Width, img.Height)
		for _, o := range img.Objects {
			fmt.Printf("%s: [%g, %g) × [%g, %g)\n", o.Class, o.X0, o.X1, o.Y0, o.Y1)
		}
	}
	// Output:
	// kitchen.jpg 640 480
	// cup: [10, 110) × [20, 70)
}

func ExampleReadVOC() {
	img, err := dataset.ReadVOC(strings.NewReader(`<annotation>
		<filename>000005.jpg</filename>
		<object>
			<name>chair</name>
			<bndbox><xmin>263</xmin><ymin>211</ymin><xmax>324</xmax><ymax>339</ymax></bndbox>
		</object>
	</annotation>`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", img.Objects)
	// Output: [{X0:262 Y0:210 X1:324 Y1:339 Class:chair Difficult:false Area:7998}]
}
