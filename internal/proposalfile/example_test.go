package proposalfile_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/proposalfile"
)

func ExampleRead() {
	const results = `[
		{"image_id": 139, "category_id": 1, "bbox": [10, 20, 30.5, 40], "score": 0.2},
		{"image_id": 139, "category_id": 1, "bbox": [0, 0, 100, 80], "score": 0.9}
	]`
	index := proposalfile.NewIndex([]dataset.Image{{File: "000000000139.jpg", ID: "139"}})
	for img, err := range proposalfile.Read(context.Background(), strings.NewReader(results)) {
		if err != nil {
			log.Fatal(err)
		}
		i, err := index.Find(img)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(i, img.Boxes)
	}
	// Output: 0 [{0 0 100 80} {10 20 40.5 60}]
}
