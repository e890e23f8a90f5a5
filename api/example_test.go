package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"

	"github.com/proposer/proposer/api"
)

// tokens authenticates clients by a map from tokens to names.
type tokens map[string]string

func (t tokens) Authenticate(token string) (client string, ok bool) {
	client, ok = t[token]
	return client, ok
}

// Example serves the API on a test server and asks for the boxes of an image: a red square on white.
func Example() {
	cfg := api.DefaultConfig()
	cfg.Authenticator = tokens{"secret": "alice"}
	cfg.Logger = slog.New(slog.DiscardHandler)
	service, err := api.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(service)
	defer server.Close()

	img := image.NewRGBA(image.Rect(0, 0, 120, 90))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(img, image.Rect(20, 30, 70, 80), image.NewUniform(color.RGBA{R: 200, A: 255}), image.Point{}, draw.Src)
	var body bytes.Buffer
	if err := png.Encode(&body, img); err != nil {
		fmt.Println(err)
		return
	}

	req, err := http.NewRequest(http.MethodPost, server.URL+"/v1/proposals?mode=single&max=10", &body)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Authorization", "Bearer secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var proposals struct {
		Width, Height int
		Boxes         [][4]int // x0, y0, x1, y1, best first
	}
	if err := json.NewDecoder(resp.Body).Decode(&proposals); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Status)
	fmt.Println(proposals.Width, proposals.Height)
	fmt.Println(slices.Contains(proposals.Boxes, [4]int{20, 30, 70, 80})) // the square
	// Output:
	// 200 OK
	// 120 90
	// true
}
