//go:build unix

package source

import (
	"io/fs"
	"syscall"
)

// deviceID is the number of the disk that a file is on.
func deviceID(info fs.FileInfo) (uint64, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(stat.Dev), true
}
