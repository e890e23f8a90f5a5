// Command draw writes a scene as a picture, a PNG or a JPEG by its name, and prints
// the boxes of its objects. With -fit it searches the scene, draws for each object the
// proposal that fits it best, and prints that and its IoU.
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
	seed := flag.Uint64("seed", 1, "what to draw")
	width := flag.Int("width", 960, "`pixels`")
	height := flag.Int("height", 640, "`pixels`")
	objects := flag.Int("objects", 9, "how many")
	fit := flag.String("fit", "", "search in this `mode`")
	out := flag.String("out", "scene.png", "`file`, .png or .jpg")
	flag.Parse()
	if *width < 1 || *height < 1 || *width > 20000 || *height > 20000 {
		fmt.Fprintf(os.Stderr, "draw: a picture of %d×%d pixels: each side must be 1..20000\n", *width, *height)
		os.Exit(2)
	}
	format := imageio.OverlayFormat(*out)
	if format == "" {
		fmt.Fprintf(os.Stderr, "draw: %q: the name must end in .png or .jpg\n", *out)
		os.Exit(2)
	}
	if err := draw(scene.Render(*seed, *width, *height, *objects), *fit, format, *out); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

func draw(s *scene.Scene, mode, format, out string) error {
	var fits []box.Box
	if mode != "" {
		opts, err := selective.Preset(mode)
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
		fmt.Print(s.Names[i], " ", b)
		if fits != nil {
			fmt.Printf(" found as %v, IoU %.2f", fits[i], fits[i].IoU(b))
		}
		fmt.Println()
	}
	var picture bytes.Buffer
	if err := imageio.Overlay(&picture, s.Image, fits, format); err != nil {
		return err
	}
	return os.WriteFile(out, picture.Bytes(), 0o644)
}
