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

// The bounds of a tokens file. Every token is looked at for every request.
const (
	maxTokens                = 4096
	maxNameLen               = 64
	minTokenLen, maxTokenLen = 16, 1024
	worldRead                = 0o004
)

// Tokens are the tokens of a file, which holds lines of the form
//
//	NAME TOKEN
//
// where the name is of 1 to 64 letters, digits, '.', '_' and '-', the token of 16 to 1024
// printable ASCII characters, and both are there once. Blank lines and lines that begin with
// # say nothing. There are 1 to 4096 tokens. All methods are safe for concurrent use.
type Tokens struct {
	path    string
	current atomic.Pointer[tokenSet]
}

// tokenSet are what a file held when it was read.
type tokenSet struct {
	entries       []entry
	worldReadable bool
}

type entry struct {
	name string
	sum  [sha256.Size]byte
}

// LoadTokens reads a file of tokens. All that is wrong with it is told of at once, a line each.
func LoadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads the file anew. Where that fails the tokens stay what they were.
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

// Authenticate is whose token it is. It takes as long for one that is as for one that is not: the
// sums of all tokens are compared, and none of their bytes is skipped.
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

// Len is how many tokens there are.
func (t *Tokens) Len() int { return len(t.current.Load().entries) }

// WorldReadable tells whether all users of the machine could read the file.
func (t *Tokens) WorldReadable() bool { return t.current.Load().worldReadable }

// parseTokens reads the lines of the file of that name. What stands in a line is never part of an
// error, though it be in the place of a name: the two may have been mixed up.
func parseTokens(file string, data []byte) ([]entry, error) {
	var entries []entry
	var errs []error
	names, sums := map[string]int{}, map[[sha256.Size]byte]int{}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s:%d: "+format, append([]any{file, number}, args...)...))
		}
		line = bytes.Trim(line, " \t\r\n")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		fields := bytes.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(fields) != 2 {
			wrong("want NAME TOKEN, or a # before it")
			continue
		}
		name, token := fields[0], fields[1]
		if len(name) > maxNameLen || bytes.ContainsFunc(name, invalidNameRune) {
			wrong("want a name of 1 to %d letters, digits, '.', '_' and '-'", maxNameLen)
		} else if before := names[string(name)]; before > 0 {
			wrong("the name is that of line %d: want another", before)
		} else {
			names[string(name)] = number
		}
		sum := sha256.Sum256(token)
		if len(token) < minTokenLen || len(token) > maxTokenLen || bytes.ContainsFunc(token, invalidTokenRune) {
			wrong("want a token of %d to %d printable ASCII characters", minTokenLen, maxTokenLen)
		} else if before := sums[sum]; before > 0 {
			wrong("the token is that of line %d: want another", before)
		} else {
			sums[sum] = number
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
