package openinference

import (
	"bytes"
	"encoding/json"
	"slices"
)

// maxMembers is the most that an object may have that is looked into.
const maxMembers = 64

// scanner goes through a text that is valid JSON. encoding/json would copy the picture, take
// names of any case for the protocol's, which are case-sensitive, and the last of those that
// come twice.
type scanner struct{ rest []byte }

// peek is the first character that is not white, 0 at the end.
func (c *scanner) peek() byte {
	for len(c.rest) > 0 {
		switch b := c.rest[0]; b {
		case ' ', '\t', '\r', '\n':
			c.rest = c.rest[1:]
		default:
			return b
		}
	}
	return 0
}

// consume goes over the character b, if it is next.
func (c *scanner) consume(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

// value takes the next value. It does not recurse, however deep that is.
func (c *scanner) value() []byte {
	c.peek()
	n, depth := 0, 0
	for {
		switch c.rest[n] {
		case '"':
			for n++; c.rest[n] != '"'; n++ {
				if c.rest[n] == '\\' {
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
		case ',', ':', ' ', '\t', '\r', '\n': // between the values of one
			n++
		default:
			for n < len(c.rest) && !isDelimiter(c.rest[n]) {
				n++
			}
		}
		if depth == 0 {
			v := c.rest[:n]
			c.rest = c.rest[n:]
			return v
		}
	}
}

// isDelimiter tells whether a number or a literal ends before the character.
func isDelimiter(b byte) bool {
	switch b {
	case ',', ':', '}', ']', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// object calls each with every name, at the beginning of its value; it takes the value.
func (c *scanner) object(what string, each func(key string) error) error {
	if !c.consume('{') {
		return invalid("%s: want an object", what)
	}
	var seen []string
	for !c.consume('}') {
		key := unquote(c.value())
		if slices.Contains(seen, key) {
			return invalid("%s: %.40q comes twice: want it once", what, key)
		}
		if len(seen) == maxMembers {
			return invalid("%s: more than %d members: want fewer", what, maxMembers)
		}
		seen = append(seen, key)
		c.consume(':')
		if err := each(key); err != nil {
			return err
		}
		c.consume(',')
	}
	return nil
}

// array calls each at the beginning of every item; it takes the item.
func (c *scanner) array(what string, each func() error) error {
	if !c.consume('[') {
		return invalid("%s: want a list", what)
	}
	for !c.consume(']') {
		if err := each(); err != nil {
			return err
		}
		c.consume(',')
	}
	return nil
}

// parameters calls each with every name and the JSON of its value.
func (c *scanner) parameters(what string, each func(name string, value []byte) error) error {
	return c.object(what, func(name string) error {
		value := c.value()
		switch value[0] {
		case '{', '[', 'n':
			return invalid("%s: %.40q: want a string, a number, true or false", what, name)
		}
		return each(name, value)
	})
}

// str takes a string.
func (c *scanner) str(what string) (string, error) {
	if c.peek() != '"' {
		return "", invalid("%s: want a string", what)
	}
	return unquote(c.value()), nil
}

// parseBool reads true or false.
func parseBool(what string, value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid("%s: %.40s: want true or false", what, value)
}

// singleItem is the item of a list that has one.
func singleItem(list []byte) ([]byte, bool) {
	c := scanner{list}
	if !c.consume('[') || c.peek() == ']' {
		return nil, false
	}
	item := c.value()
	return item, c.peek() == ']'
}

// unquote is the text of a JSON string.
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
