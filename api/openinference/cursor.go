package openinference

import (
	"bytes"
	"encoding/json"
	"slices"
)

// maxMembers is the most that an object may have that is looked into.
const maxMembers = 64

// cursor goes through a text that is valid JSON. encoding/json would copy the picture, take
// names of any case for the protocol's, which are case-sensitive, and the last of those that
// come twice.
type cursor struct{ rest []byte }

// next is the first character that is not white, 0 at the end.
func (c *cursor) next() byte {
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

// skip goes over the character b, if it is next.
func (c *cursor) skip(b byte) bool {
	if c.next() != b {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

// value takes the next value. It does not recurse, however deep that is.
func (c *cursor) value() []byte {
	c.next()
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
func (c *cursor) object(what string, each func(key string) error) error {
	if !c.skip('{') {
		return bad("%s: want an object", what)
	}
	var seen []string
	for !c.skip('}') {
		key := unquote(c.value())
		if slices.Contains(seen, key) {
			return bad("%s: %.40q comes twice: want it once", what, key)
		}
		if len(seen) == maxMembers {
			return bad("%s: more than %d members: want fewer", what, maxMembers)
		}
		seen = append(seen, key)
		c.skip(':')
		if err := each(key); err != nil {
			return err
		}
		c.skip(',')
	}
	return nil
}

// list calls each at the beginning of every item; it takes the item.
func (c *cursor) list(what string, each func() error) error {
	if !c.skip('[') {
		return bad("%s: want a list", what)
	}
	for !c.skip(']') {
		if err := each(); err != nil {
			return err
		}
		c.skip(',')
	}
	return nil
}

// parameters calls each with every name and the JSON of its value.
func (c *cursor) parameters(what string, each func(name string, value []byte) error) error {
	return c.object(what, func(name string) error {
		value := c.value()
		switch value[0] {
		case '{', '[', 'n':
			return bad("%s: %.40q: want a string, a number, true or false", what, name)
		}
		return each(name, value)
	})
}

// text takes a string.
func (c *cursor) text(what string) (string, error) {
	if c.next() != '"' {
		return "", bad("%s: want a string", what)
	}
	return unquote(c.value()), nil
}

// flag reads true or false.
func flag(what string, value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, bad("%s: %.40s: want true or false", what, value)
}

// only is the item of a list that has one.
func only(list []byte) ([]byte, bool) {
	c := cursor{list}
	if !c.skip('[') || c.next() == ']' {
		return nil, false
	}
	item := c.value()
	return item, c.next() == ']'
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
