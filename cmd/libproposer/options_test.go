//go:build cgo

package main

import (
	"testing"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		options, want string
		parse         func(string) error
	}{
		{"max=x", `max "x": want a whole number from 0 to 2147483647`, searchError},
		{"max=1 \t\nmax=2", `max "2": want one value`, searchError},
		{"mode", `option "mode": want name=value`, searchError},
		{"=fast", `option "=fast": want name=value`, searchError},
		{"mode=slow", `mode "slow": want one of single, fast, quality, best, opencv-single, opencv-fast, opencv-quality, rcnn`, searchError},
		{"masks=png", `masks "png": want rle or off`, searchError},
		{"max-pixels=0 seed=-1", `max-pixels "0": want a whole number from 1 to 268435455; seed "-1": want a whole number from 0 to 18446744073709551615`, searchError},
		{"color=Blue", `color "Blue": want one of RGB, I, rgI, Lab, HSV, H, rgb, C, R-G-I`, segmentError},
		{"strategy=8", `strategy "8": want a whole number below the number of strategies, 8`, treeError},
		{"strategy=-1", `strategy "-1": want a whole number from 0 to 255`, treeError},
		{"order=paper", `order "paper": want an option that exists: mode, strategy, colors, k, measures, sigma, min-size, max-side, resize-width, threads, max-pixels, max-bytes`, treeError},
	} {
		t.Run(c.options, func(t *testing.T) {
			if err := c.parse(c.options); err == nil || message(err) != c.want {
				t.Errorf("%v, want %q", message(err), c.want)
			}
		})
	}
}

func searchError(options string) error {
	_, err := parseSearch(options)
	return err
}

func segmentError(options string) error {
	_, err := parseSegment(options)
	return err
}

func treeError(options string) error {
	_, err := parseTree(options)
	return err
}

func TestParseLimits(t *testing.T) {
	const options = "max-pixels=10 max-bytes=20"
	want := imageio.Limits{MaxPixels: 10, MaxBytes: 20}
	search, err := parseSearch(options)
	if err != nil || search.Decode.Limits != want {
		t.Errorf("search: %+v, %v", search.Decode.Limits, err)
	}
	segment, err := parseSegment(options)
	if err != nil || segment.Decode.Limits != want {
		t.Errorf("segment: %+v, %v", segment.Decode.Limits, err)
	}
	tree, err := parseTree(options)
	if err != nil || tree.Decode.Limits != want {
		t.Errorf("tree: %+v, %v", tree.Decode.Limits, err)
	}
}

// Options are refused with a status of their own, never with a panic.
func FuzzParse(f *testing.F) {
	f.Add("mode=quality max=1000 nms=0.8")
	f.Add("mode=fast strategy=3")
	f.Add("color=Lab k=1e5 connectivity=4")
	f.Add("k==,, \x00=\xff max=")
	f.Fuzz(func(t *testing.T, options string) {
		for _, err := range []error{searchError(options), segmentError(options), treeError(options)} {
			if err != nil && (len(propose.OptionErrors(err)) == 0 || message(err) == "") {
				t.Errorf("%v, want an error about an option", err)
			}
		}
	})
}
