package faultfs

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

func mount(dir, size string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size) }

func remount(dir, size string) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size)
}

func unmount(dir string) { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }

// AsNobody calls f with the file permissions of an unprivileged user. If root runs the test on a
// system other than Linux, the test is skipped.
func AsNobody(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, so that the thread ends with the goroutine
		if os.Getuid() == 0 {
			// The kernel checks file permissions against the fsuid of the thread.
			_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		}
		f()
	}()
	<-done
}
