// Command dataset draws a data set of still lifes: for training and for testing a folder each,
// of JPEG files and COCO's instances.json with a box and a class for each object. Equal
// arguments give equal bytes.
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

// An object has to show so many pixels to be annotated; of one that is nearly hidden nobody
// could tell what it is.
const minArea = 64

const quality = 92

// settings say what to draw.
type settings struct {
	width, height int
	objects       int // most of them in a picture; at least half as many
	seed          uint64
}

// COCO's instances, as far as detectors read them.
type (
	instances struct {
		Images      []picture    `json:"images"`
		Annotations []annotation `json:"annotations"`
		Categories  []category   `json:"categories"`
	}
	picture struct {
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
	out := flag.String("out", "dataset", "`folder` to make")
	train := flag.Int("train", 1000, "`pictures` to train on")
	test := flag.Int("test", 200, "`pictures` to test on")
	var s settings
	flag.Uint64Var(&s.seed, "seed", 1, "what to draw")
	flag.IntVar(&s.width, "width", 192, "`pixels`")
	flag.IntVar(&s.height, "height", 144, "`pixels`")
	flag.IntVar(&s.objects, "objects", 6, "most `objects` of a picture")
	flag.Parse()
	if min(s.width, s.height) < 32 || max(s.width, s.height) > 4096 || s.objects < 1 || min(*train, *test) < 0 || max(*train, *test) > 1e6 {
		fmt.Fprintln(os.Stderr, "dataset: want sides of 32 to 4096 pixels, an object or more, and at most a million pictures")
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

// draw writes n pictures and what is in them into a folder. Parts with other numbers have
// other pictures.
func draw(folder string, part, n int, s settings) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(s.seed, uint64(part)))
	all := instances{Images: []picture{}, Annotations: []annotation{}, Categories: categories()}
	for id := 1; id <= n; id++ {
		objects := s.objects - r.IntN(s.objects/2+1)
		still := scene.Render(r.Uint64(), s.width, s.height, objects)
		p := picture{id, fmt.Sprintf("%06d.jpg", id), s.width, s.height}
		if err := os.WriteFile(filepath.Join(folder, p.File), still.JPEG(quality), 0o644); err != nil {
			return err
		}
		all.Images = append(all.Images, p)
		seen := make([]int64, len(still.Boxes)+1)
		for _, owner := range still.Owners {
			seen[owner]++
		}
		for i, b := range still.Boxes {
			if seen[i+1] < minArea {
				continue
			}
			all.Annotations = append(all.Annotations, annotation{
				ID: len(all.Annotations) + 1, Image: id, Category: 1 + slices.Index(scene.Kinds(), still.Names[i]),
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
	for i, name := range scene.Kinds() {
		all = append(all, category{i + 1, name})
	}
	return all
}
