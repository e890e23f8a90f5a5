package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/imageio"
	"github.com/proposer/proposer/objectness"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/selective"
	"github.com/proposer/proposer/similarity"
)

// DefaultMode is the mode of a request that names none.
const DefaultMode = "fast"

// The bounds of options that the search itself does not bound.
const (
	maxInt     = math.MaxInt32
	maxThreads = 1024
)

// names of the options, in the order in which errors about them come.
var names = []string{
	"mode", "max", "order", "seed", "nms", "min-side", "max-side",
	"colors", "k", "measures", "sigma", "min-size", "orientation", "threads",
}

// Names lists the options that [ParseOptions] knows.
func Names() []string { return slices.Clone(names) }

// Options says how to go from a file to boxes. Begin with [DefaultOptions] or
// [ParseOptions].
type Options struct {
	// Mode is the preset that Search began as.
	Mode string
	// Decode holds the limits, and in LongestSide what max-side asks for.
	Decode imageio.Options
	// Search is in the original's pixels: [Run] scales MinSide for a shrunken picture.
	Search selective.Options
}

// DefaultOptions are those of [ParseOptions] without any value.
func DefaultOptions() Options {
	o, err := ParseOptions(nil)
	if err != nil {
		panic(err) // DefaultMode is wrong
	}
	return o
}

// An OptionError names an option whose value is wrong, and what would be right.
type OptionError struct {
	Name, Value, Want string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("%s %q: want %s", e.Name, e.Value, e.Want)
}

// OptionErrors finds every [OptionError] in what [ParseOptions] returned.
func OptionErrors(err error) []*OptionError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*OptionError
		for _, e := range joined.Unwrap() {
			all = append(all, OptionErrors(e)...)
		}
		return all
	}
	if e, ok := errors.AsType[*OptionError](err); ok {
		return []*OptionError{e}
	}
	return nil
}

// ParseOptions reads options from their texts. It is the only reader of them:
// command line flags and query parameters have the same names and mean the same.
//
//	mode      a preset of package selective; fast
//	max       most boxes to return, the best ones; 0: all
//	order     objectness, paper or hierarchy; objectness
//	seed      of the paper's random order, a uint64; 1
//	nms       off, an IoU in (0,1], or adaptive; off
//	min-side  drop boxes narrower or lower, in pixels of the original; 0
//	max-side  shrink the picture before the search so that no side is longer; 0: never
//	colors    colour spaces, separated by commas; the mode's
//	k         scales of the first regions in (0,1e6], separated by commas; the mode's
//	measures  sets of measures, as in CTSF,TSF or C0.5TS, separated by commas; the mode's
//	sigma     smoothing in pixels; 0.8
//	min-size  smallest first region in pixels; 0: the mode's, which is k in the paper's
//	          modes and 100 in OpenCV's
//	orientation  exif: turn the picture as its EXIF data says; ignore: take it as
//	          it is stored, boxes included; exif
//	threads   most goroutines at work; 0: as many as GOMAXPROCS
//
// Every colour is combined with every k and every set of measures, so one of the
// three alone narrows or widens the mode and all three replace it. An item twice
// in a list is an error: it would be the same work again. So is an empty value.
//
// All that is wrong is reported at once: the error joins an [OptionError] each.
func ParseOptions(values map[string]string) (Options, error) {
	r := reader{values: values}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, name) {
			r.errs = append(r.errs, &OptionError{name, values[name], "an option that exists: " + strings.Join(names, ", ")})
		}
	}

	o := Options{Mode: DefaultMode}
	if mode, ok := values["mode"]; ok {
		o.Mode = mode
	}
	search, err := selective.Preset(o.Mode)
	if err != nil {
		r.bad("mode", o.Mode, "one of "+strings.Join(selective.PresetNames(), ", "))
		search, _ = selective.Preset(DefaultMode) // to look at the other options
	}

	r.integer("max", maxInt, &search.Max)
	search.Order = selective.OrderObjectness
	one(&r, "order", "objectness, paper or hierarchy", selective.ParseOrder, &search.Order)
	one(&r, "seed", "a whole number from 0 to 18446744073709551615", func(s string) (uint64, error) {
		return strconv.ParseUint(s, 10, 64)
	}, &search.Seed)
	one(&r, "nms", "off, adaptive or a number in (0,1]", box.ParseNMS, &search.NMS)
	r.integer("min-side", maxInt, &search.MinSide)
	r.integer("max-side", maxInt, &o.Decode.LongestSide)
	r.integer("threads", maxThreads, &search.Threads)
	one(&r, "orientation", "exif or ignore", parseOrientation, &o.Decode.IgnoreOrientation)
	one(&r, "sigma", fmt.Sprintf("a number from 0 to %g", selective.MaxSigma), func(s string) (float64, error) {
		return number(s, func(v float64) bool { return v >= 0 && v <= selective.MaxSigma })
	}, &search.Sigma)

	minSize := search.Strategies[0].MinSize
	own := minSize
	r.integer("min-size", maxInt, &minSize)
	if minSize == 0 {
		minSize = own
	}
	spaces := distinct(search.Strategies, func(s selective.Strategy) raster.Space { return s.Space })
	ks := distinct(search.Strategies, func(s selective.Strategy) float64 { return s.K })
	sets := distinct(search.Strategies, func(s selective.Strategy) similarity.Weights { return s.Weights })
	list(&r, "colors", "one of "+strings.ReplaceAll(join(raster.Spaces()), ",", ", "), raster.ParseSpace, &spaces)
	list(&r, "k", fmt.Sprintf("a number above 0, at most %.0f", segment.MaxK), func(s string) (float64, error) {
		return number(s, func(v float64) bool { return v > 0 && v <= segment.MaxK })
	}, &ks)
	list(&r, "measures", "letters of CTSF, each with a weight in (0,1] or none, as in TSF or C0.5TS",
		similarity.ParseWeights, &sets)
	if n := len(spaces) * len(ks) * len(sets); n > selective.MaxStrategies && len(r.errs) == 0 {
		r.bad("colors, k, measures", fmt.Sprintf("%d × %d × %d", len(spaces), len(ks), len(sets)),
			fmt.Sprintf("at most %d strategies in all", selective.MaxStrategies))
	}
	if len(r.errs) > 0 {
		return Options{}, errors.Join(r.errs...)
	}
	search.Strategies = selective.Combine(spaces, ks, sets, minSize)
	if search.Order == selective.OrderObjectness { // reading a ranker takes a while, the first time
		search.Ranker = objectness.Default(len(search.Strategies))
	}
	o.Search = search
	return o, nil
}

// Values is the canonical form of what [ParseOptions] read: every option, in a
// text that reads as the same.
func (o Options) Values() map[string]string {
	s := o.Search
	orientation := orientations[0]
	if o.Decode.IgnoreOrientation {
		orientation = orientations[1]
	}
	return map[string]string{
		"mode":     o.Mode,
		"max":      strconv.Itoa(s.Max),
		"order":    s.Order.String(),
		"seed":     strconv.FormatUint(s.Seed, 10),
		"nms":      s.NMS.String(),
		"min-side": strconv.Itoa(s.MinSide),
		"max-side": strconv.Itoa(o.Decode.LongestSide),
		"colors":   join(distinct(s.Strategies, func(s selective.Strategy) raster.Space { return s.Space })),
		"k":        join(distinct(s.Strategies, func(s selective.Strategy) float64 { return s.K })),
		"measures": join(distinct(s.Strategies, func(s selective.Strategy) similarity.Weights { return s.Weights })),
		"sigma":    fmt.Sprint(s.Sigma),
		"min-size": strconv.Itoa(s.Strategies[0].MinSize),
		"threads":  strconv.Itoa(s.Threads),

		"orientation": orientation,
	}
}

var orientations = [2]string{"exif", "ignore"}

func parseOrientation(s string) (ignore bool, err error) {
	if i := slices.Index(orientations[:], s); i >= 0 {
		return i == 1, nil
	}
	return false, strconv.ErrSyntax
}

// reader takes options out of their texts and gathers what is wrong.
type reader struct {
	values map[string]string
	errs   []error
}

func (r *reader) bad(name, value, want string) {
	r.errs = append(r.errs, &OptionError{name, value, want})
}

func (r *reader) integer(name string, most int, into *int) {
	one(r, name, fmt.Sprintf("a whole number from 0 to %d", most), func(s string) (int, error) {
		v, err := strconv.Atoi(s)
		if err == nil && (v < 0 || v > most) {
			err = strconv.ErrRange
		}
		return v, err
	}, into)
}

// one reads an option into *into, which stays if the option is not given or wrong.
func one[T any](r *reader, name, want string, parse func(string) (T, error), into *T) {
	text, ok := r.values[name]
	if !ok {
		return
	}
	v, err := parse(text)
	if err != nil {
		r.bad(name, text, want)
		return
	}
	*into = v
}

// list reads an option of several items, separated by commas.
func list[T comparable](r *reader, name, want string, parse func(string) (T, error), into *[]T) {
	text, ok := r.values[name]
	if !ok {
		return
	}
	if n := 1 + strings.Count(text, ","); n > selective.MaxStrategies {
		r.bad(name, fmt.Sprintf("%d items", n), fmt.Sprintf("at most %d", selective.MaxStrategies))
		return
	}
	var items []T
	for item := range strings.SplitSeq(text, ",") {
		v, err := parse(item)
		switch {
		case err != nil:
			r.bad(name, item, want)
		case slices.Contains(items, v):
			r.bad(name, item, "each item once")
		default:
			items = append(items, v)
		}
	}
	*into = items
}

// number reads a finite number for which ok holds; NaN fails every comparison.
func number(s string, ok func(float64) bool) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && !ok(v) {
		err = strconv.ErrRange
	}
	return v, err
}

func distinct[T comparable](all []selective.Strategy, of func(selective.Strategy) T) []T {
	var items []T
	for _, s := range all {
		if v := of(s); !slices.Contains(items, v) {
			items = append(items, v)
		}
	}
	return items
}

func join[T any](items []T) string {
	texts := make([]string, len(items))
	for i, v := range items {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ",")
}
