// Package optparse parses the options of a request: flags, query parameters or form values, which
// have the same names and meanings. It collects the first errors and counts the others.
package optparse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/internal/clip"
)

// MaxErrors is the maximum number of errors that a [Parser] describes.
const MaxErrors = 10

// Maximum sizes of a name and a value in an error, in bytes as package clip counts them.
const (
	maxName  = 64
	maxValue = 128
)

// An Error reports an option with an invalid value.
type Error struct {
	Name, Value, Want string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %q: want %s", e.Name, e.Value, e.Want)
}

// moreErrors is the number of errors that are counted but not described.
type moreErrors int

func (n moreErrors) Error() string {
	if n == 1 {
		return "and 1 more error"
	}
	return fmt.Sprintf("and %d more errors", int(n))
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

// More returns the number of errors that an error of [Parser.Err] counts but does not describe.
func More(err error) int {
	n, _ := errors.AsType[moreErrors](err)
	return int(n)
}

// Message returns the text of an error of [Parser.Err], which is not nil, in one line.
func Message(err error) string {
	var texts []string
	for _, e := range Errors(err) {
		texts = append(texts, e.Error())
	}
	if n := More(err); n > 0 {
		texts = append(texts, moreErrors(n).Error())
	}
	return strings.Join(texts, "; ")
}

// A Parser parses options by name and collects errors.
type Parser struct {
	values map[string]string
	errs   []error
	more   moreErrors
}

// New returns a parser of values. It reports values whose names are not among names, and then
// ignores them.
func New(values map[string]string, names []string) *Parser {
	p := &Parser{values: make(map[string]string, len(values))}
	listed := false
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if slices.Contains(names, name) {
			p.values[name] = values[name]
			continue
		}
		want := "an option that exists"
		if len(p.errs) < MaxErrors {
			if similar := MostSimilar(name, names); similar != "" {
				want += ", such as " + similar
			} else if !listed {
				want += ": " + strings.Join(names, ", ")
				listed = true
			}
		}
		p.Fail(name, values[name], want)
	}
	return p
}

// Err returns the errors so far, joined: an [Error] for each of the first [MaxErrors] invalid values, and
// the number of the others. It is nil if there are none.
func (p *Parser) Err() error {
	if p.more > 0 {
		return errors.Join(append(slices.Clip(p.errs), p.more)...)
	}
	return errors.Join(p.errs...)
}

// Fail adds the error that a value is invalid. It shortens the name and the value.
func (p *Parser) Fail(name, value, want string) {
	if len(p.errs) == MaxErrors {
		p.more++
		return
	}
	p.errs = append(p.errs, &Error{clip.Text(name, maxName), clip.Text(value, maxValue), want})
}

// MostSimilar returns the one of names, which are in lower case, that resembles an unknown one, or
// nothing: at most a third of the characters differ, not counting upper and lower case.
func MostSimilar(unknown string, names []string) string {
	if len(unknown) > maxName {
		return ""
	}
	best := ""
	least := max(len(unknown)/3, 1) + 1
	for _, name := range names {
		if d := editDistance(strings.ToLower(unknown), name); d < least && d < len(name) {
			best, least = name, d
		}
	}
	return best
}

// editDistance returns the number of bytes that must be inserted, deleted or replaced to turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // of the matrix over a and b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
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
