// Package optparse reads options from their texts: flags, query parameters and the values
// of a form all have the same names and mean the same. All that is wrong is told at once.
package optparse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// An Error names an option whose value is wrong, and what would be right.
type Error struct {
	Name, Value, Want string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %q: want %s", e.Name, e.Value, e.Want)
}

// Errors finds every [Error] in an error that [Reader.Err] made, joined with others or not.
func Errors(err error) []*Error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Error
		for _, e := range joined.Unwrap() {
			all = append(all, Errors(e)...)
		}
		return all
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return []*Error{e}
	}
	return nil
}

// Reader takes options out of their texts and gathers what is wrong.
type Reader struct {
	values map[string]string
	errs   []error
}

// NewReader reads values. Those whose names are not among names are wrong.
func NewReader(values map[string]string, names []string) *Reader {
	r := &Reader{values: values}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, name) {
			r.Bad(name, values[name], "an option that exists: "+strings.Join(names, ", "))
		}
	}
	return r
}

// Err is all that was wrong, in its order, an [Error] each; nil if nothing was.
func (r *Reader) Err() error { return errors.Join(r.errs...) }

// Bad says that a value is wrong.
func (r *Reader) Bad(name, value, want string) {
	r.errs = append(r.errs, &Error{name, value, want})
}

// Text is an option as it was given.
func (r *Reader) Text(name string) (text string, given bool) {
	text, given = r.values[name]
	return text, given
}

// Integer reads a whole number in [least,most] into *into, which stays if the option is
// not given or wrong.
func (r *Reader) Integer(name string, least, most int, into *int) {
	One(r, name, fmt.Sprintf("a whole number from %d to %d", least, most), func(s string) (int, error) {
		v, err := strconv.Atoi(s)
		if err == nil && (v < least || v > most) {
			err = strconv.ErrRange
		}
		return v, err
	}, into)
}

// Seed reads a uint64, likewise.
func (r *Reader) Seed(name string, into *uint64) {
	One(r, name, "a whole number from 0 to 18446744073709551615", func(s string) (uint64, error) {
		return strconv.ParseUint(s, 10, 64)
	}, into)
}

// One reads an option as parse does, likewise.
func One[T any](r *Reader, name, want string, parse func(string) (T, error), into *T) {
	text, ok := r.values[name]
	if !ok {
		return
	}
	v, err := parse(text)
	if err != nil {
		r.Bad(name, text, want)
		return
	}
	*into = v
}

// Number reads a finite number for which ok holds; NaN should fail it, as it does every comparison.
func Number(s string, ok func(float64) bool) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && !ok(v) {
		err = strconv.ErrRange
	}
	return v, err
}
