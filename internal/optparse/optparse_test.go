package optparse

import (
	"errors"
	"fmt"
	"strings"
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
	err := errors.Join(p.Err(), errors.New("another"))
	for _, e := range Errors(err) {
		got = append(got, e.Error())
	}
	want := []string{
		`less "": want an option that exists: size, seed, share, rest`,
		`more "x": want an option that exists`,
		`size "9": want a whole number from 3 to 8`,
		`seed "-1": want a whole number from 0 to 18446744073709551615`,
		`share "NaN": want a number in [0,1]`,
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) || More(err) != 0 {
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
	if p.Err() != nil || size != 8 || seed != 1<<64-1 || Errors(p.Err()) != nil || More(p.Err()) != 0 {
		t.Errorf("%d, %d, %v", size, seed, p.Err())
	}
}

func TestSimilarNames(t *testing.T) {
	names := []string{"max", "max-side", "colors", "k", "nms"}
	for name, want := range map[string]string{
		"Max": "max", "maxx": "max", "max_side": "max-side", "colours": "colors", "color": "colors", "K": "k", "NMS": "nms",
		"j": "", "": "", "size": "", "modus": "", strings.Repeat("max", 100): "",
	} {
		if got := MostSimilar(name, names); got != want {
			t.Errorf("%.40s: got %q, want %q", name, got, want)
		}
	}
	p := New(map[string]string{"maxx": "3"}, names)
	if want := `maxx "3": want an option that exists, such as max`; Message(p.Err()) != want {
		t.Errorf("got %s, want %s", Message(p.Err()), want)
	}
}

// A message is short, however many options are wrong, and however long they are.
func TestManyErrors(t *testing.T) {
	names := []string{"size", "seed"}
	for _, text := range []string{"x", strings.Repeat("x", 1<<20), strings.Repeat("\x00\xff", 1<<10)} {
		for _, n := range []int{1, MaxErrors, MaxErrors + 1, 100} {
			values := map[string]string{}
			for i := range n {
				values[fmt.Sprintf("%04d%s", i, text)] = text
			}
			p := New(values, names)
			for range n {
				p.Fail("size", text, "a number")
			}
			message := Message(p.Err())
			all, more := Errors(p.Err()), More(p.Err())
			if len(message) > 4096 || len(all)+more != 2*n || len(all) != min(2*n, MaxErrors) {
				t.Errorf("%d options of %.4q: got %d + %d errors in a message of %d bytes", n, text, len(all), more, len(message))
			}
			if wrong := 2*n - MaxErrors; wrong > 1 && !strings.HasSuffix(message, fmt.Sprintf("; and %d more errors", wrong)) {
				t.Errorf("got %.300s, want a count", message)
			}
			if strings.Count(message, "size, seed") != 1 {
				t.Errorf("got %.300s, want the names once", message)
			}
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 1},
		{"", "ab", 2},
		{"queue", "queue", 0},
		{"wrokers", "workers", 2},
		{"kitten", "sitting", 3},
	} {
		if got, reverse := editDistance(c.a, c.b), editDistance(c.b, c.a); got != c.want || reverse != c.want {
			t.Errorf("%q, %q: got %d and %d, want %d", c.a, c.b, got, reverse, c.want)
		}
	}
}
