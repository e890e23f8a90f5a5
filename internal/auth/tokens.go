package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/proposer/proposer/internal/boundedio"
)

// Limits of a token file. Each request is compared with every token.
const (
	maxTokens                = 4096
	maxNameLen               = 64
	minTokenLen, maxTokenLen = 16, 1024
	worldRead                = 0o004
)

// Tokens is the content of a token file, which has lines of the form
//
//	NAME TOKEN
//
// A name has 1 to 64 letters, digits, '.', '_' and '-'. A token has 16 to 1024 printable ASCII
// characters. Names and tokens are unique, and there are 1 to 4096 of them. Blank lines and lines
// that begin with # are ignored. All methods are safe for concurrent use.
type Tokens struct {
	path    string
	current atomic.Pointer[tokenSet]
}

// tokenSet is the content of the file when it was last read.
type tokenSet struct {
	entries       []entry
	worldReadable bool
}

type entry struct {
	name string
	sum  [sha256.Size]byte
}

// LoadTokens reads a token file. The error lists every invalid line.
func LoadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads the file again. If it fails, the tokens stay the same.
func (t *Tokens) Reload() error {
	data, info, err := boundedio.ReadFile(t.path, maxFileBytes)
	if err != nil {
		return err
	}
	entries, err := parseTokens(t.path, data)
	if err != nil {
		return err
	}
	t.current.Store(&tokenSet{entries, info.Mode()&worldRead != 0})
	return nil
}

// Authenticate returns the name of the client that owns the token, and whether there is one. Its time
// does not depend on the token: it compares the hashes of all tokens in constant time.
func (t *Tokens) Authenticate(token string) (name string, ok bool) {
	sum := sha256.Sum256([]byte(token))
	found := -1
	entries := t.current.Load().entries
	for i := range entries {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], entries[i].sum[:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return entries[found].name, true
}

// Len returns the number of tokens.
func (t *Tokens) Len() int { return len(t.current.Load().entries) }

// WorldReadable reports whether all users of the machine could read the file when it was last read.
func (t *Tokens) WorldReadable() bool { return t.current.Load().worldReadable }

// parseTokens parses a token file of that name. Errors never contain the content of a line, not even
// in the place of the name, as name and token may have been swapped.
func parseTokens(file string, data []byte) ([]entry, error) {
	var entries []entry
	var errs []error
	nameLines := map[string]int{} // line numbers
	tokenLines := map[[sha256.Size]byte]int{}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s:%d: "+format, append([]any{file, number}, args...)...))
		}
		line = bytes.Trim(line, " \t\r\n")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		fields := bytes.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(fields) != 2 {
			fail("want NAME TOKEN, or a comment that begins with #")
			continue
		}
		name, token := fields[0], fields[1]
		if len(name) > maxNameLen || bytes.ContainsFunc(name, invalidNameRune) {
			fail("want a name of 1 to %d letters, digits, '.', '_' and '-'", maxNameLen)
		} else if first := nameLines[string(name)]; first > 0 {
			fail("duplicate name, first used in line %d: want another", first)
		} else {
			nameLines[string(name)] = number
		}
		sum := sha256.Sum256(token)
		if len(token) < minTokenLen || len(token) > maxTokenLen || bytes.ContainsFunc(token, invalidTokenRune) {
			fail("want a token of %d to %d printable ASCII characters", minTokenLen, maxTokenLen)
		} else if first := tokenLines[sum]; first > 0 {
			fail("duplicate token, first used in line %d: want another", first)
		} else {
			tokenLines[sum] = number
		}
		entries = append(entries, entry{string(name), sum})
	}
	if n := len(entries); n > maxTokens || n == 0 && errs == nil {
		errs = append(errs, fmt.Errorf("%s: %d tokens: want 1 to %d", file, n, maxTokens))
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	return entries, nil
}

func invalidNameRune(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

func invalidTokenRune(r rune) bool { return r <= ' ' || r > '~' }
