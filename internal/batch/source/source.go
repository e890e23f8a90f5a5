// Package source lists and reads the images of a folder, a list, a data set, a tar archive or a
// bucket. The order of the images is stable, and listing streams.
//
//	src, err := source.Open(ctx, "/data/holidays", source.Options{})
//	...
//	for img, err := range src.Images(ctx) {
//		...
//		data, err := src.Read(ctx, img, 64<<20)
//
// # Locations
//
//   - A folder: the files in it and in its subfolders, ordered by the bytes of their paths. Names
//     that begin with a dot are skipped. A folder that cannot be read is an error, unless it is
//     excluded.
//   - A list, .txt, .lst or .list: one path per line, in the list's order. Relative paths are
//     relative to the list's folder; any path is allowed. If the list contains a zero byte, paths
//     are separated by zero bytes, as written by find -print0. Empty lines are skipped, and carriage
//     returns at line ends and a byte order mark are removed. Nothing else is special: a line that
//     begins with # is a path. A repeated path is an error.
//   - A data set: COCO instances, .json, a PASCAL VOC image set, ImageSets/Main/val.txt, or a folder
//     with instances.json, annotations or Annotations that [dataset.Open] accepts: its images, with
//     their ids. Annotations are not needed. A folder with annotations of PASCAL VOC beside its
//     images is read as a folder.
//   - A tar archive, .tar: its regular files in the archive's order, except hidden ones as in a
//     folder. It must not be compressed, because images are read by offset. A name that leads out of
//     the archive, or is repeated, is an error; links are skipped.
//   - A bucket, a URL as in [blobstore.Open]: the objects below its prefix, ordered by the bytes of
//     their keys, except hidden ones as in a folder.
//
// Symbolic links in a folder, or in the folder of the images of a data set, are followed if the
// target is inside that folder, or anywhere with Options.Data.FollowLinks; see [safefs.Walk] for
// links to folders. Others are left out of a folder's listing; in a data set Read returns
// [safefs.ErrOutside]. The paths in a list may lead anywhere.
//
// Every file that is named like an image is listed. If it cannot be read, Read returns the reason;
// pipes and devices are never opened.
//
// # Costs
//
// Listing needs memory for the names in the largest folder, 16 bytes per path of a list or an
// archive, or all names of a data set. It only reads names from the file system.
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

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/safefs"
)

// Image identifies an image of a source. It stays valid when the source is opened again.
type Image struct {
	// File is its slash-separated path in the source, unique within it. Paths of a list may be
	// absolute or begin with "..".
	File string
	// ID is its id in the data set; empty if there is none.
	ID string
	// TextID reports that not all ids of the data set are numbers, so that its ids are texts.
	TextID bool
	// OwnTextID reports that its own id is a text in COCO's formats: it is one in a COCO file, or not
	// all ids of a PASCAL VOC data set are decimal numbers.
	OwnTextID bool
	// Offset and Size locate its bytes in a tar archive; otherwise they are 0.
	Offset, Size int64
}

// Options selects images, and says where those of data sets are.
//
// Patterns are those of File, such as "2024/**/*.jpg": * and ? match within a path element, **
// matches any folders, [a-z] and {jpg,png} match alternatives. A pattern without a slash is matched
// against the last path element. Matching is case-sensitive.
type Options struct {
	// Include are patterns of which an image has to match one. If there are none, images of a
	// folder, an archive or a bucket need the extension of one, and all images of a list or a data
	// set are selected.
	Include []string
	// Exclude are patterns that neither an image nor a folder above it may match. Excluded
	// folders are not read.
	Exclude []string
	// Data are the options of data sets. FollowLinks also applies to folders. Open implies
	// ImagesOnly.
	Data dataset.Options
	// LeftOut is called at the end of a listing if links were left out because they lead out of the
	// folder, with their number and the first in the order of the listing. It may be nil.
	LeftOut func(links int, first string)
}

// selection tells a backend what to list.
type selection struct {
	excluded func(name string) bool
	leftOut  func(name string) // called with the names of links; those of folders end in a slash
}

// isImage reports whether file has the extension of a format that package imageio reads or that phones
// and browsers write: an image that cannot be read is to fail, not to be missed.
func isImage(file string) bool {
	ext := strings.ToLower(path.Ext(file))
	return slices.Contains(dataset.Extensions(), ext) || slices.Contains([]string{".heic", ".heif", ".hif", ".avif"}, ext)
}

// Source is an open source of images. All methods but Close are safe for concurrent use.
type Source struct {
	location, kind string
	options        Options
	anyExtension   bool // images need no extension
	report         dataset.Dataset
	backend        backend
}

// backend implements the kinds of sources.
type backend interface {
	list(ctx context.Context, sel selection) iter.Seq2[Image, error]
	read(ctx context.Context, p Image, limit int64) ([]byte, error)
	check(ctx context.Context) error // non-nil if the source is unavailable
	retryable(err error) bool        // may it be read if it is tried again?
	folder() string                  // name of the images' folder, or empty
	close() error
}

// Error reports a failure of a source, or of an image or a folder in it.
type Error struct {
	Location string // of the source
	File     string // of the image, or a position such as "line 3"; empty if the source itself failed
	Err      error
}

func (e *Error) Error() string {
	s := e.Location
	if e.File != "" {
		s += ": " + e.File
	}
	return s + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// UnavailableError reports that a source is no longer available as a whole, so that none of its
// images can be read: a disk was unmounted, a folder was replaced, a bucket does not respond.
type UnavailableError = blobstore.UnavailableError

var errKind = errors.New("want a folder, a list of paths (.txt, .lst, .list), COCO instances (.json), a tar archive (.tar), " +
	"or the URL of a bucket (s3://, gs://, azblob://)")

// NotDatasetError reports a folder of the images for a source that is no data set.
type NotDatasetError struct{ Location string }

func (e *NotDatasetError) Error() string {
	return e.Location + " is not a COCO or PASCAL VOC data set: want a folder of the images only with one"
}

// PatternError reports an invalid pattern of file names.
type PatternError struct{ Pattern string }

func (e *PatternError) Error() string {
	return fmt.Sprintf("pattern %q: want one as in **/*.jpg, {a,b}/** or [0-9]*.png", e.Pattern)
}

// Open opens the source at a path or URL. Errors are *[Error], *[NotDatasetError], or those of
// package dataset and of package blobstore.
func Open(ctx context.Context, location string, o Options) (*Source, error) {
	s, err := newSource(location, o)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if blobstore.IsBucket(location) {
		err = s.openBucket(ctx)
	} else {
		err = s.open()
	}
	if err != nil {
		return nil, err
	}
	if s.kind != "dataset" && o.Data.Images != "" {
		s.Close()
		return nil, &NotDatasetError{location}
	}
	return s, nil
}

// newSource validates options.
func newSource(location string, o Options) (*Source, error) {
	for _, pattern := range slices.Concat(o.Include, o.Exclude) {
		if pattern == "" || !doublestar.ValidatePattern(pattern) {
			return nil, &Error{Location: location, Err: &PatternError{pattern}}
		}
	}
	o.Include, o.Exclude = slices.Clone(o.Include), slices.Clone(o.Exclude)
	return &Source{location: location, options: o}, nil
}

func (s *Source) openBucket(ctx context.Context) error {
	u, err := url.Parse(s.location)
	if err == nil && isSourceExtension(path.Ext(u.Path)) {
		return s.wrapError("", errors.New("want a prefix of a bucket: copy a list, a data set or an archive to a folder first"))
	}
	bucket, err := blobstore.Open(ctx, s.location)
	if err != nil {
		return err
	}
	s.kind, s.backend, s.location = "bucket", &bucketImages{bucket}, bucket.String()
	return nil
}

// isSourceExtension reports whether files with this extension are sources rather than images.
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
	isList := ext == ".txt" || ext == ".lst" || ext == ".list"
	switch {
	case info.IsDir() && hasDataset(name), ext == ".json" && info.Mode().IsRegular(), isList && isImageSet(name):
		var data *dataset.Dataset
		o := s.options.Data
		o.ImagesOnly = true
		data, err = dataset.Open(name, o)
		if info.IsDir() && errors.Is(err, dataset.ErrNoAnnotations) {
			err = s.openFolder()
			break
		}
		if err != nil {
			return err // names the file
		}
		err = s.openDataset(data)
	case info.IsDir():
		err = s.openFolder()
	case !info.Mode().IsRegular():
		err = errKind
	case isList:
		err = s.openList(name)
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

func (s *Source) openFolder() error {
	f, err := openFiles(s.location, s.options.Data)
	s.kind, s.backend = "folder", folderImages{f}
	return err
}

// wrapError returns err as an *[Error] of the source, or of a file in it.
func (s *Source) wrapError(file string, err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err // Error names the path
	}
	if errors.Is(err, safefs.ErrOutside) {
		err = fmt.Errorf("%w: use --follow-links to read it", err)
	}
	return &Error{Location: s.location, File: file, Err: err}
}

// Images yields the images, and lists them again at each call. An error ends the iteration: an
// *[Error], an *[UnavailableError], or the context's.
func (s *Source) Images(ctx context.Context) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		// A folder stays open, and could be listed, after another has replaced it.
		if unavailable := s.unavailable(ctx); unavailable != nil {
			yield(Image{}, unavailable)
			return
		}
		leftOut, first := 0, ""
		sel := selection{s.excluded, func(name string) {
			isFolder := strings.HasSuffix(name, "/")
			if !isFolder && !s.match(name) {
				return
			}
			if leftOut++; leftOut == 1 || name < first {
				first = name
			}
		}}
		for p, err := range s.backend.list(ctx, sel) {
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
		if leftOut > 0 && s.options.LeftOut != nil {
			s.options.LeftOut(leftOut, first)
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
			err = fmt.Errorf("%w: grant read permission or use --exclude", p.Err)
		}
		return s.wrapError(filepath.ToSlash(p.Path), err)
	}
	return s.wrapError("", err)
}

// unavailable returns an *[UnavailableError] if the source is unavailable, or the context's error.
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

// match reports whether an image is selected.
func (s *Source) match(file string) bool {
	if s.excluded(file) {
		return false
	}
	if len(s.options.Include) > 0 {
		return matchAny(s.options.Include, file)
	}
	return s.anyExtension || isImage(file)
}

// excluded reports whether an image, or a folder, whose name ends in a slash, is excluded.
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

// hidden reports whether the last element of a name begins with a dot.
func hidden(name string) bool {
	return strings.HasPrefix(path.Base(name), ".")
}

// anyHidden reports whether an element of a name begins with a dot.
func anyHidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
}

// retryDelays are the pauses before another attempt to read.
var retryDelays = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second}

// Read reads an image of at most limit bytes; its size is checked before memory is allocated.
// Transient errors, such as those of a network, are retried for a few seconds.
//
// Errors are the context's; an *[UnavailableError] if the source is no longer available, which should
// end a run rather than fail every image; or an *[Error] of this image alone, whose Err does not
// repeat its name: it is an *[imageio.LimitError], or wraps [fs.ErrNotExist], [fs.ErrPermission],
// [safefs.ErrNotRegular] or [safefs.ErrOutside].
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

// ReadStart reads an image of a data set up to n bytes, for its header. Errors are those of Read.
func (s *Source) ReadStart(img Image, n int64) ([]byte, error) {
	files, ok := s.backend.(datasetImages)
	if !ok {
		return nil, s.wrapError(img.File, errors.ErrUnsupported)
	}
	data, err := files.readStart(img, n)
	return data, s.wrapError(img.File, err)
}

// Report returns what was left out of a data set, and what may be wrong with it; for any other source
// nothing. It has no images.
func (s *Source) Report() *dataset.Dataset { return &s.report }

// Kind returns "folder", "list", "dataset", "tar" or "bucket".
func (s *Source) Kind() string { return s.kind }

// Folder returns the base name of the folder of the images, the name of the archive without its
// extension, or the last element of a bucket's prefix. It may be empty.
func (s *Source) Folder() string { return s.backend.folder() }

// String returns the location: the URL of a bucket, or the cleaned path.
func (s *Source) String() string { return s.location }

// Close releases the source.
func (s *Source) Close() error { return s.backend.close() }
