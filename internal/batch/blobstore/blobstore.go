// Package blobstore reads and writes whole files in a folder or a bucket.
//
//	store, err := blobstore.Open(ctx, "s3://images/out?region=eu-central-1")
//	...
//	f, err := store.Create(ctx, "shards/000000.json")
//	...
//	defer f.Abort() // no effect after Commit
//	...
//	err = f.Commit()
//
// # Names
//
// Names of files are relative, slash-separated paths such as "a/b.jpg", without "." and "..". Any
// other name is an error; no name leads out of the store. A folder has the limits of its file
// system, usually 255 bytes per path element.
//
// # Atomicity
//
// A file becomes visible at Commit, complete. In a folder it is written under a temporary name,
// synced and renamed, and the folder is synced, so that the file survives a crash of the machine.
// A killed program may leave temporary files, which List omits and Sweep removes. In a bucket
// nothing is left, except that S3 keeps the parts of a large upload until a lifecycle rule of the
// bucket removes them.
//
// # Errors
//
// Errors are *[Error] or, if the store as a whole is no longer available, *[UnavailableError]. They
// wrap their cause, such as fs.ErrNotExist for a missing file, fs.ErrPermission, syscall.ENOSPC or
// the context's error.
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

// Store is a collection of files. All methods but Close are safe for concurrent use.
type Store interface {
	// Open opens a file and returns its size in bytes.
	Open(ctx context.Context, name string) (io.ReadCloser, int64, error)
	// OpenRange opens the part of a file that begins at offset and has length bytes, or fewer at
	// the end of the file.
	OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Create begins a file that replaces any file of that name at Commit. Missing folders are
	// created.
	Create(ctx context.Context, name string) (File, error)
	// CreateNew begins a file that does not replace another: if one exists, or appears before
	// Commit, Commit fails with an error that wraps fs.ErrExist. Of several concurrent writers the
	// first to commit succeeds.
	CreateNew(ctx context.Context, name string) (File, error)
	// List yields the files whose names begin with prefix, at any depth, ordered by the bytes of
	// their names. An error ends the iteration. A location that does not exist yet has no files.
	List(ctx context.Context, prefix string) iter.Seq2[Entry, error]
	// Remove removes a file.
	Remove(ctx context.Context, name string) error
	// Sweep removes temporary files that were last written to more than age ago. Younger ones may
	// be in use.
	Sweep(ctx context.Context, age time.Duration) error
	// Check returns an error unless the store is available: the same folder as before, or a bucket
	// that responds.
	Check(ctx context.Context) error
	// String returns the location, as it was passed to Open.
	String() string
	// Close releases the store. Open files stay usable.
	Close() error
}

// Entry is a file in a listing.
type Entry struct {
	Name string
	Size int64 // in bytes
}

// File is a file being written, which becomes visible at Commit. It is not safe for concurrent use.
type File interface {
	io.Writer
	// Commit publishes the file. If it fails, or the context of Create has ended, the file is
	// discarded.
	Commit() error
	// Abort discards the file. It has no effect after Commit.
	Abort()
}

// Error reports a failure of an operation on a file.
type Error struct {
	Location string // of the store, as it was passed to Open
	Name     string // of the file; empty if the store itself failed
	Err      error
	Invalid  bool // Location is not a valid one, whatever exists there
}

func (e *Error) Error() string {
	s := e.Location
	if e.Name != "" {
		s += ": " + e.Name
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// UnavailableError reports that a store is no longer available as a whole: a disk was unmounted, a
// folder was removed or replaced, a bucket does not respond.
type UnavailableError struct {
	Location string
	Err      error // the observation
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s is no longer available: %v", e.Location, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// supported describes the locations that Open accepts.
const supported = "a folder, or a URL with file:, s3://, gs://, azblob:// or mem://"

// Open opens the store at a location: the path of a folder, or a URL.
//
//   - file:///data/out is the folder /data/out.
//   - s3://BUCKET/PREFIX, gs://BUCKET/PREFIX and azblob://CONTAINER/PREFIX are the objects of a
//     bucket whose keys begin with a prefix, in programs that import package cloud. Credentials are
//     found as by the services' own tools. The packages of gocloud.dev/blob document the query
//     parameters, such as ?region=eu-central-1, or
//     ?endpoint=http://localhost:9000&use_path_style=true for an S3-compatible server.
//   - mem://NAME is memory, shared by all stores of that name in this process.
//
// A folder is created by the first file. A bucket has to exist; Open checks that it responds.
func Open(ctx context.Context, location string) (Store, error) {
	scheme, rest, ok := cutScheme(location)
	if !ok {
		return openDir(location, location)
	}
	wrap := func(err error) error { return &Error{Location: location, Err: err, Invalid: true} }
	u, err := url.Parse(location)
	if err != nil {
		return nil, wrap(fmt.Errorf("invalid URL: %w", errors.Unwrap(err)))
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
			return nil, wrap(fmt.Errorf("want %s://NAME, with the name of a bucket", scheme))
		}
		return openBucket(ctx, u)
	}
	return nil, wrap(fmt.Errorf("unknown scheme %s: want %s", scheme, supported))
}

// IsBucket reports whether Open would open a location as a bucket, not as a folder.
func IsBucket(location string) bool {
	scheme, _, ok := cutScheme(location)
	return ok && scheme != "file"
}

// LocalPath returns the path of a folder given as a path or as a file: URL.
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
	return "", &Error{Location: location, Err: err, Invalid: true}
}

// cutScheme splits a URL after its scheme. As a path may contain a colon, an unknown scheme has to be
// followed by two slashes.
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

// filePath returns the path of a file: URL.
func filePath(u *url.URL) (string, error) {
	if u.Host != "" && u.Host != "localhost" {
		return "", fmt.Errorf("folder on host %q: want file:///PATH, with three slashes", u.Host)
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", errors.New("unescaped ? or # in a file: URL: want %3F or %23")
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

// ErrName is wrapped by the error for an invalid name of a file.
var ErrName = errors.New("invalid name: want a relative path with slashes, without . and .. elements")

// checkName returns ErrName for a name that is invalid in every store.
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
