package rois

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/imbalance"
	"github.com/proposer/proposer/internal/optparse"
)

// parseQuery returns a query string in the form that ParseOptions takes.
func parseQuery(t testing.TB, query string) map[string]string {
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

func TestParseOptions(t *testing.T) {
	ones := DeltaWeights{1, 1, 1, 1}
	for query, want := range map[string]Options{
		"":                     {FastRCNN, 128, 0.25, 1, true, ones},
		"sampler=fast-rcnn":    {FastRCNN, 128, 0.25, 1, true, ones},
		"sampler=detectron2":   {Detectron2, 512, 0.25, 1, true, ones},
		"sampler=iou-balanced": {IoUBalanced, 512, 0.25, 1, true, ones},
		"sampler=detectron2&size=64&foreground=.5&rois-seed=18446744073709551615&append-truth=false&delta-weights=10,10,5,5": {
			Detectron2, 64, 0.5, 1<<64 - 1, false, Detectron2Weights,
		},
		"size=1&foreground=0&rois-seed=0&append-truth=true&delta-weights=1e-6,1e6,0.5,1": {FastRCNN, 1, 0, 0, true, DeltaWeights{1e-6, 1e6, 0.5, 1}},
		"size=1048576&foreground=1": {FastRCNN, MaxSize, 1, 1, true, ones},
	} {
		t.Run(query, func(t *testing.T) {
			got, err := ParseOptions(parseQuery(t, query))
			if err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
			if err := got.Validate(); err != nil {
				t.Errorf("Validate: %v", err)
			}
		})
	}
	if got := DefaultOptions(); got != FastRCNN.Options() {
		t.Errorf("DefaultOptions: got %+v, want %+v", got, FastRCNN.Options())
	}
}

func TestThresholds(t *testing.T) {
	for s, want := range map[Sampler]imbalance.Thresholds{
		FastRCNN:    {Foreground: 0.5, Background: [2]float64{0.1, 0.5}, Crowd: 0.5},
		Detectron2:  {Foreground: 0.5, Background: [2]float64{0, 0.5}, Crowd: 0.5},
		IoUBalanced: {Foreground: 0.5, Background: [2]float64{0, 0.5}, Crowd: 0.5},
	} {
		if got := s.Thresholds(); got != want {
			t.Errorf("%v: got %+v, want %+v", s, got, want)
		}
	}
}

func TestParseOptionsErrors(t *testing.T) {
	for query, want := range map[string]string{
		"sampler=ohem":                   `sampler "ohem": want one of fast-rcnn, detectron2, iou-balanced`,
		"sampler=":                       `sampler "": want one of`,
		"size=0":                         `size "0": want a whole number from 1 to 1048576`,
		"size=1048577":                   `size "1048577": want`,
		"size=1.5":                       `size "1.5": want`,
		"foreground=1.01":                `foreground "1.01": want a number from 0 to 1`,
		"foreground=-0.1":                `foreground "-0.1": want`,
		"foreground=NaN":                 `foreground "NaN": want`,
		"rois-seed=-1":                   `rois-seed "-1": want a whole number from 0 to 18446744073709551615`,
		"rois-seed=18446744073709551616": `rois-seed "18446744073709551616": want`,
		"append-truth=1":                 `append-truth "1": want true or false`,
		"append-truth=True":              `append-truth "True": want`,
		"delta-weights=1,1,1":            `delta-weights "1,1,1": want four numbers from 1e-06 to 1e+06, separated by commas`,
		"delta-weights=1,1,1,1,1":        `delta-weights "1,1,1,1,1": want`,
		"delta-weights=0,0,0,0":          `delta-weights "0,0,0,0": want`,
		"delta-weights=1,1,1,Inf":        `delta-weights "1,1,1,Inf": want`,
		"delta-weights=1,1,,1":           `delta-weights "1,1,,1": want`,
		"seed=1":                         `seed "1": want an option that exists: sampler, size, foreground, rois-seed, append-truth, delta-weights`,
	} {
		t.Run(query, func(t *testing.T) {
			o, err := ParseOptions(parseQuery(t, query))
			if err == nil || !strings.HasPrefix(err.Error(), want) || len(optparse.Errors(err)) != 1 || o != (Options{}) {
				t.Errorf("got %+v, %v; want %s", o, err, want)
			}
		})
	}
	_, err := ParseOptions(parseQuery(t, "sampler=x&size=x&foreground=x&rois-seed=x&append-truth=x&delta-weights=x&x=x"))
	var got []string
	for _, e := range optparse.Errors(err) {
		got = append(got, e.Name)
	}
	if want := append([]string{"x"}, OptionNames()...); !slices.Equal(got, want) {
		t.Errorf("got errors for %q, want %q", got, want)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"sampler 3":            func(o *Options) { o.Sampler = 3 },
		"sampler -1":           func(o *Options) { o.Sampler = -1 },
		"size 0":               func(o *Options) { o.Size = 0 },
		"size 1048577":         func(o *Options) { o.Size = MaxSize + 1 },
		"foreground NaN":       func(o *Options) { o.Foreground = math.NaN() },
		"foreground 2":         func(o *Options) { o.Foreground = 2 },
		"delta weight 1 is -1": func(o *Options) { o.Weights[1] = -1 },
	} {
		t.Run(want, func(t *testing.T) {
			o := DefaultOptions()
			change(&o)
			if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Validate of %+v: got %v, want %s", o, err, want)
			}
		})
	}
	o := DefaultOptions()
	if o.Weights = (DeltaWeights{}); o.Validate() != nil {
		t.Errorf("zero weights: got %v, want no error", o.Validate())
	}
}

func TestParseSampler(t *testing.T) {
	for i, name := range Samplers() {
		if s, err := ParseSampler(name); err != nil || s != Sampler(i) || fmt.Sprint(s) != name {
			t.Errorf("ParseSampler(%q) = %v, %v; want %v", name, s, err, Sampler(i))
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{
		"", "sampler=detectron2&size=64&foreground=.5&rois-seed=7&append-truth=false&delta-weights=10,10,5,5",
		"delta-weights=1,,1,1&foreground=0x1p-2", "size=1_0&a=%00",
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
			if len(optparse.Errors(err)) == 0 {
				t.Fatalf("%q: error %v without an option", values, err)
			}
			return
		}
		if err := o.Validate(); err != nil {
			t.Fatalf("%q: parsed options are invalid: %v", values, err)
		}
		canonical := o.Values()
		again, err := ParseOptions(canonical)
		if err != nil || !reflect.DeepEqual(again, o) || !maps.Equal(again.Values(), canonical) {
			t.Fatalf("%q: canonical form %q parses as %+v, %v; want %+v", values, canonical, again, err, o)
		}
		if names := slices.Sorted(maps.Keys(canonical)); !slices.Equal(names, slices.Sorted(slices.Values(OptionNames()))) {
			t.Fatalf("the canonical form has the options %q, want %q", names, OptionNames())
		}
	})
}
