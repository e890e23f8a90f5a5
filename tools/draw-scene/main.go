// Command draw-scene renders a scene to a PNG or JPEG file and prints the boxes of its objects. With -fit it
// searches the scene, draws the best proposal for each object, and prints these proposals with their IoU.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/selective"
)

func main() {
	seed := flag.Uint64("seed", 1, "seed of the scene")
	width := flag.Int("width", 960, "width in `pixels`")
	height := flag.Int("height", 640, "height in `pixels`")
	objects := flag.Int("objects", 9, "number of objects")
	fit := flag.String("fit", "", "search with this `mode`")
	out := flag.String("out", "scene.png", "`file`, .png or .jpg")
	flag.Parse()
	if *width < 1 || *height < 1 || *width > 20000 || *height > 20000 {
		fmt.Fprintf(os.Stderr, "draw-scene: -width %d -height %d: want 1 to 20000\n", *width, *height)
		os.Exit(2)
	}
	format := imageio.OverlayFormat(*out)
	if format == "" {
		fmt.Fprintf(os.Stderr, "draw-scene: -out %q: want a name that ends in .png or .jpg\n", *out)
		os.Exit(2)
	}
	if err := draw(scene.Render(*seed, *width, *height, *objects), *fit, format, *out); err != nil {
		fmt.Fprintln(os.Stderr, "draw-scene:", err)
		os.Exit(1)
	}
}

func draw(s *scene.Scene, mode, format, out string) error {
	var fits []box.Box
	if mode != "" {
		opts, err := selective.Mode(mode)
		if err != nil {
			return err
		}
		found, err := selective.Search(context.Background(), s.Image, opts)
		if err != nil {
			return err
		}
		for _, object := range s.Boxes {
			best := box.Box{}
			for _, p := range found.Proposals {
				if p.Box.IoU(object) > best.IoU(object) {
					best = p.Box
				}
			}
			fits = append(fits, best)
		}
		fmt.Println(len(found.Proposals), "proposals")
	}
	for i, b := range s.Boxes {
		fmt.Print(s.Classes[i], " ", b)
		if fits != nil {
			fmt.Printf(" best proposal %v, IoU %.2f", fits[i], fits[i].IoU(b))
		}
		fmt.Println()
	}
	var img bytes.Buffer
	if err := imageio.Overlay(&img, s.Image, fits, format); err != nil {
		return err
	}
	return os.WriteFile(out, img.Bytes(), 0o644)
}
