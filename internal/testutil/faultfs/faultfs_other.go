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

// AsNobody calls f with the file permissions of an unprivileged user. If root runs the test on a
// system other than Linux, the test is skipped.
func AsNobody(t testing.TB, f func()) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("root bypasses file permissions")
	}
	f()
}
