//go:build !linux

package storage

import (
	"errors"
	"os"
	"testing"
)

func mountSmall(string, string) error { return errors.ErrUnsupported }

func unmount(string) {}

func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	do()
}
