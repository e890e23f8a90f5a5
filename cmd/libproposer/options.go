package main

import (
	"strconv"
	"strings"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
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
	p := optparse.New(values, append(limitNames, names...))
	for _, e := range invalid {
		p.Fail(e.Name, e.Value, e.Want)
	}
	return p
}

// readLimits parses the limits of images.
func readLimits(p *optparse.Parser, l *imageio.Limits) {
	highest := imageio.MaxLimits()
	number := func(name string, high int64, v *int64) {
		n := 0
		p.Int(name, 1, int(high), &n)
		*v = int64(n)
	}
	number("max-pixels", highest.MaxPixels, &l.MaxPixels)
	number("max-bytes", highest.MaxBytes, &l.MaxBytes)
}

// parseSearch parses the options of a search.
func parseSearch(text string) (propose.Options, error) {
	p := newParser(text, append(propose.OptionNames(), "masks"))
	var limits imageio.Limits
	readLimits(p, &limits)
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
