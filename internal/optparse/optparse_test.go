package optparse

import (
	"errors"
	"fmt"
	"testing"
)

func TestErrors(t *testing.T) {
	p := New(map[string]string{"size": "9", "seed": "-1", "share": "NaN", "more": "x", "less": ""}, []string{"size", "seed", "share", "rest"})
	size, seed, share, rest := 1, uint64(2), 0.5, 4
	p.Int("size", 3, 8, &size)
	p.Uint64("seed", &seed)
	Value(p, "share", "a number in [0,1]", func(s string) (float64, error) {
		return ParseFloat(s, func(v float64) bool { return v >= 0 && v <= 1 })
	}, &share)
	p.Int("rest", 0, 9, &rest)
	var got []string
	for _, e := range Errors(errors.Join(p.Err(), errors.New("another"))) {
		got = append(got, e.Error())
	}
	want := []string{
		`less "": want an option that exists: size, seed, share, rest`,
		`more "x": want an option that exists: size, seed, share, rest`,
		`size "9": want a whole number from 3 to 8`,
		`seed "-1": want a whole number from 0 to 18446744073709551615`,
		`share "NaN": want a number in [0,1]`,
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if size != 1 || seed != 2 || share != 0.5 || rest != 4 {
		t.Errorf("an invalid or missing option changed its variable: %d, %d, %v, %d", size, seed, share, rest)
	}
	if text, ok := p.Lookup("size"); text != "9" || !ok {
		t.Errorf("Lookup of an option: got %q, %t", text, ok)
	}
	if text, ok := p.Lookup("more"); ok {
		t.Errorf("Lookup of an unknown option: got %q", text)
	}
}

func TestValues(t *testing.T) {
	p := New(map[string]string{"size": "8", "seed": "18446744073709551615"}, []string{"size", "seed"})
	var size int
	var seed uint64
	p.Int("size", 3, 8, &size)
	p.Uint64("seed", &seed)
	if p.Err() != nil || size != 8 || seed != 1<<64-1 || Errors(p.Err()) != nil {
		t.Errorf("%d, %d, %v", size, seed, p.Err())
	}
}
