package main

/*
#include "proposer.h"
*/
import "C"

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"unsafe"

	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
	"github.com/proposer/proposer/similarity"
)

//export goGroup
func goGroup(
	image *C.proposer_image, labels *C.int32_t, options *C.char, token C.uintptr_t, result **C.proposer_merge_tree,
) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_merge_tree, error) {
		opts, err := parseGroup(C.GoString(options))
		if err != nil {
			return nil, err
		}
		img, err := readImage(image, opts.limits)
		if err != nil {
			return nil, err
		}
		defer recycle(img)
		regions, err := readLabels(labels, img.Width, img.Height)
		if err != nil {
			return nil, err
		}
		tree, err := group(ctx, img, regions, opts)
		if err != nil {
			return nil, err
		}
		return treeInC(img.Width, img.Height, tree.Nodes, regions.Pix)
	})
}

// groupOptions are the options of proposer_group.
type groupOptions struct {
	limits  imageio.Limits
	color   raster.Space
	weights similarity.Weights
}

// parseGroup parses the options of proposer_group.
func parseGroup(text string) (groupOptions, error) {
	p := newParser(text, []string{"color", "measures"})
	opts := groupOptions{
		limits: readLimits(p), color: raster.HSV, weights: similarity.Weights{Color: 1, Texture: 1, Size: 1, Fill: 1},
	}
	optparse.Value(p, "color", "a color space, such as Lab", raster.ParseSpace, &opts.color)
	optparse.Value(p, "measures", "measures, such as CTSF", similarity.ParseWeights, &opts.weights)
	return opts, p.Err()
}

// readLabels copies the labels of width × height pixels.
func readLabels(labels *C.int32_t, width, height int) (l *raster.LabelImage, err error) {
	if labels == nil {
		return nil, &imageError{"labels: NULL, want a pointer to the label of the first pixel"}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if _, fault := p.(interface{ Addr() uintptr }); !fault && p != nil {
			panic(p)
		} else if fault {
			l, err = nil, &imageError{fmt.Sprintf("labels of %d×%d pixels: they are not in the memory of the process", width, height)}
		}
	}()
	pix := slices.Clone(unsafe.Slice((*int32)(unsafe.Pointer(labels)), width*height))
	if least := slices.Min(pix); least < 0 {
		return nil, &imageError{fmt.Sprintf("labels: %d: want 0 or more", least)}
	}
	if n := int64(slices.Max(pix)) + 1; n > selective.DefaultMaxRegions {
		return nil, &imageio.LimitError{What: "regions", Got: n, Max: selective.DefaultMaxRegions}
	}
	l = raster.NewLabelImage(width, pix)
	if i := slices.Index(l.Sizes, 0); i >= 0 {
		return nil, &imageError{fmt.Sprintf("labels from 0 to %d without %d: want each of them", len(l.Sizes)-1, i)}
	}
	return l, nil
}

// group groups the regions of an image into a merge tree.
func group(ctx context.Context, img *raster.Image, labels *raster.LabelImage, opts groupOptions) (*hierarchy.Tree, error) {
	converted, err := raster.Convert(ctx, nil, img, opts.color)
	if err != nil {
		return nil, err
	}
	var binned similarity.BinnedImage
	if err := binned.Build(ctx, converted, nil); err != nil {
		return nil, err
	}
	var regions similarity.Regions
	if err := binned.Describe(ctx, []*similarity.Regions{&regions}, []*raster.LabelImage{labels}, nil); err != nil {
		return nil, err
	}
	var graph hierarchy.Graph
	if err := graph.Build(ctx, labels); err != nil {
		return nil, err
	}
	var grouper hierarchy.Grouper
	return grouper.Group(ctx, nil, &graph, labels, regions.WithWeights(nil, opts.weights))
}
