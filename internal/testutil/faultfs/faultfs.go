// Package faultfs exposes tests to file system failures: a full disk, a disk that is removed, and
// missing permissions.
package faultfs

import "testing"

// Tmpfs is a small file system in memory.
type Tmpfs struct {
	t       testing.TB
	dir     string
	mounted bool
}

// MountTmpfs mounts a file system of the given size, such as 256k, on dir until the test ends.
// Mounting requires Linux and root: elsewhere the test is skipped.
func MountTmpfs(t testing.TB, dir, size string) *Tmpfs {
	t.Helper()
	if err := mount(dir, size); err != nil {
		t.Skip("cannot mount a tmpfs: ", err)
	}
	m := &Tmpfs{t, dir, true}
	t.Cleanup(m.Unmount)
	return m
}

// Resize changes the size of the file system.
func (m *Tmpfs) Resize(size string) {
	m.t.Helper()
	if err := remount(m.dir, size); err != nil {
		m.t.Fatal(err)
	}
}

// Unmount detaches the file system from its folder, even if files on it are open. The previous
// contents of the folder are visible again. Further calls do nothing.
func (m *Tmpfs) Unmount() {
	if m.mounted {
		m.mounted = false
		unmount(m.dir)
	}
}
