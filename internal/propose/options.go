package propose

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/selective"
	"github.com/proposer/proposer/similarity"
)

// DefaultMode is the mode if none is given.
const DefaultMode = "fast"

// Bounds of options that the search itself does not bound.
const (
	maxInt     = math.MaxInt32
	maxThreads = 1024
)

// optionNames are the names of the options, in the order in which errors about them are reported.
var optionNames = []string{
	"mode", "max", "order", "unions", "joins", "seed", "nms", "min-side", "max-aspect", "min-area", "max-area",
	"max-side", "resize-width", "min-resized-side",
	"colors", "k", "measures", "sigma", "min-size", "orientation", "depth", "threads",
}

// OptionNames returns the names of the options of [ParseOptions].
func OptionNames() []string { return slices.Clone(optionNames) }

// Options are the options of [Run]. Start with [DefaultOptions] or [ParseOptions].
type Options struct {
	// Mode is the mode that the other options modify.
	Mode string
	// Decode has the limits, and max-side and resize-width as LongestSide and Width.
	Decode imageio.Options
	// Search is in pixels of the searched image: its MinSide is min-resized-side.
	Search selective.Options
	// Filter is in pixels of the original.
	Filter box.Filter
}

// Modes returns the names of the modes: those of package selective and rcnn.
func Modes() []string { return append(selective.Modes(), "rcnn") }

// optionsOf returns the options of a mode.
func optionsOf(mode string) (Options, error) {
	o := Options{Mode: mode}
	if mode == "rcnn" {
		o.Search = selective.Fast()
		o.Search.MinSide = 20
		o.Search.Unions = 0
		o.Search.Joins = 0
		o.Decode.Width = 500
		return o, nil
	}
	var err error
	o.Search, err = selective.Mode(mode)
	return o, err
}

// DefaultOptions returns the options that [ParseOptions] returns for no values.
func DefaultOptions() Options {
	o, err := ParseOptions(nil)
	if err != nil {
		panic(err) // DefaultMode is invalid
	}
	return o
}

// An OptionError reports an option with an invalid value.
type OptionError = optparse.Error

// OptionErrors returns the parts of an error of [ParseOptions].
func OptionErrors(err error) []*OptionError { return optparse.Errors(err) }

// ParseOptions parses options. Command line flags and query parameters have these names:
//
//	mode      one of [Modes]; fast
//	max       maximum number of boxes; 0: all; 0
//	order     objectness, paper or hierarchy; objectness
//	unions    maximum number of unions of two touching regions among the candidates of order
//	          objectness, 0 to 131072; the mode's
//	joins     maximum number of candidates that are joined from two of the best in order objectness,
//	          0 to 10000; the mode's
//	seed      seed of order paper, a uint64; 1
//	nms       off, an IoU in (0,1], or adaptive; off
//	min-side  drop boxes with a shorter side, in pixels of the original; 0
//	max-aspect  drop boxes whose longer side is more than this many times the shorter one, at
//	          least 1; 0: none; 0
//	min-area, max-area  drop boxes with a smaller or a larger area, as a fraction of that of the
//	          image; a max-area of 0: none; 0
//	max-side  shrink larger images to this longest side before the search; 0: never; 0
//	resize-width  shrink or enlarge images to this width before the search; 0: never; 0
//	min-resized-side  drop boxes with a shorter side, in pixels of the searched image; 0
//	colors    color spaces, separated by commas; the mode's
//	k         scales of the segmentation in (0,1e6], separated by commas; the mode's
//	measures  combinations of measures such as CTSF,TSF or C0.5TS, separated by commas; the mode's
//	sigma     smoothing in pixels; 0.8
//	min-size  minimum size of an initial region in pixels; 0: the mode's, which is k in the
//	          paper's modes and 100 in OpenCV's; 0
//	orientation  exif: apply the image's orientation; ignore: use the pixels, and return boxes,
//	          as they are stored; exif
//	depth     significant bits of the samples of 16-bit files, 8 to 16, or auto: the fewest that
//	          hold the image's samples; 16
//	threads   maximum number of goroutines; 0: GOMAXPROCS; 0
//
// Mode rcnn is mode fast with a resize-width of 500 and a min-resized-side of 20: the search of
// selective_search_boxes.m in R-CNN (Girshick et al. 2014), in this package's order. Options that are
// given replace those of the mode.
//
// Boxes that are dropped do not count for max, nor in the ranking of the others. Bounds are
// inclusive. See [box.Filter].
//
// Each color space is combined with each k and each combination of measures. One of the three
// options alone modifies the mode, all three together replace it. Duplicate items of a list and
// empty values are errors.
//
// The error joins an [OptionError] for each of the first invalid values, and the number of the others.
func ParseOptions(values map[string]string) (Options, error) {
	return ReadOptions(optparse.New(values, optionNames))
}

// ReadOptions is [ParseOptions] for a parser that can have other options as well. The error includes
// the parser's earlier ones.
func ReadOptions(r *optparse.Parser) (Options, error) {
	mode := DefaultMode
	if given, ok := r.Lookup("mode"); ok {
		mode = given
	}
	o, err := optionsOf(mode)
	if err != nil {
		r.Fail("mode", mode, "one of "+strings.Join(Modes(), ", "))
		o, _ = optionsOf(DefaultMode) // to check the other options
	}
	search := o.Search

	r.Int("max", 0, maxInt, &search.Max)
	optparse.Value(r, "order", "objectness, paper or hierarchy", selective.ParseOrder, &search.Order)
	r.Int("unions", 0, selective.MaxUnions, &search.Unions)
	r.Int("joins", 0, selective.MaxJoins, &search.Joins)
	r.Uint64("seed", &search.Seed)
	optparse.Value(r, "nms", "off, adaptive or a number in (0,1]", box.ParseNMS, &search.NMS)
	readFilter(r, &o.Filter)
	r.Int("min-resized-side", 0, maxInt, &search.MinSide)
	r.Int("threads", 0, maxThreads, &search.Threads)
	readDecode(r, &o.Decode)
	optparse.Value(r, "sigma", wantSigma, parseSigma, &search.Sigma)

	minSize := 0
	r.Int("min-size", 0, maxInt, &minSize)
	minSize = cmp.Or(minSize, search.Strategies[0].MinSize)
	spaces := distinct(search.Strategies, func(s selective.Strategy) raster.Space { return s.Space })
	ks := distinct(search.Strategies, func(s selective.Strategy) float64 { return s.K })
	sets := distinct(search.Strategies, func(s selective.Strategy) similarity.Weights { return s.Weights })
	parseList(r, "colors", "one of "+spaceNames(), raster.ParseSpace, &spaces)
	parseList(r, "k", wantK, parseK, &ks)
	parseList(r, "measures", "letters of CTSF, each with a weight in (0,1] or none, as in TSF or C0.5TS",
		similarity.ParseWeights, &sets)
	if n := len(spaces) * len(ks) * len(sets); n > selective.MaxStrategies && r.Err() == nil {
		r.Fail("colors, k, measures", fmt.Sprintf("%d × %d × %d", len(spaces), len(ks), len(sets)),
			fmt.Sprintf("at most %d strategies in all", selective.MaxStrategies))
	}
	if err := r.Err(); err != nil {
		return Options{}, err
	}
	search.Strategies = selective.Combine(spaces, ks, sets, minSize)
	o.Search = search
	return o, nil
}

// readDecode parses the options of decoding.
func readDecode(r *optparse.Parser, o *imageio.Options) {
	r.Int("max-side", 0, maxInt, &o.LongestSide)
	r.Int("resize-width", 0, imageio.MaxLimits().MaxSide, &o.Width)
	if o.Width > 0 && o.LongestSide > 0 {
		r.Fail("max-side", strconv.Itoa(o.LongestSide), fmt.Sprintf("0, as images are resized to a width of %d", o.Width))
	}
	optparse.Value(r, "orientation", "exif or ignore", parseOrientation, &o.IgnoreOrientation)
	optparse.Value(r, "depth", imageio.DepthSyntax, imageio.ParseDepth, &o.Depth)
}

// What the values of options have to be.
var (
	wantK     = fmt.Sprintf("a number above 0, at most %.0f", segment.MaxK)
	wantSigma = fmt.Sprintf("a number from 0 to %g", selective.MaxSigma)
)

func parseK(s string) (float64, error) {
	return optparse.ParseFloat(s, func(v float64) bool { return v > 0 && v <= segment.MaxK })
}

func parseSigma(s string) (float64, error) {
	return optparse.ParseFloat(s, func(v float64) bool { return v >= 0 && v <= selective.MaxSigma })
}

// readFilter parses the options of a filter.
func readFilter(r *optparse.Parser, f *box.Filter) {
	number := func(name, want string, into *float64, ok func(v float64) bool) {
		optparse.Value(r, name, want, func(s string) (float64, error) { return optparse.ParseFloat(s, ok) }, into)
	}
	fraction := func(v float64) bool { return v >= 0 && v <= 1 }
	r.Int("min-side", 0, maxInt, &f.MinSide)
	number("max-aspect", "0, or a number from 1", &f.MaxAspect, func(v float64) bool { return v == 0 || v >= 1 && v <= math.MaxFloat64 })
	number("min-area", "a number from 0 to 1", &f.MinArea, fraction)
	number("max-area", "a number from 0 to 1", &f.MaxArea, fraction)
	if f.MaxArea > 0 && f.MinArea > f.MaxArea {
		r.Fail("min-area", fmt.Sprint(f.MinArea), fmt.Sprintf("at most max-area, %v", f.MaxArea))
	}
}

// Values returns all options in canonical form. [ParseOptions] parses them to equal options.
func (o Options) Values() map[string]string {
	s := o.Search
	return map[string]string{
		"mode":     o.Mode,
		"max":      strconv.Itoa(s.Max),
		"order":    s.Order.String(),
		"unions":   strconv.Itoa(s.Unions),
		"joins":    strconv.Itoa(s.Joins),
		"seed":     strconv.FormatUint(s.Seed, 10),
		"nms":      s.NMS.String(),
		"min-side": strconv.Itoa(o.Filter.MinSide),
		"max-side": strconv.Itoa(o.Decode.LongestSide),
		"colors":   joinValues(distinct(s.Strategies, func(s selective.Strategy) raster.Space { return s.Space })),
		"k":        joinValues(distinct(s.Strategies, func(s selective.Strategy) float64 { return s.K })),
		"measures": joinValues(distinct(s.Strategies, func(s selective.Strategy) similarity.Weights { return s.Weights })),
		"sigma":    fmt.Sprint(s.Sigma),
		"min-size": strconv.Itoa(s.Strategies[0].MinSize),
		"threads":  strconv.Itoa(s.Threads),

		"max-aspect":       fmt.Sprint(o.Filter.MaxAspect),
		"min-area":         fmt.Sprint(o.Filter.MinArea),
		"max-area":         fmt.Sprint(o.Filter.MaxArea),
		"resize-width":     strconv.Itoa(o.Decode.Width),
		"min-resized-side": strconv.Itoa(s.MinSide),
		"orientation":      orientationName(o.Decode),
		"depth":            o.Decode.Depth.String(),
	}
}

var orientations = [2]string{"exif", "ignore"}

func orientationName(o imageio.Options) string {
	if o.IgnoreOrientation {
		return orientations[1]
	}
	return orientations[0]
}

func parseOrientation(s string) (ignore bool, err error) {
	if i := slices.Index(orientations[:], s); i >= 0 {
		return i == 1, nil
	}
	return false, strconv.ErrSyntax
}

// parseList parses an option whose items are separated by commas.
func parseList[T comparable](r *optparse.Parser, name, want string, parse func(string) (T, error), into *[]T) {
	text, ok := r.Lookup(name)
	if !ok {
		return
	}
	if n := 1 + strings.Count(text, ","); n > selective.MaxStrategies {
		r.Fail(name, fmt.Sprintf("%d items", n), fmt.Sprintf("at most %d", selective.MaxStrategies))
		return
	}
	var items []T
	for item := range strings.SplitSeq(text, ",") {
		v, err := parse(item)
		switch {
		case err != nil:
			r.Fail(name, item, want)
		case slices.Contains(items, v):
			r.Fail(name, item, "each item once")
		default:
			items = append(items, v)
		}
	}
	*into = items
}

// distinct returns the different values of a field of strategies, in their order.
func distinct[T comparable](strategies []selective.Strategy, field func(selective.Strategy) T) []T {
	var items []T
	for _, s := range strategies {
		if v := field(s); !slices.Contains(items, v) {
			items = append(items, v)
		}
	}
	return items
}

func joinValues[T any](items []T) string {
	texts := make([]string, len(items))
	for i, v := range items {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ",")
}
