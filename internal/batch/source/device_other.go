//go:build !unix

package source

import "io/fs"

// deviceID reports false: only Unix numbers devices.
func deviceID(fs.FileInfo) (uint64, bool) { return 0, false }
