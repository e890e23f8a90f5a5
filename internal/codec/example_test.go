package codec_test

import (
	"fmt"
	"strings"

	"github.com/proposer/proposer/internal/codec"
)

func ExampleReadJSONL() {
	text := `{"file":"a.jpg","width":640,"height":480,"boxes":[[0,0,640,480],[12,7,201,333]],"scores":[1,0.5]}
{"file":"b.jpg","error":"not a picture"}
{"file":"c.jpg","boxes":[[1,2,3]]}`
	for line, err := range codec.ReadJSONL(strings.NewReader(text)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %v %q\n", line.Row.File, line.Row.Boxes, line.Row.Error)
	}
	// Output:
	// a.jpg [[0 0 640 480] [12 7 201 333]] ""
	// b.jpg [] "not a picture"
	// codec: line 3: "c.jpg": box 0: want [x0,y0,x1,y1]
}
