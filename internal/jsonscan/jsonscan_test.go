package jsonscan

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestValue(t *testing.T) {
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for _, value := range []string{`1`, `-1.5e+3`, `null`, `true`, `""`, `"a\"]"`, `"\\"`, `{}`, `{"a": [1, {"b": "}"}]}`, `[ ]`, deep} {
		name := value[:min(len(value), 20)]
		t.Run(name, func(t *testing.T) {
			s := New([]byte(" [ " + value + "\n, 2]"))
			if !s.Consume('[') {
				t.Fatal("no array")
			}
			if got := string(s.Value()); got != value {
				t.Errorf("got %.50q, want %.50q", got, value)
			}
			if !s.Consume(',') || string(s.Value()) != "2" || !s.Consume(']') || s.Peek() != 0 {
				t.Error("the rest was not scanned")
			}
		})
	}
}

func TestArrayOfNumbers(t *testing.T) {
	var got []string
	s := New([]byte(` [1 , -2.5e3,"x",null]`))
	errStop := errors.New("not a number")
	err := s.Array(func() error {
		token := string(s.Number())
		got = append(got, token)
		if token == "" {
			return errStop
		}
		return nil
	})
	if want := []string{"1", "-2.5e3", ""}; !errors.Is(err, errStop) || !slices.Equal(got, want) {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	s = New([]byte("{}"))
	if err := s.Array(nil); !errors.Is(err, ErrNotArray) {
		t.Errorf("got %v, want ErrNotArray", err)
	}
}

func TestUnquote(t *testing.T) {
	for token, want := range map[string]string{`""`: "", `"a"`: "a", `"\u00e9\n"`: "é\n"} {
		if got := Unquote([]byte(token)); got != want {
			t.Errorf("%s: got %q, want %q", token, got, want)
		}
	}
}
