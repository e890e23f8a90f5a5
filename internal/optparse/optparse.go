// Package optparse parses the options of a request: flags, query parameters or form values, which
// have the same names and meanings. It collects all errors.
package optparse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// An Error reports an option with an invalid value.
type Error struct {
	Name, Value, Want string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %q: want %s", e.Name, e.Value, e.Want)
}

// Errors returns every [Error] in an error of [Parser.Err], which may be joined with other errors.
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

// A Parser parses options by name and collects errors.
type Parser struct {
	values map[string]string
	errs   []error
}

// New returns a parser of values. It reports values whose names are not among names, and then
// ignores them.
func New(values map[string]string, names []string) *Parser {
	p := &Parser{values: make(map[string]string, len(values))}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, name) {
			p.Fail(name, values[name], "an option that exists: "+strings.Join(names, ", "))
			continue
		}
		p.values[name] = values[name]
	}
	return p
}

// Err returns the errors so far, joined: an [Error] for each invalid value. It is nil if there are none.
func (p *Parser) Err() error { return errors.Join(p.errs...) }

// Fail adds the error that a value is invalid.
func (p *Parser) Fail(name, value, want string) {
	p.errs = append(p.errs, &Error{name, value, want})
}

// Lookup returns an option as it was given.
func (p *Parser) Lookup(name string) (text string, given bool) {
	text, given = p.values[name]
	return text, given
}

// Int parses a whole number from low to high into *v. If the option is not given or invalid, *v is
// unchanged.
func (p *Parser) Int(name string, low, high int, v *int) {
	Value(p, name, fmt.Sprintf("a whole number from %d to %d", low, high), func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err == nil && (n < low || n > high) {
			err = strconv.ErrRange
		}
		return n, err
	}, v)
}

// Uint64 parses a uint64 into *v. If the option is not given or invalid, *v is unchanged.
func (p *Parser) Uint64(name string, v *uint64) {
	Value(p, name, "a whole number from 0 to 18446744073709551615", func(s string) (uint64, error) {
		return strconv.ParseUint(s, 10, 64)
	}, v)
}

// Value parses an option with parse into *v. If the option is not given or invalid, *v is unchanged.
func Value[T any](p *Parser, name, want string, parse func(string) (T, error), v *T) {
	text, ok := p.values[name]
	if !ok {
		return
	}
	parsed, err := parse(text)
	if err != nil {
		p.Fail(name, text, want)
		return
	}
	*v = parsed
}

// ParseFloat parses a number for which ok returns true. ok should return false for NaN, as every
// comparison does.
func ParseFloat(s string, ok func(float64) bool) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && !ok(v) {
		err = strconv.ErrRange
	}
	return v, err
}
