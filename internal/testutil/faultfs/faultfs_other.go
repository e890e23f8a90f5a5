//go:build !linux

package faultfs

import (
	"errors"
	"os"
	"testing"
)

func mount(string, string) error { return errors.ErrUnsupported }

func remount(string, string) error { return errors.ErrUnsupported }

func unmount(string) {}

// AsNobody does something without root's rights to files; elsewhere than on Linux the test is
// skipped if root runs it.
func AsNobody(t testing.TB, do func()) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	do()
}
