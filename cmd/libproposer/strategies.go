package main

/*
#include "proposer.h"
*/
import "C"

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/selective"
	"github.com/proposer/proposer/similarity"
)

//export goSearchStrategies
func goSearchStrategies(
	image, images *C.proposer_image, imageCount C.int32_t,
	strategies *C.proposer_strategy, strategyCount C.int32_t,
	options *C.char, token C.uintptr_t, result **C.proposer_result,
) C.int {
	return call(token, result, func(ctx context.Context) (*C.proposer_result, error) {
		opts, err := parseSearch(C.GoString(options))
		if err != nil {
			return nil, err
		}
		if err := checkNotResized(opts); err != nil {
			return nil, err
		}
		opts.Search.Strategies, err = readStrategies(strategies, int(strategyCount), int(imageCount))
		if err != nil {
			return nil, err
		}
		opts.Search.Images, err = readImages(images, int(imageCount), opts.Decode.Limits)
		if err != nil {
			return nil, err
		}
		if err := opts.Search.Validate(); err != nil {
			return nil, &argumentError{strings.ReplaceAll(strings.TrimPrefix(err.Error(), "selective: "), "\n", "; ")}
		}
		img, err := readImage(image, opts.Decode.Limits)
		if err != nil {
			return nil, err
		}
		for i, other := range opts.Search.Images {
			if other.Width != img.Width || other.Height != img.Height {
				return nil, &imageError{fmt.Sprintf("images[%d] of %d×%d pixels: want %d×%d, as image has",
					i, other.Width, other.Height, img.Width, img.Height)}
			}
		}
		r, err := propose.RunImage(ctx, img, opts)
		if err != nil {
			return nil, err
		}
		return newResult(ctx, r, opts.Search.KeepRegions)
	})
}

// checkNotResized returns an error if the options resize the image: the given ones would not be.
func checkNotResized(opts propose.Options) error {
	for _, o := range []struct {
		name  string
		value int
	}{{"max-side", opts.Decode.LongestSide}, {"resize-width", opts.Decode.Width}} {
		if o.value != 0 {
			return &optparse.Error{Name: o.name, Value: strconv.Itoa(o.value), Want: "0 for a search with given strategies"}
		}
	}
	return nil
}

// readImages copies the images of C that strategies use as they are.
func readImages(images *C.proposer_image, count int, limits imageio.Limits) ([]*raster.Image, error) {
	if count < 0 || count > selective.MaxImages {
		return nil, &argumentError{fmt.Sprintf("image_count %d: want 0 to %d", count, selective.MaxImages)}
	}
	if images == nil && count > 0 {
		return nil, &argumentError{fmt.Sprintf("images: NULL, want a pointer to %d images", count)}
	}
	all := make([]*raster.Image, count)
	for i := range all {
		c := (*C.proposer_image)(unsafe.Add(unsafe.Pointer(images), i*C.sizeof_proposer_image))
		if c.channels == 4 {
			return nil, &imageError{fmt.Sprintf("images[%d] with channels 4: want 1 or 3", i)}
		}
		img, err := readImage(c, limits)
		if err != nil {
			return nil, fmt.Errorf("images[%d]: %w", i, err)
		}
		all[i] = img
	}
	return all, nil
}

// readStrategies converts strategies of C. Their ranges are checked by selective.Options.Validate.
func readStrategies(strategies *C.proposer_strategy, count, images int) ([]selective.Strategy, error) {
	if count < 1 || count > selective.MaxStrategies {
		return nil, &argumentError{fmt.Sprintf("strategy_count %d: want 1 to %d", count, selective.MaxStrategies)}
	}
	if strategies == nil {
		return nil, &argumentError{fmt.Sprintf("strategies: NULL, want a pointer to %d strategies", count)}
	}
	all := make([]selective.Strategy, count)
	for i, c := range unsafe.Slice(strategies, count) {
		all[i] = selective.Strategy{
			K: float64(c.k), MinSize: int(c.min_size), Sigma: float64(c.sigma),
			Weights: similarity.Weights{
				Color: float64(c.color), Texture: float64(c.texture), Size: float64(c.size), Fill: float64(c.fill),
			},
		}
		if c.space == nil {
			if c.image < 0 || int(c.image) >= min(images, selective.MaxImages) {
				return nil, &argumentError{fmt.Sprintf("strategies[%d].image %d: want the index of one of %d images", i, c.image, images)}
			}
			all[i].Space = selective.Given(int(c.image))
			continue
		}
		space, err := raster.ParseSpace(C.GoString(c.space))
		if err != nil {
			return nil, &argumentError{fmt.Sprintf("strategies[%d].space: %s", i, strings.TrimPrefix(err.Error(), "raster: "))}
		}
		all[i].Space = space
	}
	return all, nil
}
