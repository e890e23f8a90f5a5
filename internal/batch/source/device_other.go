//go:build !unix

package source

import "io/fs"

func device(fs.FileInfo) (uint64, bool) { return 0, false }
