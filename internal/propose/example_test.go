package propose_test

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/scene"
)

func ExampleRun() {
	opts, err := propose.ParseOptions(map[string]string{"mode": "single", "order": "hierarchy", "max": "1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	file := scene.Render(1, 160, 120, 4).JPEG(90) // or os.ReadFile
	result, err := propose.Run(context.Background(), file, opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Width, result.Height, result.Format, result.Boxes)
	// Output: 160 120 jpeg [[0 0 160 120]]
}

func ExampleParseOptions() {
	_, err := propose.ParseOptions(map[string]string{"max": "-1", "sigma": "NaN"})
	fmt.Println(err)
	// Output:
	// max "-1": want a whole number from 0 to 2147483647
	// sigma "NaN": want a number from 0 to 16
}
