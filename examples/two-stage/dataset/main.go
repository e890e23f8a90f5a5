// Command dataset renders a data set: a folder for training and one for testing, each with JPEG
// files and COCO's instances.json with a box and a class for each object. Equal arguments give
// equal bytes.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/proposer/proposer/internal/testutil/scene"
)

// minArea is the number of visible pixels from which an object is annotated. Objects that are
// nearly hidden cannot be recognized.
const minArea = 64

const quality = 92

// settings describe the images.
type settings struct {
	width, height int
	objects       int // maximum per image; the minimum is half of it
	seed          uint64
}

// COCO's instances format, as far as detectors read it.
type (
	instances struct {
		Images      []image      `json:"images"`
		Annotations []annotation `json:"annotations"`
		Categories  []category   `json:"categories"`
	}
	image struct {
		ID     int    `json:"id"`
		File   string `json:"file_name"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
	}
	annotation struct {
		ID       int      `json:"id"`
		Image    int      `json:"image_id"`
		Category int      `json:"category_id"`
		Box      [4]int32 `json:"bbox"` // x, y, width, height
		Area     int64    `json:"area"`
		Crowd    int      `json:"iscrowd"`
	}
	category struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
)

func main() {
	out := flag.String("out", "dataset", "output `folder`")
	train := flag.Int("train", 1000, "number of training `images`")
	test := flag.Int("test", 200, "number of test `images`")
	var s settings
	flag.Uint64Var(&s.seed, "seed", 1, "random seed")
	flag.IntVar(&s.width, "width", 192, "image width in `pixels`")
	flag.IntVar(&s.height, "height", 144, "image height in `pixels`")
	flag.IntVar(&s.objects, "objects", 6, "maximum number of `objects` per image")
	flag.Parse()
	if min(s.width, s.height) < 32 || max(s.width, s.height) > 4096 || s.objects < 1 || min(*train, *test) < 0 || max(*train, *test) > 1e6 {
		fmt.Fprintln(os.Stderr, "dataset: want sides of 32 to 4096 pixels, at least one object, and at most a million images")
		os.Exit(2)
	}
	for part, n := range []int{*train, *test} {
		folder := filepath.Join(*out, []string{"train", "test"}[part])
		if err := draw(folder, part, n, s); err != nil {
			fmt.Fprintln(os.Stderr, "dataset:", err)
			os.Exit(1)
		}
	}
}

// draw writes n images and their annotations to a folder. Different parts have different images.
func draw(folder string, part, n int, s settings) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(s.seed, uint64(part)))
	all := instances{Images: []image{}, Annotations: []annotation{}, Categories: categories()}
	for id := 1; id <= n; id++ {
		objects := s.objects - r.IntN(s.objects/2+1)
		still := scene.Render(r.Uint64(), s.width, s.height, objects)
		p := image{id, fmt.Sprintf("%06d.jpg", id), s.width, s.height}
		if err := os.WriteFile(filepath.Join(folder, p.File), still.JPEG(quality), 0o644); err != nil {
			return err
		}
		all.Images = append(all.Images, p)
		seen := make([]int64, len(still.Boxes)+1)
		for _, label := range still.Labels {
			seen[label]++
		}
		for i, b := range still.Boxes {
			if seen[i+1] < minArea {
				continue
			}
			all.Annotations = append(all.Annotations, annotation{
				ID: len(all.Annotations) + 1, Image: id, Category: 1 + slices.Index(scene.Classes(), still.Classes[i]),
				Box: [4]int32{b.X0, b.Y0, b.X1 - b.X0, b.Y1 - b.Y0}, Area: seen[i+1],
			})
		}
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "instances.json"), data, 0o644)
}

func categories() []category {
	var all []category
	for i, name := range scene.Classes() {
		all = append(all, category{i + 1, name})
	}
	return all
}
