package batch

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/batch/source"
)

// ImageFiles defines a file for each image. The shards are then lists of these files, see
// [fileEntry].
type ImageFiles[T any] struct {
	// Name returns the path of an image's file below the folder Task.Name. A leading slash and ".."
	// elements are removed.
	Name func(img source.Image) string
	// Encode returns the content of an image's file; nil if the item has no file. It is called
	// concurrently. An error is a failure of this image; for the item of an image that failed, it
	// ends the run.
	Encode func(item T) ([]byte, error)
}

const (
	// listExtension is that of the shards that list the images' files.
	listExtension = ".jsonl"
	// maxNameBytes and maxPathBytes are the longest path element of common file systems and the
	// longest key of common buckets.
	maxNameBytes = 255
	maxPathBytes = 1024
	// storeBytes bounds the contents that wait to be stored, and maxStores their number: storing
	// takes long in a bucket, and synchronizing many files at the same time is faster.
	storeBytes = 64 << 20
	maxStores  = 32
)

// fileEntry is a line of a shard that lists the images' files.
type fileEntry struct {
	// File is the image, and ID its id in the data set.
	File string `json:"file"`
	ID   string `json:"id,omitempty"`
	// Output is the path in the destination; empty if the image has no file.
	Output string `json:"output,omitempty"`
	Raw    []byte `json:"raw,omitempty"` // Output, if it is not valid UTF-8
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// name returns the path in the destination.
func (e *fileEntry) name() string {
	if len(e.Raw) > 0 {
		return string(e.Raw)
	}
	return e.Output
}

// path returns the path of an image's file in the destination of a task.
func (f *ImageFiles[T]) path(task string, img source.Image) string {
	return task + path.Clean("/"+f.Name(img))
}

// checkImageFile returns an error unless a file can be stored.
func checkImageFile(image, name string, bucket bool) error {
	want := ""
	switch {
	case len(name) > maxPathBytes:
		want = fmt.Sprintf("at most %d bytes", maxPathBytes)
	case strings.HasSuffix(name, "/"): // nothing was left of the image's name
		want = "an image with a name"
	case strings.ContainsRune(name, 0):
		want = "a name without NUL"
	case bucket && !utf8.ValidString(name):
		want = "UTF-8 in a bucket"
	}
	for elem := range strings.SplitSeq(name, "/") {
		if len(elem) > maxNameBytes {
			want = fmt.Sprintf("at most %d bytes in each part", maxNameBytes)
		}
	}
	if want != "" {
		return fmt.Errorf("batch: the file of image %.100q would be named %.300q: want %s", image, name, want)
	}
	return nil
}

// checkNames returns a function that is called for each image in turn. It returns an error if the
// output cannot distinguish an image from an earlier one, or cannot name its file.
func (t *Task[T]) checkNames(bucket bool) func(img source.Image) error {
	u := uniqueNames{names: map[string]string{}}
	switch {
	case t.Files != nil:
		u.folders = map[string]string{}
		return func(img source.Image) error {
			name := t.Files.path(t.Name, img)
			if err := checkImageFile(img.File, name, bucket); err != nil {
				return err
			}
			return u.add(name, img.File)
		}
	case t.Key != nil:
		return func(img source.Image) error {
			key, err := t.Key(img)
			if err != nil {
				return err
			}
			return u.add(key, img.File)
		}
	}
	// File names as they are, except for bytes that are not UTF-8, which no format can represent.
	return func(img source.Image) error {
		name := string([]rune(img.File))
		if !strings.ContainsRune(name, utf8.RuneError) {
			return nil
		}
		return u.add(name, img.File)
	}
}

// uniqueNames detects images that the output cannot distinguish.
type uniqueNames struct {
	names   map[string]string // file of the image by name
	folders map[string]string // file of one image by folder of names; nil if names are no paths
}

// add adds the name of an image. The error is a *[DuplicateKeyError].
func (u *uniqueNames) add(name, image string) error {
	if other, ok := u.names[name]; ok {
		return &DuplicateKeyError{Key: name, Files: [2]string{other, image}}
	}
	u.names[name] = image
	if u.folders == nil {
		return nil
	}
	if other, ok := u.folders[name]; ok {
		return &DuplicateKeyError{Key: name, Files: [2]string{other, image}}
	}
	for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
		if other, ok := u.names[folder]; ok {
			return &DuplicateKeyError{Key: folder, Files: [2]string{other, image}}
		}
		if _, ok := u.folders[folder]; ok {
			break // and those above
		}
		u.folders[folder] = image
	}
	return nil
}

// storeFile stores the file of an image.
func (r *run[T]) storeFile(ctx context.Context, p *pending[T]) error {
	name := r.task.Files.path(r.plan.Task, p.image)
	p.entry = fileEntry{File: p.image.File, ID: p.image.ID}
	if p.content == nil {
		// An earlier run may have written one, before the image failed.
		if err := r.Store.Remove(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storageError(ctx, r.Store, err)
		}
		return nil
	}
	f, err := r.Store.Create(ctx, name)
	if err != nil {
		return storageError(ctx, r.Store, err)
	}
	defer f.Abort() // no effect after Commit
	if _, err := f.Write(p.content); err != nil {
		return storageError(ctx, r.Store, err)
	}
	if err := f.Commit(); err != nil {
		return storageError(ctx, r.Store, err)
	}
	sum := sha256.Sum256(p.content)
	p.entry.Output, p.entry.Bytes, p.entry.SHA256 = name, int64(len(p.content)), hex.EncodeToString(sum[:])
	if !utf8.ValidString(name) {
		p.entry.Raw = []byte(name)
	}
	p.content = nil
	return nil
}

// storeWeight returns the share of storeBytes that a content takes.
func storeWeight(content []byte) int64 {
	return min(max(int64(len(content)), storeBytes/maxStores), storeBytes)
}

// imageFiles yields the files that a shard lists. A list that does not match its record is an error,
// a *[DamagedError] or a *[StorageError].
func imageFiles(ctx context.Context, store blobstore.Store, plan *Plan, record *Record) iter.Seq2[*fileEntry, error] {
	damaged := func(format string, args ...any) error {
		return &DamagedError{store.String(), record.File, fmt.Errorf(format, args...)}
	}
	return func(yield func(*fileEntry, error) bool) {
		r, _, err := store.Open(ctx, record.File)
		if err != nil {
			yield(nil, storageError(ctx, store, err))
			return
		}
		defer r.Close()
		images, files := 0, 0
		in := json.NewDecoder(bufio.NewReader(r))
		for {
			e := new(fileEntry)
			if err := in.Decode(e); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				yield(nil, damaged("is damaged: %w", err))
				return
			}
			images++
			if e.name() == "" {
				continue
			}
			files++
			if !strings.HasPrefix(e.name(), plan.Task+"/") {
				yield(nil, damaged("lists the file %.300q: want files in %s", e.name(), plan.Task))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if images != record.Images || files != record.Files {
			yield(nil, damaged("lists %d images and %d files: want %d and %d", images, files, record.Images, record.Files))
		}
	}
}

// checkImageFiles checks the sizes of the files that a shard lists. The error is a *[DamagedError] if
// one is missing or has another size.
func checkImageFiles(ctx context.Context, store blobstore.Store, plan *Plan, record *Record, sizes map[string]int64) error {
	for e, err := range imageFiles(ctx, store, plan, record) {
		if err != nil {
			return err
		}
		if err := checkSize(store, e.name(), e.Bytes, sizes); err != nil {
			return err
		}
	}
	return nil
}

// copyImageFiles copies the files that a shard lists.
func copyImageFiles(ctx context.Context, store, from blobstore.Store, plan *Plan, record *Record) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxStores)
	for e, err := range imageFiles(ctx, from, plan, record) {
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		group.Go(func() error { return copyFile(ctx, store, from, e.name()) })
	}
	return group.Wait()
}
