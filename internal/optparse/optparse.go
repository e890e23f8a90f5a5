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

// Parser takes options out of their texts and gathers what is wrong.
type Parser struct {
	values map[string]string
	errs   []error
}

// New returns a parser of values. It reports values whose names are not among names, and then
// ignores them.
func New(values map[string]string, names []string) *Parser {
	r := &Parser{values: make(map[string]string, len(values))}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, name) {
			r.Fail(name, values[name], "an option that exists: "+strings.Join(names, ", "))
			continue
		}
		r.values[name] = values[name]
	}
	return r
}

// Err is all that was wrong, in its order, an [Error] each; nil if nothing was.
func (r *Parser) Err() error { return errors.Join(r.errs...) }

// Fail says that a value is wrong.
func (r *Parser) Fail(name, value, want string) {
	r.errs = append(r.errs, &Error{name, value, want})
}

// Lookup is an option as it was given.
func (r *Parser) Lookup(name string) (text string, given bool) {
	text, given = r.values[name]
	return text, given
}

// Int reads a whole number in [least,most] into *into, which stays if the option is
// not given or wrong.
func (r *Parser) Int(name string, least, most int, into *int) {
	Value(r, name, fmt.Sprintf("a whole number from %d to %d", least, most), func(s string) (int, error) {
		v, err := strconv.Atoi(s)
		if err == nil && (v < least || v > most) {
			err = strconv.ErrRange
		}
		return v, err
	}, into)
}

// Uint64 reads a uint64, likewise.
func (r *Parser) Uint64(name string, into *uint64) {
	Value(r, name, "a whole number from 0 to 18446744073709551615", func(s string) (uint64, error) {
		return strconv.ParseUint(s, 10, 64)
	}, into)
}

// Value reads an option as parse does, likewise.
func Value[T any](r *Parser, name, want string, parse func(string) (T, error), into *T) {
	text, ok := r.values[name]
	if !ok {
		return
	}
	v, err := parse(text)
	if err != nil {
		r.Fail(name, text, want)
		return
	}
	*into = v
}

// ParseFloat reads a finite number for which ok holds; NaN should fail it, as it does every comparison.
func ParseFloat(s string, ok func(float64) bool) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && !ok(v) {
		err = strconv.ErrRange
	}
	return v, err
}
