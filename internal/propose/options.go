package propose

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
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

// optionNames of the options, in the order in which errors about them come.
var optionNames = []string{
	"mode", "max", "order", "seed", "nms", "min-side", "max-side",
	"colors", "k", "measures", "sigma", "min-size", "orientation", "threads",
}

// OptionNames lists the options that [ParseOptions] knows.
func OptionNames() []string { return slices.Clone(optionNames) }

// Options says how to go from a file to boxes. Begin with [DefaultOptions] or
// [ParseOptions].
type Options struct {
	// Mode is the preset that Search began as.
	Mode string
	// Decode holds the limits, and in LongestSide what max-side asks for.
	Decode imageio.Options
	// Search is in the original's pixels: [Run] scales MinSide for a shrunken picture. Its
	// Keep has the [Result] hold the masks, the evidence and the trees.
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
type OptionError = optparse.Error

// OptionErrors finds every [OptionError] in what [ParseOptions] returned.
func OptionErrors(err error) []*OptionError { return optparse.Errors(err) }

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
	return ReadOptions(optparse.New(values, optionNames))
}

// ReadOptions is [ParseOptions] for a parser that may have other options, too. The error includes
// those that the parser already has.
func ReadOptions(r *optparse.Parser) (Options, error) {
	o := Options{Mode: DefaultMode}
	if mode, ok := r.Lookup("mode"); ok {
		o.Mode = mode
	}
	search, err := selective.Mode(o.Mode)
	if err != nil {
		r.Fail("mode", o.Mode, "one of "+strings.Join(selective.Modes(), ", "))
		search, _ = selective.Mode(DefaultMode) // to look at the other options
	}

	r.Int("max", 0, maxInt, &search.Max)
	optparse.Value(r, "order", "objectness, paper or hierarchy", selective.ParseOrder, &search.Order)
	r.Uint64("seed", &search.Seed)
	optparse.Value(r, "nms", "off, adaptive or a number in (0,1]", box.ParseNMS, &search.NMS)
	r.Int("min-side", 0, maxInt, &search.MinSide)
	r.Int("max-side", 0, maxInt, &o.Decode.LongestSide)
	r.Int("threads", 0, maxThreads, &search.Threads)
	optparse.Value(r, "orientation", "exif or ignore", parseOrientation, &o.Decode.IgnoreOrientation)
	optparse.Value(r, "sigma", fmt.Sprintf("a number from 0 to %g", selective.MaxSigma), func(s string) (float64, error) {
		return optparse.ParseFloat(s, func(v float64) bool { return v >= 0 && v <= selective.MaxSigma })
	}, &search.Sigma)

	minSize := search.Strategies[0].MinSize
	own := minSize
	r.Int("min-size", 0, maxInt, &minSize)
	if minSize == 0 {
		minSize = own
	}
	spaces := distinct(search.Strategies, func(s selective.Strategy) raster.Space { return s.Space })
	ks := distinct(search.Strategies, func(s selective.Strategy) float64 { return s.K })
	sets := distinct(search.Strategies, func(s selective.Strategy) similarity.Weights { return s.Weights })
	parseList(r, "colors", "one of "+strings.ReplaceAll(joinValues(raster.Spaces()), ",", ", "), raster.ParseSpace, &spaces)
	parseList(r, "k", fmt.Sprintf("a number above 0, at most %.0f", segment.MaxK), func(s string) (float64, error) {
		return optparse.ParseFloat(s, func(v float64) bool { return v > 0 && v <= segment.MaxK })
	}, &ks)
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
		"colors":   joinValues(distinct(s.Strategies, func(s selective.Strategy) raster.Space { return s.Space })),
		"k":        joinValues(distinct(s.Strategies, func(s selective.Strategy) float64 { return s.K })),
		"measures": joinValues(distinct(s.Strategies, func(s selective.Strategy) similarity.Weights { return s.Weights })),
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

// parseList reads an option of several items, separated by commas.
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

func distinct[T comparable](all []selective.Strategy, of func(selective.Strategy) T) []T {
	var items []T
	for _, s := range all {
		if v := of(s); !slices.Contains(items, v) {
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
