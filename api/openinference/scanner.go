package openinference

import (
	"errors"
	"slices"

	"github.com/proposer/proposer/internal/jsonscan"
)

// maxMembers is the maximum number of members of an object.
const maxMembers = 64

// scanner reads valid JSON in place. encoding/json would copy the image, match names regardless of
// case, although the protocol's names are case-sensitive, and accept duplicate names.
type scanner struct{ jsonscan.Scanner }

// object calls f with each name of an object. f must consume the value.
func (s *scanner) object(what string, f func(name string) error) error {
	if !s.Consume('{') {
		return invalid("%s: want an object", what)
	}
	var seen []string
	for !s.Consume('}') {
		name := jsonscan.Unquote(s.Value())
		if slices.Contains(seen, name) {
			return invalid("%s: duplicate member %.40q: want it once", what, name)
		}
		if len(seen) == maxMembers {
			return invalid("%s: more than %d members: want fewer", what, maxMembers)
		}
		seen = append(seen, name)
		s.Consume(':')
		if err := f(name); err != nil {
			return err
		}
		s.Consume(',')
	}
	return nil
}

// array calls f before each element of a list. f must consume the element.
func (s *scanner) array(what string, f func() error) error {
	err := s.Array(f)
	if errors.Is(err, jsonscan.ErrNotArray) {
		return invalid("%s: want a list", what)
	}
	return err
}

// parameters calls f with each name and the JSON of its value.
func (s *scanner) parameters(what string, f func(name string, value []byte) error) error {
	return s.object(what, func(name string) error {
		value := s.Value()
		switch value[0] {
		case '{', '[', 'n':
			return invalid("%s: %.40q: want a string, a number, true or false", what, name)
		}
		return f(name, value)
	})
}

// str consumes a string and returns its text.
func (s *scanner) str(what string) (string, error) {
	if s.Peek() != '"' {
		return "", invalid("%s: want a string", what)
	}
	return jsonscan.Unquote(s.Value()), nil
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
	s := scanner{jsonscan.New(array)}
	if !s.Consume('[') || s.Peek() == ']' {
		return nil, false
	}
	item := s.Value()
	return item, s.Peek() == ']'
}
