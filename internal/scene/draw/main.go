// Command draw writes a scene as a picture, a PNG or a JPEG by its name, and prints the boxes of its objects.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proposer/proposer/internal/scene"
)

func main() {
	seed := flag.Uint64("seed", 1, "what to draw")
	width := flag.Int("width", 960, "`pixels`")
	height := flag.Int("height", 640, "`pixels`")
	objects := flag.Int("objects", 9, "how many")
	out := flag.String("out", "scene.png", "`file`, .png or .jpg")
	flag.Parse()
	if *width < 1 || *height < 1 || *width > 20000 || *height > 20000 {
		fmt.Fprintf(os.Stderr, "draw: a picture of %d×%d pixels: each side must be 1..20000\n", *width, *height)
		os.Exit(2)
	}

	s := scene.Render(*seed, *width, *height, *objects)
	var data []byte
	switch ext := filepath.Ext(*out); ext {
	case ".png":
		data = s.PNG()
	case ".jpg", ".jpeg":
		data = s.JPEG(92)
	default:
		fmt.Fprintf(os.Stderr, "draw: %q: the name must end in .png or .jpg\n", *out)
		os.Exit(2)
	}
	if err := os.WriteFile(*out, data, 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
	for i, b := range s.Boxes {
		fmt.Println(s.Names[i], b)
	}
}
