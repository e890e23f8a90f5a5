// Package clip shortens untrusted text for messages, responses and logs. It measures a text as it is
// written: in JSON, or quoted as by strconv.Quote.
package clip

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// ellipsis replaces the end of a text.
const ellipsis = "…"

// Size returns the number of bytes of s in JSON or quoted, whichever is more, without the quotation
// marks. It stops counting above limit.
func Size(s string, limit int) int {
	n := 0
	for len(s) > 0 && n <= limit {
		cost, width := next(s)
		n += cost
		s = s[width:]
	}
	return n
}

// Text returns s if its [Size] is at most size, which is 3 or more. Otherwise it returns a prefix with an
// ellipsis of together at most that size.
func Text(s string, size int) string {
	n, end := 0, 0
	for at := 0; at < len(s); {
		cost, width := next(s[at:])
		if n += cost; n > size {
			return s[:end] + ellipsis
		}
		at += width
		if n <= size-len(ellipsis) {
			end = at
		}
	}
	return s
}

// Texts shortens texts with [Text] so that their sizes add up to at most total, which is at least 3
// for each. The longest are shortened, to equal sizes.
func Texts(total int, texts ...*string) {
	sizes := make([]int, len(texts))
	for i, text := range texts {
		sizes[i] = Size(*text, total)
	}
	share := total
	slices.Sort(sizes)
	for i, size := range sizes {
		if share = total / (len(sizes) - i); size > share {
			break
		}
		total -= size
	}
	for _, text := range texts {
		*text = Text(*text, share)
	}
}

// next returns the size and the width in bytes of the first character of s.
func next(s string) (cost, width int) {
	if c := s[0]; c < utf8.RuneSelf {
		switch {
		case c == '"' || c == '\\':
			return 2, 1
		case c < ' ' || c == 0x7f || c == '<' || c == '>' || c == '&': // \u003c
			return 6, 1
		}
		return 1, 1
	}
	r, width := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && width == 1: // \ufffd
		return 6, 1
	case !unicode.IsPrint(r): // \U0010ffff
		return 10, width
	}
	return width, width
}
