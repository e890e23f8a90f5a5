package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/internal/safefs"
)

// readImage reads a file of at most limit bytes, or standard input if the name is -. A pipe or a
// device cannot be read by its name, because it might never end.
func readImage(ctx context.Context, stdin io.Reader, name string, limit int64) ([]byte, error) {
	if name == "-" {
		return readInput(ctx, stdin, limit)
	}
	return readFile(name, limit)
}

// readFile reads a regular file of at most limit bytes. Errors do not contain its name.
func readFile(name string, limit int64) ([]byte, error) {
	data, _, err := boundedio.ReadFile(name, limit)
	if errors.Is(err, safefs.ErrNotRegular) {
		return nil, fmt.Errorf("%w, or - for standard input", safefs.WithoutPath(err))
	}
	return data, safefs.WithoutPath(err)
}

// readInput reads standard input until the context ends. The read itself cannot be interrupted: its
// goroutine ends with the input or the process.
func readInput(ctx context.Context, stdin io.Reader, limit int64) ([]byte, error) {
	type read struct {
		data []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		data, err := boundedio.ReadAll(bufio.NewReader(stdin), 0, limit)
		done <- read{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// printable quotes a file name that contains control characters, which could manipulate a terminal.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}
