package storage

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

func mountSmall(dir, data string) error { return syscall.Mount("tmpfs", dir, "tmpfs", 0, data) }

func unmount(dir string) { syscall.Unmount(dir, syscall.MNT_DETACH) }

// asNobody does something without root's rights: to files a thread is who its fsuid tells.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		if os.Getuid() == 0 {
			syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		}
		do()
	}()
	<-done
}
