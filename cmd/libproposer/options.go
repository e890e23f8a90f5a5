//go:build cgo

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/selective"
)

// limitNames are the names of the options of readLimits.
var limitNames = []string{"max-pixels", "max-bytes"}

// newParser returns a parser of options with the names, and of the limits. The text is
// name=value, separated by spaces.
func newParser(text string, names []string) *optparse.Parser {
	values := map[string]string{}
	var invalid []*optparse.Error
	for field := range strings.FieldsSeq(text) {
		name, value, ok := strings.Cut(field, "=")
		if _, given := values[name]; given {
			invalid = append(invalid, &optparse.Error{Name: name, Value: value, Want: "one value"})
			continue
		}
		if !ok || name == "" {
			invalid = append(invalid, &optparse.Error{Name: "option", Value: field, Want: "name=value"})
			continue
		}
		values[name] = value
	}
	p := optparse.New(values, slices.Concat(names, limitNames))
	for _, e := range invalid {
		p.Fail(e.Name, e.Value, e.Want)
	}
	return p
}

// readLimits parses the limits of images.
func readLimits(p *optparse.Parser) imageio.Limits {
	highest := imageio.MaxLimits()
	number := func(name string, high int64) int64 {
		n := 0
		p.Int(name, 1, int(high), &n)
		return int64(n)
	}
	return imageio.Limits{MaxPixels: number("max-pixels", highest.MaxPixels), MaxBytes: number("max-bytes", highest.MaxBytes)}
}

// parseSearch parses the options of a search.
func parseSearch(text string) (propose.Options, error) {
	p := newParser(text, append(propose.OptionNames(), "masks"))
	limits := readLimits(p)
	masks := false
	optparse.Value(p, "masks", "rle or off", parseMasks, &masks)
	opts, err := propose.ReadOptions(p)
	opts.Decode.Limits = limits
	opts.Search.KeepRegions = masks
	return opts, err
}

func parseMasks(s string) (bool, error) {
	if s != "rle" && s != "off" {
		return false, strconv.ErrSyntax
	}
	return s == "rle", nil
}

// parseSegment parses the options of a segmentation.
func parseSegment(text string) (propose.SegmentOptions, error) {
	p := newParser(text, propose.SegmentOptionNames())
	limits := readLimits(p)
	opts, err := propose.ReadSegmentOptions(p)
	opts.Decode.Limits = limits
	return opts, err
}

// treeNames are the names of the options of parseTree: those that a merge tree depends on.
var treeNames = []string{
	"mode", "strategy", "colors", "k", "measures", "sigma", "min-size", "max-side", "resize-width", "threads",
}

// parseTree parses the options of a merge tree.
func parseTree(text string) (propose.Options, error) {
	p := newParser(text, treeNames)
	limits := readLimits(p)
	strategy := 0
	p.Int("strategy", 0, selective.MaxStrategies-1, &strategy)
	opts, err := propose.ReadOptions(p)
	if err != nil {
		return propose.Options{}, err
	}
	n := len(opts.Search.Strategies)
	if strategy >= n {
		p.Fail("strategy", strconv.Itoa(strategy), fmt.Sprintf("a whole number below the number of strategies, %d", n))
		return propose.Options{}, p.Err()
	}
	opts.Decode.Limits = limits
	opts.Search.Strategies = opts.Search.Strategies[strategy:][:1]
	opts.Search.Order = selective.OrderHierarchy // the fastest
	opts.Search.Max = 1
	opts.Search.KeepRegions = true
	return opts, nil
}
