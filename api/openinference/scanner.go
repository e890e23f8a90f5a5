package openinference

import (
	"bytes"
	"encoding/json"
	"slices"
)

// maxMembers is the maximum number of members of an object.
const maxMembers = 64

// scanner reads valid JSON in place. encoding/json would copy the image, match names regardless of
// case, although the protocol's names are case-sensitive, and accept duplicate names.
type scanner struct{ rest []byte }

// peek skips white space and returns the next character, or 0 at the end.
func (s *scanner) peek() byte {
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

// consume skips the character b and reports whether it was next.
func (s *scanner) consume(b byte) bool {
	if s.peek() != b {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// value consumes and returns the next value. It does not recurse, so nesting may be deep.
func (s *scanner) value() []byte {
	s.peek()
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
			v := s.rest[:n]
			s.rest = s.rest[n:]
			return v
		}
	}
}

// isDelimiter reports whether b ends a number or a literal.
func isDelimiter(b byte) bool {
	switch b {
	case ',', ':', '}', ']', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// object calls f with each name of an object. f must consume the value.
func (s *scanner) object(what string, f func(name string) error) error {
	if !s.consume('{') {
		return invalid("%s: want an object", what)
	}
	var seen []string
	for !s.consume('}') {
		name := unquote(s.value())
		if slices.Contains(seen, name) {
			return invalid("%s: duplicate member %.40q: want it once", what, name)
		}
		if len(seen) == maxMembers {
			return invalid("%s: more than %d members: want fewer", what, maxMembers)
		}
		seen = append(seen, name)
		s.consume(':')
		if err := f(name); err != nil {
			return err
		}
		s.consume(',')
	}
	return nil
}

// array calls f before each element of a list. f must consume the element.
func (s *scanner) array(what string, f func() error) error {
	if !s.consume('[') {
		return invalid("%s: want a list", what)
	}
	for !s.consume(']') {
		if err := f(); err != nil {
			return err
		}
		s.consume(',')
	}
	return nil
}

// parameters calls f with each name and the JSON of its value.
func (s *scanner) parameters(what string, f func(name string, value []byte) error) error {
	return s.object(what, func(name string) error {
		value := s.value()
		switch value[0] {
		case '{', '[', 'n':
			return invalid("%s: %.40q: want a string, a number, true or false", what, name)
		}
		return f(name, value)
	})
}

// str consumes a string and returns its text.
func (s *scanner) str(what string) (string, error) {
	if s.peek() != '"' {
		return "", invalid("%s: want a string", what)
	}
	return unquote(s.value()), nil
}

// parseBool parses true or false.
func parseBool(what string, value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid("%s: %.40s: want true or false", what, value)
}

// singleItem returns the element of a list that has exactly one.
func singleItem(array []byte) ([]byte, bool) {
	s := scanner{array}
	if !s.consume('[') || s.peek() == ']' {
		return nil, false
	}
	item := s.value()
	return item, s.peek() == ']'
}

// unquote returns the text of a JSON string.
func unquote(token []byte) string {
	if bytes.IndexByte(token, '\\') < 0 {
		return string(token[1 : len(token)-1])
	}
	var s string
	if err := json.Unmarshal(token, &s); err != nil {
		panic(err) // the JSON was valid
	}
	return s
}
