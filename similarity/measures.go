package similarity

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Weights holds the a_i of s = a1·s_color + a2·s_texture + a3·s_size + a4·s_fill, each in
// [0,1], at least one of them positive. The paper uses only 0 and 1.
type Weights struct {
	Color, Texture, Size, Fill float64
}

// letters are the paper's names of the measures.
const letters = "CTSF"

func (w *Weights) all() [len(letters)]*float64 {
	return [...]*float64{&w.Color, &w.Texture, &w.Size, &w.Fill}
}

// ParseWeights parses a set of measures, each named by its letter: C for color, T for
// texture, S for size, F for fill, as in CTSF, TSF or F. A number in (0,1] after a letter
// is its weight, as in C0.5TS0.25; the default is 1.
func ParseWeights(s string) (Weights, error) {
	var w Weights
	if s == "" {
		return Weights{}, fmt.Errorf("no measures: want letters of %s, as in CTSF or C0.5TS", letters)
	}
	for rest := s; rest != ""; {
		i := strings.IndexByte(letters, rest[0])
		if i < 0 {
			return Weights{}, fmt.Errorf("measures %q: unknown measure %q: want one of %s", s, rest[:1], letters)
		}
		to := w.all()[i]
		if *to != 0 {
			return Weights{}, fmt.Errorf("measures %q: repeated measure %q: want each at most once", s, rest[:1])
		}
		rest = rest[1:]
		end := strings.IndexAny(rest, letters)
		if end < 0 {
			end = len(rest)
		}
		*to = 1
		if end > 0 {
			v, err := strconv.ParseFloat(rest[:end], 64)
			if err != nil || !(v > 0 && v <= 1) {
				return Weights{}, fmt.Errorf("measures %q: weight %q: want a number in (0,1]", s, rest[:end])
			}
			*to = v
			rest = rest[end:]
		}
	}
	return w, nil
}

// String returns the weights in the form that ParseWeights reads.
func (w Weights) String() string {
	var b strings.Builder
	for i, v := range w.all() {
		if *v == 0 {
			continue
		}
		b.WriteByte(letters[i])
		if *v != 1 {
			b.WriteString(strconv.FormatFloat(*v, 'g', -1, 64))
		}
	}
	return b.String()
}

// Validate returns an error if a weight is outside [0,1] or all are 0.
func (w Weights) Validate() error {
	for i, v := range w.all() {
		if !(*v >= 0 && *v <= 1) {
			return fmt.Errorf("weight %c = %v: want a number in [0,1]", letters[i], *v)
		}
	}
	if w == (Weights{}) {
		return errors.New("all weights are 0: want at least one positive")
	}
	return nil
}
