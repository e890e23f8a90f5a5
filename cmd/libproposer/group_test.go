//go:build cgo

package main

import (
	"math/rand/v2"
	"testing"

	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/similarity"
)

func TestParseGroup(t *testing.T) {
	opts, err := parseGroup("color=Lab measures=SF")
	if err != nil {
		t.Fatal(err)
	}
	if opts.color != raster.Lab || opts.weights != (similarity.Weights{Size: 1, Fill: 1}) {
		t.Errorf("got %v and %v", opts.color, opts.weights)
	}
	const want = `color "blue": want a color space, such as Lab; measures "X": want measures, such as CTSF`
	if _, err := parseGroup("measures=X color=blue"); err == nil || message(err) != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestGroup(t *testing.T) {
	const width, height, regions = 40, 30, 12
	rng := rand.New(rand.NewPCG(1, 2))
	img := raster.New(raster.RGB, width, height)
	for i := range img.Pix {
		img.Pix[i] = uint8(rng.Uint32())
	}
	pix := make([]int32, width*height)
	for i := range pix {
		pix[i] = int32(i%width/10 + i/width/10*4)
	}
	opts, err := parseGroup("")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := group(t.Context(), img, raster.NewLabelImage(width, pix), opts)
	if err != nil {
		t.Fatal(err)
	}
	if root := tree.Nodes[len(tree.Nodes)-1]; tree.Leaves() != regions || root.Size != width*height {
		t.Errorf("%d leaves, and %d pixels in the root: want %d and %d", tree.Leaves(), root.Size, regions, width*height)
	}
}
