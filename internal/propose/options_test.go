package propose

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/selective"
	"github.com/proposer/proposer/similarity"
)

// queryValues parses a query string to the argument of ParseOptions.
func queryValues(t testing.TB, query string) map[string]string {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for name, v := range q {
		values[name] = v[0]
	}
	return values
}

func TestDefaultOptions(t *testing.T) {
	want, err := selective.Mode("fast")
	if err != nil {
		t.Fatal(err)
	}
	if got := DefaultOptions(); !reflect.DeepEqual(got, Options{Mode: "fast", Search: want}) {
		t.Errorf("got %+v", got)
	}
	// The documented defaults.
	got, err := ParseOptions(queryValues(t, "mode=fast&max=0&order=objectness&unions=2000&joins=1500&seed=1&nms=off&min-side=0&max-side=0"+
		"&max-aspect=0&min-area=0&max-area=0&resize-width=0&min-resized-side=0"+
		"&sigma=0.8&min-size=0&orientation=exif&depth=16&threads=0"))
	if err != nil || !reflect.DeepEqual(got, DefaultOptions()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestModes(t *testing.T) {
	for _, mode := range selective.Modes() {
		want, _ := selective.Mode(mode)
		got, err := ParseOptions(map[string]string{"mode": mode})
		if err != nil || !reflect.DeepEqual(got, Options{Mode: mode, Search: want}) {
			t.Errorf("%s: %v, %+v, want %+v", mode, err, got.Search, want)
		}
	}
	if got, want := Modes(), append(selective.Modes(), "rcnn"); !slices.Equal(got, want) {
		t.Errorf("got modes %q, want %q", got, want)
	}
}

func TestParseOptions(t *testing.T) {
	tsf := similarity.Weights{Texture: 1, Size: 1, Fill: 1}
	ctsf := similarity.Weights{Color: 1, Texture: 1, Size: 1, Fill: 1}
	for query, check := range map[string]func(Options) bool{
		"mode=opencv-quality": func(o Options) bool {
			return len(o.Search.Strategies) == 100 && o.Search.Connectivity == segment.Four && o.Search.Strategies[99].MinSize == 100
		},
		"max=17&order=hierarchy&seed=18446744073709551615&threads=3": func(o Options) bool {
			return o.Search.Max == 17 && o.Search.Order == selective.OrderHierarchy && o.Search.Seed == math.MaxUint64 && o.Search.Threads == 3
		},
		"joins=10000":              func(o Options) bool { return o.Search.Joins == 10_000 },
		"unions=17":                func(o Options) bool { return o.Search.Unions == 17 },
		"nms=0.75":                 func(o Options) bool { return o.Search.NMS == box.NMS{Threshold: .75} },
		"nms=adaptive":             func(o Options) bool { return o.Search.NMS.Threshold == .9 && o.Search.NMS.Decay == .9996 },
		"min-side=20&max-side=500": func(o Options) bool { return o.Filter.MinSide == 20 && o.Decode.LongestSide == 500 },
		"max-aspect=3.5&min-area=1e-3&max-area=1": func(o Options) bool {
			return o.Filter == box.Filter{MaxAspect: 3.5, MinArea: .001, MaxArea: 1}
		},
		"min-area=0.25&max-area=.25": func(o Options) bool { return o.Filter == box.Filter{MinArea: .25, MaxArea: .25} },
		"min-area=1&max-area=0":      func(o Options) bool { return o.Filter == box.Filter{MinArea: 1} },
		"resize-width=300&min-resized-side=9": func(o Options) bool {
			return o.Decode.Width == 300 && o.Search.MinSide == 9 && o.Filter == box.Filter{}
		},
		"mode=rcnn": func(o Options) bool {
			return o.Decode.Width == 500 && o.Search.MinSide == 20 && reflect.DeepEqual(o.Search.Strategies, selective.Fast().Strategies)
		},
		"mode=rcnn&resize-width=0&max-side=300&min-resized-side=5&min-side=7&colors=Lab": func(o Options) bool {
			return o.Decode.Width == 0 && o.Decode.LongestSide == 300 && o.Search.MinSide == 5 && o.Filter.MinSide == 7 && len(o.Search.Strategies) == 4
		},
		"orientation=ignore": func(o Options) bool { return o.Decode.IgnoreOrientation },
		"depth=12":           func(o Options) bool { return o.Decode.Depth == 12 },
		"depth=auto":         func(o Options) bool { return o.Decode.Depth == imageio.AutoDepth },
		"sigma=0":            func(o Options) bool { return o.Search.Sigma == 0 },
		"mode=single&colors=Lab,rgI": func(o Options) bool {
			return slices.Equal(o.Search.Strategies, []selective.Strategy{
				{Space: raster.Lab, K: 100, Weights: ctsf}, {Space: raster.RgI, K: 100, Weights: ctsf},
			})
		},
		"mode=opencv-single&colors=RGB&k=0.5,1e6&measures=TSF&min-size=7": func(o Options) bool {
			return slices.Equal(o.Search.Strategies, []selective.Strategy{
				{Space: raster.RGB, K: .5, MinSize: 7, Weights: tsf}, {Space: raster.RGB, K: 1e6, MinSize: 7, Weights: tsf},
			})
		},
		"mode=opencv-single&min-size=0": func(o Options) bool { return o.Search.Strategies[0].MinSize == 100 },
		"measures=C0.5T": func(o Options) bool {
			return len(o.Search.Strategies) == 4 && o.Search.Strategies[0].Weights == similarity.Weights{Color: .5, Texture: 1}
		},
	} {
		t.Run(query, func(t *testing.T) {
			o, err := ParseOptions(queryValues(t, query))
			if err != nil || !check(o) {
				t.Fatalf("got %+v, %v", o, err)
			}
			if err := o.Search.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInvalidOptions(t *testing.T) {
	many := make([]string, selective.MaxStrategies+1)
	for i := range many {
		many[i] = fmt.Sprint(i + 1)
	}
	for query, want := range map[string]string{ // part of the error
		"mode=medium":                  `mode "medium": want one of single, fast`,
		"mode=":                        `mode "": want one of single`,
		"modus=fast":                   `modus "fast": want an option that exists: mode, max`,
		"max=-1":                       `max "-1": want a whole number from 0`,
		"max=1.5":                      `max "1.5"`,
		"max=":                         `max ""`,
		"max=99999999999999999999":     `max "99999999999999999999"`,
		"order=random":                 `order "random": want objectness, paper or hierarchy`,
		"seed=-1":                      `seed "-1": want a whole number from 0 to 18446744073709551615`,
		"seed=18446744073709551616":    `seed "18446744073709551616"`,
		"joins=10001":                  `joins "10001": want`,
		"unions=131073":                `unions "131073": want`,
		"nms=0":                        `nms "0": want off, adaptive or a number in (0,1]`,
		"nms=1.01":                     `nms "1.01"`,
		"nms=NaN":                      `nms "NaN"`,
		"min-side=x":                   `min-side "x"`,
		"orientation=6":                `orientation "6": want exif or ignore`,
		"depth=7":                      `depth "7": want a whole number from 8 to 16, or auto`,
		"depth=-1":                     `depth "-1"`,
		"max-side=2147483648":          `max-side "2147483648"`,
		"max-side=9&resize-width=8":    `max-side "9": want 0, as images are resized to a width of 8`,
		"max-side=9&mode=rcnn":         `max-side "9": want 0, as images are resized to a width of 500`,
		"resize-width=-500":            `resize-width "-500": want a whole number from 0 to 1048576`,
		"resize-width=1048577":         `resize-width "1048577"`,
		"resize-width=1e2":             `resize-width "1e2"`,
		"min-resized-side=-1":          `min-resized-side "-1": want a whole number from 0`,
		"max-aspect=0.5":               `max-aspect "0.5": want 0, or a number from 1`,
		"max-aspect=-2":                `max-aspect "-2"`,
		"max-aspect=NaN":               `max-aspect "NaN"`,
		"max-aspect=+Inf":              `max-aspect "`,
		"max-aspect=1e999":             `max-aspect "1e999"`,
		"max-aspect=2:1":               `max-aspect "2:1"`,
		"min-area=-0.1":                `min-area "-0.1": want a number from 0 to 1`,
		"min-area=1.01":                `min-area "1.01"`,
		"min-area=NaN":                 `min-area "NaN"`,
		"max-area=Inf":                 `max-area "Inf": want a number from 0 to 1`,
		"max-area=50%25":               `max-area "50%"`,
		"min-area=0.3&max-area=0.2":    `min-area "0.3": want at most max-area, 0.2`,
		"colors=HSV,":                  `colors "": want one of RGB, I`,
		"colors=HSV,CMYK":              `colors "CMYK"`,
		"colors=HSV,hsv":               `colors "hsv": want each item once`,
		"k=0":                          `k "0": want a number above 0`,
		"k=NaN":                        `k "NaN"`,
		"k=Inf":                        `k "Inf"`,
		"k=1000001":                    `k "1000001"`,
		"k=50,,100":                    `k ""`,
		"k=100,1e2":                    `k "1e2": want each item once`,
		"k=" + strings.Join(many, ","): `k "257 items": want at most 256`,
		"mode=quality&k=" + strings.Join(many[:20], ","): `colors, k, measures "5 × 20 × 4": want at most 256 strategies`,
		"measures=CTSF,FSTC":                             `measures "FSTC": want each item once`,
		"measures=X":                                     `measures "X": want letters of CTSF`,
		"measures=":                                      `measures ""`,
		"sigma=-0.1":                                     `sigma "-0.1": want a number from 0 to 16`,
		"sigma=NaN":                                      `sigma "NaN"`,
		"min-size=-5":                                    `min-size "-5"`,
		"threads=1025":                                   `threads "1025": want a whole number from 0 to 1024`,
	} {
		t.Run(fmt.Sprintf("%.60s", query), func(t *testing.T) {
			o, err := ParseOptions(queryValues(t, query))
			if err == nil || !strings.Contains(err.Error(), want) || len(OptionErrors(err)) != 1 {
				t.Errorf("got error %v, want one with %s", err, want)
			}
			if !reflect.DeepEqual(o, Options{}) {
				t.Errorf("got %+v in addition to the error", o)
			}
		})
	}
}

func TestEveryOptionIsChecked(t *testing.T) {
	values := map[string]string{}
	for _, name := range OptionNames() {
		values[name] = "x"
		_, err := ParseOptions(map[string]string{name: "x"})
		if all := OptionErrors(err); len(all) != 1 || all[0].Name != name {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	values["colors"] = "x,y"
	values["x"] = "x"
	_, err := ParseOptions(values)
	if got, want := len(OptionErrors(err))+optparse.More(err), len(OptionNames())+2; got != want {
		t.Errorf("got %d errors, want %d: %v", got, want, err)
	}
}

func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{
		"orientation=ignore&max=1", "depth=10", "depth=auto&max=1", "", "max-aspect=1.5&min-area=1e-9&max-area=0.5&resize-width=7&min-resized-side=3", "mode=rcnn&resize-width=0&max-side=9",
		"mode=quality&max=10&order=hierarchy&unions=5&joins=6&seed=7&nms=0.8&min-side=3&max-side=640&sigma=0&min-size=9&threads=2",
		"colors=HSV,Lab&k=50,1e-300&measures=CTSF,C0.5TS0.25", "k=0x1p-2&nms=adaptive&mode=opencv-fast", "k=1_0&a=%00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		values := map[string]string{}
		for name, v := range q {
			values[name] = v[0]
		}
		o, err := ParseOptions(values)
		if err != nil {
			if len(OptionErrors(err)) == 0 {
				t.Fatalf("%q: got an error that is not an OptionError: %v", values, err)
			}
			return
		}
		if err := errors.Join(o.Search.Validate(), o.Filter.Validate()); err != nil {
			t.Fatalf("%q: parsed but invalid: %v", values, err)
		}
		if o.Decode.Width > 0 && o.Decode.LongestSide > 0 {
			t.Fatalf("%q: two sizes", values)
		}
		canonical := o.Values()
		again, err := ParseOptions(canonical)
		if err != nil || !reflect.DeepEqual(again, o) {
			t.Fatalf("%q: %q reads as %+v (%v), want %+v", values, canonical, again, err, o)
		}
		if !maps.Equal(again.Values(), canonical) {
			t.Fatalf("%q is not canonical", canonical)
		}
	})
}
