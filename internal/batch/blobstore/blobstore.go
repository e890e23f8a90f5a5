// Package blobstore reads and writes whole files in a folder or a bucket.
//
//	place, err := storage.Open(ctx, "s3://pictures/out?region=eu-central-1")
//	...
//	f, err := place.Create(ctx, "shards/000000.json")
//	...
//	defer f.Abort() // does nothing after Commit
//	...
//	err = f.Commit()
//
// # Names
//
// Files have names like "a/b.jpg": relative, with slashes, without "." and "..". Any other
// name is an error, never a way out of the place. A folder takes what its file system takes,
// mostly 255 bytes between slashes.
//
// # Whole or not at all
//
// A file is seen under its name after Commit, complete, and never before. In a folder it is
// written beside that name, synced, renamed, and the folder is synced, so that it outlives a
// crash of the machine, too. What a killed program leaves there has a name that [isTemporary]
// knows and List leaves out; Sweep removes it. A bucket keeps nothing of a file that was not
// committed, but S3 keeps the parts of a large one until a rule of the bucket's removes them.
//
// # Errors
//
// Errors are *[Error], which says what would be right where that is known, or
// *[UnavailableError] if the place itself is gone. They wrap what they come from: fs.ErrNotExist
// for a file that is not there, fs.ErrPermission, syscall.ENOSPC, the context's error.
package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"
	"time"
)

// Store is a place of whole files. All methods but Close may be called at once from
// several goroutines.
type Store interface {
	// Open opens a file and tells its size in bytes.
	Open(ctx context.Context, name string) (io.ReadCloser, int64, error)
	// OpenRange opens length bytes of a file from an offset on, or as many as there are.
	OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Create begins a file, which replaces one of that name when it is committed. A
	// folder that is missing is made.
	Create(ctx context.Context, name string) (File, error)
	// CreateNew begins a file that replaces none: if one of that name is there, or comes
	// meanwhile, Commit fails with an error that wraps fs.ErrExist. Of several that write
	// one at once the first to commit has it.
	CreateNew(ctx context.Context, name string) (File, error)
	// List is the files whose names begin with a prefix, at any depth, in the order of
	// their names' bytes. An error is the last that comes. A place where nothing was
	// written yet has none.
	List(ctx context.Context, prefix string) iter.Seq2[Entry, error]
	// Remove removes a file.
	Remove(ctx context.Context, name string) error
	// Sweep removes what killed programs left behind, if it was last written to longer
	// ago than that: others may be writing now.
	Sweep(ctx context.Context, age time.Duration) error
	// Alive tells whether the place itself is there: the same folder as before, a bucket
	// that answers.
	Check(ctx context.Context) error
	// String is the place, as it was named.
	String() string
	// Close lets go of the place. Files that are open stay so.
	Close() error
}

// Entry is a file in a listing.
type Entry struct {
	Name string
	Size int64 // in bytes
}

// File is written whole or not at all. It is for one goroutine.
type File interface {
	io.Writer
	// Commit makes the file what its name stands for. If it fails, or the context of
	// Create has ended, the file is given up.
	Commit() error
	// Abort gives the file up. It does nothing after Commit.
	Abort()
}

// An Error says what failed with which file.
type Error struct {
	Location string // as it was named
	Name     string // of the file; empty if it is the place itself
	Err      error
}

func (e *Error) Error() string {
	s := "storage: " + e.Location
	if e.Name != "" {
		s += ": " + e.Name
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// A VanishedError says that a place that was there is gone, so that all of its files are:
// a disk was unmounted, a folder removed or put in another's place, a bucket does not
// answer.
type UnavailableError struct {
	Location string
	Err      error // what tells so
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s is no longer available: %v", e.Location, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

const schemes = "a folder, or a URL with file:, s3://, gs://, azblob:// or mem://"

// Open opens a place: the path of a folder, or a URL.
//
//   - file:///data/out is the folder /data/out.
//   - s3://BUCKET/PREFIX, gs://BUCKET/PREFIX and azblob://CONTAINER/PREFIX are the objects
//     below a prefix of a bucket, in programs that import package cloud. Credentials are
//     found as the services' own tools find them; what may follow a ? is told by
//     gocloud.dev/blob's packages, as in ?region=eu-central-1, or
//     ?endpoint=http://localhost:9000&use_path_style=true for a server that speaks S3.
//   - mem://NAME is memory, the same for all who name it so in this process.
//
// A folder need not be there yet; a bucket has to be, and is asked whether it answers.
func Open(ctx context.Context, location string) (Store, error) {
	scheme, rest, ok := cutScheme(location)
	if !ok {
		return openDir(location, location)
	}
	wrap := func(err error) error { return &Error{Location: location, Err: err} }
	u, err := url.Parse(location)
	if err != nil {
		return nil, wrap(fmt.Errorf("no URL: %w", errors.Unwrap(err)))
	}
	switch scheme {
	case "file":
		path, err := filePath(u)
		if err != nil {
			return nil, wrap(err)
		}
		return openDir(u.String(), path)
	case "s3", "gs", "azblob", "mem":
		if !strings.HasPrefix(rest, "//") || u.Host == "" {
			return nil, wrap(fmt.Errorf("want %s://NAME, with a bucket's name", scheme))
		}
		return openBucket(ctx, u)
	}
	return nil, wrap(fmt.Errorf("%s: is not known: want %s", scheme, schemes))
}

// IsBucket tells whether Open would take a place for a bucket, not a folder.
func IsBucket(location string) bool {
	scheme, _, ok := cutScheme(location)
	return ok && scheme != "file"
}

// LocalPath is the path of a folder that is named by its path or by a file: URL.
func LocalPath(location string) (string, error) {
	scheme, _, ok := cutScheme(location)
	if !ok {
		return location, nil
	}
	u, err := url.Parse(location)
	if err == nil && scheme == "file" {
		var path string
		if path, err = filePath(u); err == nil {
			return path, nil
		}
	}
	if err == nil {
		err = errors.New("want a path or a file: URL")
	}
	return "", &Error{Location: location, Err: err}
}

// cutScheme takes a URL apart. A path may hold a colon, so what is no known scheme has to
// be followed by two slashes.
func cutScheme(location string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(location, ":")
	if !ok || scheme == "" || strings.ContainsFunc(scheme, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-.", r))
	}) {
		return "", location, false
	}
	scheme = strings.ToLower(scheme)
	switch scheme {
	case "file", "s3", "gs", "azblob", "mem":
		return scheme, rest, true
	}
	return scheme, rest, strings.HasPrefix(rest, "//")
}

// filePath is the path in a file: URL.
func filePath(u *url.URL) (string, error) {
	if u.Host != "" && u.Host != "localhost" {
		return "", fmt.Errorf("a folder on the host %q: want file:///PATH, with three slashes", u.Host)
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", errors.New("want no ? and no # in a file: URL: they are written %3F and %23")
	}
	path := u.Path
	if u.Opaque != "" {
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return "", err
		}
	}
	if path == "" {
		return "", errors.New("want a path")
	}
	return path, nil
}

// ErrName is wrapped by the error for what is no name of a file.
var ErrName = errors.New("no name of a file: want a path below the place, with slashes, and neither . nor .. in it")

// checkName refuses what is not a name that a file may have in any place.
func checkName(name string) error {
	if strings.ContainsRune(name, 0) {
		return ErrName
	}
	for elem := range strings.SplitSeq(name, "/") {
		if elem == "" || elem == "." || elem == ".." {
			return ErrName
		}
	}
	return nil
}
