// Package faultfs has tests meet what befalls a program that writes and reads files: a disk
// that is full or goes away, and files that it has no right to.
package faultfs

import "testing"

// Disk is a small disk.
type Disk struct {
	t       testing.TB
	dir     string
	mounted bool
}

// Mount puts a disk of a size, as in 256k, over a folder until the test ends. Where that is not
// possible, for it takes Linux and root, the test is skipped.
func Mount(t testing.TB, dir, size string) *Disk {
	t.Helper()
	if err := mount(dir, size); err != nil {
		t.Skip("a small disk cannot be mounted here: ", err)
	}
	d := &Disk{t, dir, true}
	t.Cleanup(d.Unmount)
	return d
}

// Resize gives the disk another size.
func (d *Disk) Resize(size string) {
	d.t.Helper()
	if err := remount(d.dir, size); err != nil {
		d.t.Fatal(err)
	}
}

// Unmount takes the disk away, if that was not done, even if there are open files on it: what
// the folder had before is seen again.
func (d *Disk) Unmount() {
	if d.mounted {
		d.mounted = false
		unmount(d.dir)
	}
}
