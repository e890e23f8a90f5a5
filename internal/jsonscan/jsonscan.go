// Package jsonscan reads valid JSON in place. Unlike encoding/json it does not copy values, distinguishes
// null from 0, and leaves the names of objects to its caller.
package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// ErrNotArray is returned by [Scanner.Array] if the next value is not an array.
var ErrNotArray = errors.New("not an array")

// Scanner reads a text, which has to be valid JSON.
type Scanner struct {
	rest []byte
}

// New returns a Scanner of a text.
func New(text []byte) Scanner { return Scanner{text} }

// Peek skips white space and returns the next character, or 0 at the end.
func (s *Scanner) Peek() byte {
	for len(s.rest) > 0 {
		switch b := s.rest[0]; b {
		case ' ', '\t', '\r', '\n':
			s.rest = s.rest[1:]
		default:
			return b
		}
	}
	return 0
}

// Consume skips the character b and reports whether it was next.
func (s *Scanner) Consume(b byte) bool {
	if s.Peek() != b {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// Value consumes and returns the next value. It does not recurse, so nesting may be deep.
func (s *Scanner) Value() []byte {
	s.Peek()
	n, depth := 0, 0
	for {
		switch s.rest[n] {
		case '"':
			for n++; s.rest[n] != '"'; n++ {
				if s.rest[n] == '\\' {
					n++
				}
			}
			n++
		case '{', '[':
			depth++
			n++
		case '}', ']':
			depth--
			n++
		case ',', ':', ' ', '\t', '\r', '\n': // between the parts of a value
			n++
		default:
			for n < len(s.rest) && !isDelimiter(s.rest[n]) {
				n++
			}
		}
		if depth == 0 {
			return s.take(n)
		}
	}
}

// Number consumes and returns a number. It returns nothing if the next value is not a number.
func (s *Scanner) Number() []byte {
	s.Peek()
	n := 0
	for n < len(s.rest) && (s.rest[n] >= '0' && s.rest[n] <= '9' || strings.IndexByte("-+.eE", s.rest[n]) >= 0) {
		n++
	}
	return s.take(n)
}

// Array calls f before each element of an array. f must consume the element. If the next value is not
// an array the error is [ErrNotArray].
func (s *Scanner) Array(f func() error) error {
	if !s.Consume('[') {
		return ErrNotArray
	}
	for !s.Consume(']') {
		if err := f(); err != nil {
			return err
		}
		s.Consume(',')
	}
	return nil
}

func (s *Scanner) take(n int) []byte {
	token := s.rest[:n]
	s.rest = s.rest[n:]
	return token
}

// isDelimiter reports whether b ends a number or a literal.
func isDelimiter(b byte) bool {
	switch b {
	case ',', ':', '}', ']', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// Unquote returns the text of a JSON string.
func Unquote(token []byte) string {
	if bytes.IndexByte(token, '\\') < 0 {
		return string(token[1 : len(token)-1])
	}
	var s string
	if err := json.Unmarshal(token, &s); err != nil {
		panic(err) // the JSON was valid
	}
	return s
}
