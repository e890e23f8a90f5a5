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

// AsNobody does something without root's rights to files; elsewhere than on Linux the test is
// skipped if root runs it.
func AsNobody(t testing.TB, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		if os.Getuid() == 0 {
			// To files a thread is who its fsuid tells.
			_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		}
		do()
	}()
	<-done
}
