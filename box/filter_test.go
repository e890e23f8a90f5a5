package box

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		filter Filter
		b      Box
		want   bool
	}{
		{Filter{}, Box{0, 0, 1, 1}, true},
		{Filter{MinSide: 5}, Box{10, 10, 15, 15}, true}, // half-open: 5 × 5
		{Filter{MinSide: 5}, Box{10, 10, 14, 90}, false},
		{Filter{MinSide: 5}, Box{10, 10, 90, 14}, false},
		{Filter{MaxAspect: 1}, Box{0, 0, 7, 7}, true},
		{Filter{MaxAspect: 1}, Box{0, 0, 7, 8}, false},
		{Filter{MaxAspect: 1.1}, Box{0, 0, 11, 10}, true}, // 1.1 is not a float64
		{Filter{MaxAspect: 1.1}, Box{0, 0, 10, 11}, true},
		{Filter{MaxAspect: 3}, Box{0, 0, 31, 10}, false},
		{Filter{MinArea: .1}, Box{0, 0, 100, 10}, true}, // .1 is not a float64
		{Filter{MinArea: .1}, Box{0, 0, 27, 37}, false},
		{Filter{MaxArea: .1}, Box{0, 0, 100, 10}, true},
		{Filter{MaxArea: .1}, Box{0, 0, 91, 11}, false},
		{Filter{MinArea: 1}, Box{0, 0, 100, 100}, true},
		{Filter{MaxArea: 1}, Box{0, 0, 100, 100}, true},
		{Filter{MinArea: .3, MaxArea: .3}, Box{0, 0, 50, 60}, true},
		{Filter{MinSide: 2, MaxAspect: 2, MinArea: .01, MaxArea: .02}, Box{3, 3, 13, 15}, true},
	} {
		t.Run(fmt.Sprintf("%+v %v", c.filter, c.b), func(t *testing.T) {
			if err := c.filter.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := c.filter.Keep(c.b, 100, 100); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

// Bounds are compared as the decimal fractions that they are written as.
func TestFilterIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, height := rapid.IntRange(1, 3000).Draw(t, "width"), rapid.IntRange(1, 3000).Draw(t, "height")
		w, h := rapid.IntRange(1, width).Draw(t, "w"), rapid.IntRange(1, height).Draw(t, "h")
		b := Box{0, 0, int32(w), int32(h)}
		digits := rapid.IntRange(1, 6).Draw(t, "digits")
		scale := int64(math.Pow10(digits))
		decimal := func(n int64) (*big.Rat, float64) {
			r := big.NewRat(n, scale)
			f, _ := r.Float64()
			return r, f
		}
		area := big.NewRat(int64(w)*int64(h), int64(width)*int64(height))
		aspect := big.NewRat(int64(max(w, h)), int64(min(w, h)))
		low, lowFloat := decimal(rapid.Int64Range(0, scale).Draw(t, "min-area"))
		high, highFloat := decimal(rapid.Int64Range(1, scale).Draw(t, "max-area"))
		most, mostFloat := decimal(rapid.Int64Range(scale, 5*scale).Draw(t, "max-aspect"))
		for _, c := range []struct {
			filter Filter
			want   bool
		}{
			{Filter{MinArea: lowFloat}, area.Cmp(low) >= 0},
			{Filter{MaxArea: highFloat}, area.Cmp(high) <= 0},
			{Filter{MaxAspect: mostFloat}, aspect.Cmp(most) <= 0},
		} {
			if got := c.filter.Keep(b, width, height); got != c.want {
				t.Fatalf("%+v: got %t for %v in %d×%d", c.filter, got, b, width, height)
			}
		}
	})
}

func TestInvalidFilters(t *testing.T) {
	for want, f := range map[string]Filter{
		"minimum side -1: want 0 or more":               {MinSide: -1},
		"maximum aspect ratio 0.9: want 0, or a number": {MaxAspect: .9},
		"maximum aspect ratio NaN":                      {MaxAspect: math.NaN()},
		"maximum aspect ratio +Inf":                     {MaxAspect: math.Inf(1)},
		"minimum area -0.1: want a number from 0 to 1":  {MinArea: -.1},
		"minimum area NaN":                              {MinArea: math.NaN()},
		"maximum area 1.1: want a number from 0 to 1":   {MaxArea: 1.1},
		"minimum area 0.5: want at most the maximum":    {MinArea: .5, MaxArea: .4},
	} {
		t.Run(want, func(t *testing.T) {
			if err := f.Validate(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func ExampleFilter() {
	f := Filter{MinSide: 20, MaxAspect: 3, MaxArea: 0.5}
	for _, b := range []Box{{10, 10, 60, 40}, {10, 10, 25, 40}, {0, 0, 100, 30}, {0, 0, 90, 90}} {
		fmt.Println(b, f.Keep(b, 100, 100))
	}
	// Output:
	// [10 10 60 40] true
	// [10 10 25 40] false
	// [0 0 100 30] false
	// [0 0 90 90] false
}
