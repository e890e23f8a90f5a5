package openinference_test

import (
	"fmt"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/box"
)

func Example() {
	body := `{"id":"42","parameters":{"mode":"fast","max":100},
		"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["iVBORw=="]}]}`
	request, err := openinference.Parse([]byte(body), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q %v\n", request.Image, request.Options)

	boxes := []box.Box{{X0: 12, Y0: 7, X1: 201, Y1: 333}}
	response, headerLength, err := openinference.AppendResponse(nil, request, boxes, []float32{0.9}, openinference.ModelName, openinference.ModelVersion)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(openinference.ContentType(headerLength))
	fmt.Println(string(response))
	// Output:
	// "\x89PNG" map[max:100 mode:fast]
	// application/json
	// {"model_name":"selective_search","model_version":"1","id":"42","outputs":[{"name":"boxes","datatype":"FP32","shape":[1,4],"data":[12,7,201,333]},{"name":"scores","datatype":"FP32","shape":[1],"data":[0.9]}]}
}

func ExampleParse() {
	_, err := openinference.Parse([]byte(`{"inputs":[{"name":"image","shape":[8],"datatype":"BYTES","data":["iVBORw=="]}]}`), nil)
	fmt.Println(err)
	// Output:
	// openinference: input "image": shape [8]: want [1] or [1,1], for one image per request
}
