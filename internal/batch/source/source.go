// Package source has the pictures of a folder, a list, a data set, a tar archive or a bucket:
// their names in an order that stays, streamed, and their bytes.
//
//	pictures, err := source.Open(ctx, "/data/holidays", source.Options{})
//	...
//	for p, err := range pictures.Pictures(ctx) {
//		...
//		data, err := pictures.Read(ctx, p, 64<<20)
//
// # Places
//
//   - A folder: the files in it and in the folders below, in the order of their paths' bytes.
//     Names that begin with a dot are left out. Symbolic links are followed as far as they
//     lead to somewhere in the folder: one to a picture elsewhere is listed and cannot be
//     read, one to a folder elsewhere, to one that it lies in, or that lies in a folder which a
//     link led to, is left out. A folder that cannot be read is an error: exclude it, or let it
//     be read.
//   - A list, .txt, .lst or .list: a path a line, in the list's order; relative ones from the
//     list's folder, and any path is allowed. If there is a zero byte in the list the paths end
//     with such instead, as find -print0 writes them. Empty lines are passed over, a carriage
//     return at a line's end and a byte order mark are cut off; nothing else has a meaning, a
//     line that begins with # is a path. A path that comes twice is an error.
//   - COCO's instances, .json, or a folder with instances.json or annotations/instances*.json:
//     the pictures in the file's order, with its ids; see [dataset.Open].
//   - PASCAL VOC: a folder with Annotations/*.xml, in the order of their names; or one of its
//     sets, ImageSets/Main/val.txt: a picture a line, whose first word is its id and names a
//     file of JPEGImages.
//   - A tar archive, .tar: its regular files in its order, without those that are hidden as in
//     a folder. It cannot be compressed, as pictures are read from any place in it. A name that
//     leads out of a folder, or comes twice, is an error; links are passed over.
//   - A bucket, a URL as [blobstore.Open] has them: the objects below its prefix, in the bucket's
//     order, which is that of their names' bytes, without those that are hidden as in a folder.
//
// Everything that is named as a picture is listed, and Read tells why it cannot be read: a
// pipe, say, which is never opened.
//
// # Costs
//
// Memory is that of the names in the largest folder, of 16 bytes a path of a list or an archive,
// and of all names in a data set; listing asks a file system for nothing but names.
package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/imageio"
)

// Image names a picture of a source. It can be kept and read again when the source was
// opened anew.
type Image struct {
	// File is its path in the source, with slashes; no other picture has it. A list may
	// name paths that are absolute, or begin with "..".
	File string
	// ID is the data set's id of it; empty if there is none.
	ID string
	// Offset and Size are those of its bytes in a tar archive, else 0.
	Offset, Size int64
}

// Options says which pictures are meant, by patterns over File as in "2024/**/*.jpg": * and ?
// stand for what has no slash, ** for any folders, [a-z] and {jpg,png} for one of these. A
// pattern without a slash is of the name alone. Letters' cases differ.
type Options struct {
	// Include are patterns of which a picture has to match one. Without any, pictures of a
	// folder, an archive or a bucket have to have an extension of [Extensions], and all that a
	// list or a data set names are meant.
	Include []string
	// Exclude are patterns that neither a picture may match nor a folder that it lies in.
	// Such folders are not read.
	Exclude []string
}

// Extensions are those of the pictures that package imageio reads, in lower case.
func Extensions() []string {
	return []string{".bmp", ".dib", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
}

// Source is an open place with pictures. All methods but Close may be called at once from
// several goroutines.
type Source struct {
	location, kind string
	options        Options
	anyExtension   bool // pictures need no extension
	backend        backend
}

// backend is what sources differ in.
type backend interface {
	list(ctx context.Context, excluded func(string) bool) iter.Seq2[Image, error]
	read(ctx context.Context, p Image, limit int64) ([]byte, error)
	check(ctx context.Context) error // why the source is gone; nil if it is not
	retryable(err error) bool        // may it be read if it is tried again?
	folder() string                  // what the pictures lie in, or nothing
	close() error
}

// An Error says what is wrong with a source, or with a picture or folder in it.
type Error struct {
	Location string // as it was named
	File     string // of what is in it, or as in "line 3"; empty if it is the source itself
	Err      error
}

func (e *Error) Error() string {
	s := "source: " + e.Location
	if e.File != "" {
		s += ": " + e.File
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// A VanishedError says that the source itself is gone, so that none of its pictures can be
// read: a disk was unmounted, a folder replaced, a bucket does not answer.
type UnavailableError = blobstore.UnavailableError

var errKind = errors.New("want a folder, a list of paths (.txt, .lst, .list), COCO's instances (.json), a tar archive (.tar), " +
	"or a bucket's URL (s3://, gs://, azblob://)")

// Open opens the source at a path or URL. Errors are *[Error], or those of package evaluate for
// a data set and of package storage for a bucket.
func Open(ctx context.Context, location string, o Options) (*Source, error) {
	for _, pattern := range slices.Concat(o.Include, o.Exclude) {
		if pattern == "" || !doublestar.ValidatePattern(pattern) {
			return nil, &Error{Location: location, Err: fmt.Errorf("pattern %q: want one as in **/*.jpg, {a,b}/** or [0-9]*.png", pattern)}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Source{location: location, options: Options{slices.Clone(o.Include), slices.Clone(o.Exclude)}}
	var err error
	if blobstore.IsBucket(location) {
		err = s.openBucket(ctx)
	} else {
		err = s.open()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Source) openBucket(ctx context.Context) error {
	u, err := url.Parse(s.location)
	if err == nil && isSourceExtension(path.Ext(u.Path)) {
		return s.wrapError("", errors.New("want a prefix of a bucket: a list, a data set or an archive has to be copied to a folder"))
	}
	bucket, err := blobstore.Open(ctx, s.location)
	if err != nil {
		return err
	}
	s.kind, s.backend, s.location = "bucket", &bucketImages{bucket}, bucket.String()
	return nil
}

// isSourceExtension tells whether an extension is of a file that is a source.
func isSourceExtension(ext string) bool {
	switch strings.ToLower(ext) {
	case ".txt", ".lst", ".list", ".json", ".tar":
		return true
	}
	return isCompressed(ext)
}

func isCompressed(ext string) bool {
	switch strings.ToLower(ext) {
	case ".tgz", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".zip", ".7z", ".rar":
		return true
	}
	return false
}

func (s *Source) open() error {
	name, err := blobstore.LocalPath(s.location)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return s.wrapError("", err)
	}
	s.location = filepath.Clean(name)
	ext := strings.ToLower(filepath.Ext(name))
	switch {
	case info.IsDir():
		if s.kind, err = detectDataset(name); err != nil {
			return s.wrapError("", err)
		}
		if s.kind != "" {
			return s.openDataset(name)
		}
		s.kind = "folder"
		s.backend, err = openFolder(name)
	case !info.Mode().IsRegular():
		err = errKind
	case ext == ".json":
		s.kind = "coco"
		return s.openDataset(name)
	case ext == ".txt", ext == ".lst", ext == ".list":
		return s.openList(name)
	case ext == ".tar":
		s.kind = "tar"
		s.backend, err = openTar(name)
	case isCompressed(ext):
		err = errCompressed
	default:
		err = errKind
	}
	return s.wrapError("", err)
}

// wrapError is an error of the source, or of a file in it.
func (s *Source) wrapError(file string, err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err // the path is told already
	}
	return &Error{Location: s.location, File: file, Err: err}
}

// Images is the source's pictures, listed anew each time. An error is the last that comes: an
// *[Error], a *[UnavailableError], or the context's.
func (s *Source) Images(ctx context.Context) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		// A folder is held open, so that it could be listed when another has its place.
		if unavailable := s.unavailable(ctx); unavailable != nil {
			yield(Image{}, unavailable)
			return
		}
		for p, err := range s.backend.list(ctx, s.excluded) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Image{}, s.listError(ctx, err))
				return
			}
			if s.match(p.File) && !yield(p, nil) {
				return
			}
		}
	}
}

func (s *Source) listError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if unavailable := s.unavailable(ctx); unavailable != nil {
		return unavailable
	}
	if e, ok := errors.AsType[*Error](err); ok {
		e.Location = s.location
		return e
	}
	if e, ok := errors.AsType[*blobstore.Error](err); ok {
		return s.wrapError(e.Name, e.Err)
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: exclude it, or let it be read", p.Err)
		}
		return s.wrapError(filepath.ToSlash(p.Path), err)
	}
	return s.wrapError("", err)
}

// unavailable is a *VanishedError if the source is gone, or the context's error if that ended.
func (s *Source) unavailable(ctx context.Context) error {
	err := s.backend.check(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		err = unavailable.Err
	}
	return &UnavailableError{Location: s.location, Err: err}
}

// match tells whether a picture is meant.
func (s *Source) match(file string) bool {
	if s.excluded(file) {
		return false
	}
	if len(s.options.Include) > 0 {
		return matchAny(s.options.Include, file)
	}
	return s.anyExtension || slices.Contains(Extensions(), strings.ToLower(path.Ext(file)))
}

// excluded tells whether a picture, or a folder, which has a slash behind it, is left out.
func (s *Source) excluded(name string) bool {
	if len(s.options.Exclude) == 0 {
		return false
	}
	name, isFolder := strings.CutSuffix(name, "/")
	if !isFolder && matchAny(s.options.Exclude, name) {
		return true
	}
	for folder := name; folder != "." && folder != "/" && folder != ""; folder = path.Dir(folder) {
		if (isFolder || folder != name) && matchAny(s.options.Exclude, folder) {
			return true
		}
	}
	return false
}

func matchAny(patterns []string, file string) bool {
	for _, pattern := range patterns {
		name := file
		if !strings.Contains(pattern, "/") {
			name = path.Base(file)
		}
		if doublestar.MatchUnvalidated(pattern, name) {
			return true
		}
	}
	return false
}

// hidden tells whether a name's last part begins with a dot.
func hidden(name string) bool {
	return strings.HasPrefix(path.Base(name), ".")
}

// anyHidden tells whether one of a name's parts begins with a dot.
func anyHidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
}

// retryDelays are those before what failed is tried again.
var retryDelays = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second}

// Read reads a picture of at most limit bytes; its size is checked before memory is taken for
// it. What may pass, as a network's errors, is tried again a few times, for some seconds.
//
// Errors are the context's; *[UnavailableError] if the source is gone, with which a run should stop
// rather than fail with every picture; or *[Error] of that picture alone, whose Err says what is
// wrong without naming it: an *[imageio.LimitError] if it is larger, or it wraps
// [fs.ErrNotExist], [fs.ErrPermission], [safefs.ErrNotRegular], [safefs.ErrOutside].
func (s *Source) Read(ctx context.Context, img Image, limit int64) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, err := s.backend.read(ctx, img, limit)
		if err == nil {
			return data, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, ok := errors.AsType[*imageio.LimitError](err); !ok {
			if s.backend.retryable(err) && attempt < len(retryDelays) {
				select {
				case <-ctx.Done():
				case <-time.After(retryDelays[attempt]):
				}
				continue
			}
			if unavailable := s.unavailable(ctx); unavailable != nil {
				return nil, unavailable
			}
		}
		if e, ok := errors.AsType[*blobstore.Error](err); ok {
			err = e.Err
		}
		return nil, s.wrapError(img.File, err)
	}
}

// Kind is "folder", "list", "coco", "voc", "tar" or "bucket".
func (s *Source) Kind() string { return s.kind }

// Folder is the last name of the folder that the pictures' files are below, the archive's
// without its extension, or the last of a bucket's prefix. It may be empty.
func (s *Source) Folder() string { return s.backend.folder() }

// String is the place: a bucket's URL, or the path, cleaned.
func (s *Source) String() string { return s.location }

// Close lets go of the source.
func (s *Source) Close() error { return s.backend.close() }
