package jsonscan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxDepth is the maximum nesting of arrays and objects in a stream.
const maxDepth = 10_000

// Stream reads a JSON text of any length. It checks the grammar of all values, also of those that it
// skips, with three exceptions: it accepts NaN, Infinity and -Infinity, which Python writes, any
// sequence of digits, signs, points and exponents as a number, and bytes in strings that are not
// UTF-8. A byte order mark at the beginning is skipped.
//
// The first error ends the stream and is returned by all later calls. It is a [*SyntaxError],
// [ErrEncoding] or that of the io.Reader.
type Stream struct {
	r        io.Reader
	max      int
	buf      []byte
	pos, end int   // buf[pos:end] is unread
	keep     int   // buf[keep:end] is retained when more is read; -1: buf[pos:end]
	base     int64 // offset of buf[0] in the text
	stack    []byte
	err      error
}

// ErrEncoding is returned for a text that is not UTF-8.
var ErrEncoding = errors.New("text is UTF-16 or UTF-32: want UTF-8")

// SyntaxError reports invalid JSON.
type SyntaxError struct {
	Offset int64 // in bytes
	Msg    string
}

const unexpectedEnd = "unexpected end"

// Is reports that the error is [io.ErrUnexpectedEOF] if the text ends early.
func (e *SyntaxError) Is(target error) bool {
	return target == io.ErrUnexpectedEOF && e.Msg == unexpectedEnd
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Msg)
}

// NewStream returns a Stream that reads strings and values of at most maxValue bytes; [Stream.Skip]
// also skips longer arrays and objects.
func NewStream(r io.Reader, maxValue int) *Stream {
	return &Stream{r: r, max: maxValue, buf: make([]byte, 64<<10), keep: -1}
}

// Offset returns the number of bytes that were consumed.
func (s *Stream) Offset() int64 { return s.base + int64(s.pos) }

// fail records a syntax error at the current position.
func (s *Stream) fail(format string, args ...any) error {
	if s.err == nil {
		s.err = &SyntaxError{s.Offset(), fmt.Sprintf(format, args...)}
	}
	return s.err
}

// more reads more bytes behind end. It moves the buffer's contents, so that indices in it are invalid
// afterwards; pos and keep are updated.
func (s *Stream) more() error {
	if s.err != nil {
		return s.err
	}
	from := s.pos
	if s.keep >= 0 {
		from = s.keep
	}
	if s.end-from > s.max {
		return s.fail("value is longer than %d bytes", s.max)
	}
	if from > 0 {
		copy(s.buf, s.buf[from:s.end])
		s.base += int64(from)
		s.pos -= from
		s.end -= from
		if s.keep >= 0 {
			s.keep = 0
		}
	}
	if s.end == len(s.buf) {
		larger := make([]byte, len(s.buf)+len(s.buf)/2)
		copy(larger, s.buf)
		s.buf = larger
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		first := s.base == 0 && s.end == 0
		s.end += n
		if first && n > 0 {
			return s.begin(err)
		}
		switch {
		case n > 0:
			return nil // an error comes again
		case errors.Is(err, io.EOF):
			s.err = &SyntaxError{s.base + int64(s.end), unexpectedEnd}
			return s.err
		case err != nil:
			s.err = err
			return err
		}
	}
	s.err = io.ErrNoProgress
	return s.err
}

// begin handles the first bytes of the text, which were read with err.
func (s *Stream) begin(err error) error {
	if s.end < 3 && err == nil {
		var n int
		n, err = io.ReadAtLeast(s.r, s.buf[s.end:], 3-s.end)
		s.end += n
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.err = err
		return err
	}
	start := s.buf[:s.end]
	if bytes.HasPrefix(start, []byte("\xef\xbb\xbf")) {
		s.pos = 3
	}
	if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) ||
		len(start) > 1 && (start[0] == 0) != (start[1] == 0) {
		s.err = ErrEncoding
		return s.err
	}
	if s.pos == s.end {
		return s.more()
	}
	return nil
}

// Peek skips white space and returns the next character without consuming it.
func (s *Stream) Peek() (byte, error) {
	for s.err == nil {
		for ; s.pos < s.end; s.pos++ {
			if b := s.buf[s.pos]; classes[b] != space {
				return b, nil
			}
		}
		if err := s.more(); err != nil {
			return 0, err
		}
	}
	return 0, s.err
}

// Consume skips white space and the character b, and reports whether it was next.
func (s *Stream) Consume(b byte) (bool, error) {
	c, err := s.Peek()
	if err != nil || c != b {
		return false, err
	}
	s.pos++
	return true, nil
}

// Object calls f for each member of the next value, which has to be an object. f must consume the
// member's value.
func (s *Stream) Object(f func(key string) error) error {
	return s.list('{', '}', "an object", func() error {
		b, err := s.Peek()
		if err != nil {
			return err
		}
		if b != '"' {
			return s.fail("%s: want a name in quotes", quoted(b))
		}
		token, err := s.Value()
		if err != nil {
			return err
		}
		key := Unquote(token)
		if ok, err := s.Consume(':'); err != nil {
			return err
		} else if !ok {
			return s.fail("want a colon after the name %.40q", key)
		}
		return f(key)
	})
}

// Array calls f for each element of the next value, which has to be an array. f must consume the
// element.
func (s *Stream) Array(f func() error) error { return s.list('[', ']', "an array", f) }

func (s *Stream) list(left, right byte, what string, f func() error) error {
	if ok, err := s.Consume(left); err != nil {
		return err
	} else if !ok {
		return s.fail("want %s", what)
	}
	if ok, err := s.Consume(right); ok || err != nil {
		return err
	}
	for {
		if err := f(); err != nil {
			return err
		}
		b, err := s.Peek()
		if err != nil {
			return err
		}
		if b != ',' && b != right {
			return s.fail("%s: want a comma or %s", quoted(b), quoted(right))
		}
		s.pos++
		if b == right {
			return nil
		}
	}
}

// End returns an error unless only white space follows.
func (s *Stream) End() error {
	b, err := s.Peek()
	switch {
	case err == nil:
		return s.fail("%s after the end", quoted(b))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	}
	return err
}

// Value consumes and returns the next value. It is valid until the next call of a method.
func (s *Stream) Value() ([]byte, error) {
	if _, err := s.Peek(); err != nil {
		return nil, err
	}
	s.keep = s.pos
	err := s.scan()
	value := s.buf[s.keep:s.pos]
	s.keep = -1
	if err != nil {
		return nil, err
	}
	if len(value) > s.max {
		return nil, s.fail("value is longer than %d bytes", s.max)
	}
	return value, nil
}

// Skip consumes the next value.
func (s *Stream) Skip() error { return s.scan() }

// scan consumes the next value.
func (s *Stream) scan() error {
	s.stack = s.stack[:0]
	for {
		// A value is next.
		b, err := s.Peek()
		if err != nil {
			return err
		}
		switch {
		case b == '[' || b == '{':
			if len(s.stack) == maxDepth {
				return s.fail("nested more than %d times", maxDepth)
			}
			s.stack = append(s.stack, b+2) // the bracket that closes it
			s.pos++
			if b, err = s.Peek(); err != nil {
				return err
			}
			if b == s.stack[len(s.stack)-1] {
				break // it is empty
			}
			if b != ']' && b != '}' {
				if s.stack[len(s.stack)-1] == '}' {
					if err := s.name(); err != nil {
						return err
					}
				}
				continue
			}
			return s.fail("%s: want %s", quoted(b), quoted(s.stack[len(s.stack)-1]))
		case b == '"':
			err = s.string()
		case classes[b] == number:
			err = s.number()
		case classes[b] == letter:
			err = s.literal()
		default:
			err = s.fail("%s: want a value", quoted(b))
		}
		if err != nil {
			return err
		}

		// A value has ended. Close what ends with it.
		for {
			if len(s.stack) == 0 {
				return nil
			}
			if b, err = s.Peek(); err != nil {
				return err
			}
			right := s.stack[len(s.stack)-1]
			if b != ',' && b != right {
				return s.fail("%s: want a comma or %s", quoted(b), quoted(right))
			}
			s.pos++
			if b == right {
				s.stack = s.stack[:len(s.stack)-1]
				continue
			}
			if right == '}' {
				if err := s.name(); err != nil {
					return err
				}
			}
			break
		}
	}
}

// name consumes the name of a member and the colon.
func (s *Stream) name() error {
	b, err := s.Peek()
	if err != nil {
		return err
	}
	if b != '"' {
		return s.fail("%s: want a name in quotes", quoted(b))
	}
	if err := s.string(); err != nil {
		return err
	}
	if ok, err := s.Consume(':'); err != nil {
		return err
	} else if !ok {
		return s.fail("want a colon after a name")
	}
	return nil
}

// token calls f for the bytes from pos on, which returns how many of them belong to the token. It
// consumes and returns the token, which ends before the end of the buffer.
func (s *Stream) token(length func(b []byte) int) ([]byte, error) {
	outer := s.keep
	if outer < 0 {
		s.keep = s.pos
	}
	start := s.pos - s.keep
	for {
		rest := s.buf[s.keep+start : s.end]
		n := length(rest)
		if n < len(rest) || s.err != nil {
			s.pos = s.keep + start + n
			if outer < 0 {
				s.keep = -1
			}
			return rest[:n], nil
		}
		if err := s.more(); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				continue // the text ends with the token
			}
			return nil, err
		}
	}
}

func (s *Stream) number() error {
	// Most numbers are short and inside the buffer.
	for i := s.pos + 1; i < s.end; i++ {
		if c := classes[s.buf[i]]; c != number && c != exponent {
			if c == letter {
				break // as in -Infinity
			}
			if b := s.buf[i-1]; b < '0' || b > '9' {
				break
			}
			s.pos = i
			return nil
		}
	}
	return s.literal()
}

// literal consumes a number or a name of letters.
func (s *Stream) literal() error {
	at := s.Offset()
	token, err := s.token(func(b []byte) int {
		for i, c := range b {
			switch classes[c] {
			case number, letter, exponent:
			default:
				return i
			}
		}
		return len(b)
	})
	if err != nil {
		return err
	}
	switch string(token) {
	case "true", "false", "null", "NaN", "Infinity", "-Infinity":
		return nil
	}
	digits := 0
	for _, c := range token {
		if c >= '0' && c <= '9' {
			digits++
		} else if classes[c] == letter {
			digits = -len(token)
		}
	}
	if last := token[len(token)-1]; digits > 0 && (last == '.' || last >= '0' && last <= '9') {
		return nil
	}
	s.err = &SyntaxError{at, fmt.Sprintf("%.40q: want a value", token)}
	return s.err
}

// string consumes a string.
func (s *Stream) string() error {
	s.pos++
	start := s.Offset()
	for {
		for s.pos < s.end && plain[s.buf[s.pos]] {
			s.pos++
		}
		if s.pos == s.end {
			if s.Offset()-start > int64(s.max) {
				return s.fail("string is longer than %d bytes", s.max)
			}
			if err := s.more(); err != nil {
				return err
			}
			continue
		}
		switch b := s.buf[s.pos]; b {
		case '"':
			s.pos++
			return nil
		case '\\':
			if err := s.escape(); err != nil {
				return err
			}
		default:
			return s.fail("control character %#02x in a string", b)
		}
	}
}

// escape consumes an escape sequence.
func (s *Stream) escape() error {
	n := 2
	for i := 1; i < n; i++ {
		for s.pos+i >= s.end {
			if err := s.more(); err != nil {
				return err
			}
		}
		switch b := s.buf[s.pos+i]; {
		case i == 1 && b == 'u':
			n = 6
		case i == 1 && bytes.IndexByte([]byte(`"\/bfnrt`), b) < 0, i > 1 && !isHex(b):
			return s.fail("invalid escape sequence in a string")
		}
	}
	s.pos += n
	return nil
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// quoted returns a character for messages.
func quoted(b byte) string {
	if b < 0x80 {
		return fmt.Sprintf("%q", rune(b))
	}
	return fmt.Sprintf("byte %#02x", b)
}

// The classes of the characters outside strings.
const (
	space    = 1 + iota
	number   // a digit, a sign or a point
	exponent // e or E
	letter
)

var (
	classes = func() (t [256]byte) {
		for b := 'a'; b <= 'z'; b++ {
			t[b], t[b-'a'+'A'] = letter, letter
		}
		for _, b := range "0123456789+-." {
			t[b] = number
		}
		for _, b := range " \t\r\n" {
			t[b] = space
		}
		t['e'], t['E'] = exponent, exponent
		return t
	}()
	plain = func() (t [256]bool) { // characters of strings that mean themselves
		for b := 0x20; b < 256; b++ {
			t[b] = b != '"' && b != '\\'
		}
		return t
	}()
)
