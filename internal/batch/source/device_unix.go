//go:build unix

package source

import (
	"io/fs"
	"syscall"
)

// deviceID returns the number of the device that a file is on.
func deviceID(info fs.FileInfo) (uint64, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(stat.Dev), true
}
