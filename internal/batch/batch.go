// Package batch applies a task to all images of a source and writes the results as shards, so that
// a run can be killed at any moment and resumed, or divided among machines.
//
// The images are listed once and divided into shards, which are processed in order, one image per
// worker at a time. A shard is a file that appears only when it is complete; its record is written
// after it. A run skips all shards that have a record. The files depend only on the images, the
// settings and the program's version: they have the same bytes regardless of interruptions and of
// the number of machines. Only the [Summary] contains times.
//
//	summary, err := batch.Run(ctx, job, task)
//
// A finished destination contains
//
//	job.json                  the plan: what was asked for, see [Plan]
//	pictures.jsonl            the list of images in order; pictures.index, the offset of each shard in it
//	proposals-000000.jsonl …  the shards; in shards/ if they are merged into one file
//	shards/000000.json …      the records of the shards
//	proposals/a.npy …         the images' files, if each has one; the shards list them, in shards/
//	failures.jsonl            the images that failed, with the reasons
//	manifest.json             all records; written last
//
// Memory is bounded by the images in progress (Job.Pixels), a window of finished images that wait
// for an earlier one, and the needs of the shard's format. It does not grow with the number of
// images, except for about 300 bytes per shard, and 200 per image if each has a file.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/batch/source"
)

const (
	// DefaultShardSize is the default number of images per shard: a minute's work on a few cores.
	DefaultShardSize = 512
	// MaxShardSize is the largest number of images per shard: the list of a shard is held in memory.
	MaxShardSize = 1 << 20
	// DefaultPixels is the default of Job.Pixels.
	DefaultPixels = 50_000_000
)

// Source provides images; *source.Source implements it.
type Source interface {
	// Images lists the images, always in the same order.
	Images(ctx context.Context) iter.Seq2[source.Image, error]
	// Read is called concurrently. An error that is a *source.UnavailableError ends the run; any
	// other is a failure of this image.
	Read(ctx context.Context, img source.Image, limit int64) ([]byte, error)
	String() string
}

// Writer writes the items of one file.
type Writer[T any] interface {
	Write(item T) error
	// Close ends the file.
	Close() error
}

// Task defines what is computed for each image and how the results are written.
type Task[T any] struct {
	// Name is the prefix of the shards' file names, such as "proposals".
	Name string
	// Format is recorded in the plan.
	Format string
	// Settings are everything that the files depend on besides the images and the version.
	Settings map[string]string
	// Weight returns the memory that an image needs, in pixels, before that memory is allocated.
	Weight func(data []byte) (int64, error)
	// Process computes the item of an image. It is called concurrently. An error is a failure of
	// this image, unless the context has ended.
	Process func(ctx context.Context, img source.Image, data []byte) (T, Stats, error)
	// Failed returns the item of an image that failed.
	Failed func(img source.Image, reason string) T
	// Key returns the name by which the output identifies an image, or an error if it has none; nil if
	// it needs none. Errors and images with equal keys end the run when the images are listed, not
	// when all are processed.
	Key func(img source.Image) (string, error)
	// Limit is the largest size of an image file, in bytes.
	Limit int64
	Output[T]
}

// Output defines the files that the items of a task are written to.
type Output[T any] struct {
	// Extension is that of the shards, with its dot.
	Extension string
	Writer    func(w io.Writer) Writer[T]
	// Merged defines the single file that all shards are merged into; nil if the shards are the
	// result.
	Merged *Merged[T]
	// Files defines a file for each image; nil if there are only shards of items. The other fields
	// are not used if it is set.
	Files *ImageFiles[T]
}

// shardName returns the file name of a shard.
func (o *Output[T]) shardName(p *Plan, shard int) string {
	if o.Files != nil {
		return p.shardName(shard, listExtension, true)
	}
	return p.shardName(shard, o.Extension, o.Merged != nil)
}

// Merged defines a single file of all items.
type Merged[T any] struct {
	Extension string
	Writer    func(w io.Writer) Writer[T]
	// Read yields the items of a shard.
	Read func(r io.Reader) iter.Seq2[T, error]
}

// Stats are the counts and times of one image.
type Stats struct {
	// Warning says that the image is processed although detail may be lost; empty if none is.
	Warning        string
	Boxes          int
	Pixels         int64
	Decode, Search time.Duration
}

// Job defines where a task reads and writes, and its resources.
type Job struct {
	Source Source
	Store  blobstore.Store
	// Version is that of the program that makes the files: another version may make others.
	Version string
	// ShardSize is the number of images per shard; 0 means DefaultShardSize.
	ShardSize int
	// Index and Count divide the shards among Count runs: this one processes the shards whose
	// number is Index modulo Count. With a Count of 0 or 1 the run processes all shards and
	// finalizes the destination; otherwise [Finalize] has to be called when all runs are done.
	Index, Count int
	// Workers is the number of images processed concurrently; 0 means GOMAXPROCS.
	Workers int
	// Pixels bounds the sum of the weights of the images in progress; an image that exceeds it is
	// processed alone. 0 means DefaultPixels.
	Pixels int64
	// Retry repeats shards in which images failed.
	Retry bool
	// Observer is notified of progress; it may be nil.
	Observer Observer
}

// Observer is notified of the progress of a run.
type Observer interface {
	// Begin is called once, with the numbers of images and shards of this run, and of those that
	// earlier runs have completed.
	Begin(images, done int64, shards, shardsDone int)
	// ImageDone is called concurrently for each image; failure is empty if the image succeeded.
	ImageDone(img source.Image, s Stats, failure string)
	// ShardDone is called after each shard.
	ShardDone()
}

// ShardRangeError reports an Index and Count that are invalid together.
type ShardRangeError struct{ Index, Count int }

func (e *ShardRangeError) Error() string {
	return fmt.Sprintf("batch: shard %d/%d: want I/N with 0 ≤ I < N", e.Index, e.Count)
}

// StorageError reports a failure of the destination. The same run can be started again.
type StorageError struct {
	Location string
	Err      error
}

func (e *StorageError) Error() string {
	if _, ok := errors.AsType[*blobstore.Error](e.Err); ok {
		return e.Err.Error() // it names the location
	}
	return fmt.Sprintf("%s: %v", e.Location, e.Err)
}

func (e *StorageError) Unwrap() error { return e.Err }

// ConfigMismatchError reports a destination that was created with other settings.
type ConfigMismatchError struct {
	Location string
	Changes  []Change
}

// Change is a setting of a destination, and the value now asked for.
type Change struct{ Name, Was, Is string }

func (e *ConfigMismatchError) Error() string {
	var list []string
	for _, c := range e.Changes {
		list = append(list, fmt.Sprintf("%s was %q and is %q", c.Name, c.Was, c.Is))
	}
	return fmt.Sprintf("%s was created with different settings (%s): use the same settings or another output location",
		e.Location, strings.Join(list, ", "))
}

// UnfinishedError reports that shards are missing.
type UnfinishedError struct {
	Location string
	Shards   int
	Missing  []int
}

func (e *UnfinishedError) Error() string {
	const maxListed = 10
	list := fmt.Sprint(e.Missing[:min(maxListed, len(e.Missing))])
	if len(e.Missing) > maxListed {
		list = list[:len(list)-1] + " …]"
	}
	return fmt.Sprintf("%s: %d of %d shards are missing, %s: run the same batch command until all are complete",
		e.Location, len(e.Missing), e.Shards, list)
}

// DuplicateKeyError reports two images that the output format cannot distinguish.
type DuplicateKeyError struct {
	Key   string
	Files [2]string
}

func (e *DuplicateKeyError) Error() string {
	return fmt.Sprintf("%q and %q would both be named %q in the output: use another format, or images with distinct names",
		e.Files[0], e.Files[1], e.Key)
}

// ErrNoImages reports a source without images.
var ErrNoImages = errors.New("no images")

// setDefaults replaces zero values by defaults and validates the job.
func (j *Job) setDefaults() error {
	j.ShardSize = cmp.Or(j.ShardSize, DefaultShardSize)
	j.Count = cmp.Or(j.Count, 1)
	j.Workers = cmp.Or(j.Workers, runtime.GOMAXPROCS(0))
	j.Pixels = cmp.Or(j.Pixels, DefaultPixels)
	if j.Observer == nil {
		j.Observer = nopObserver{}
	}
	switch {
	case j.Count < 1 || j.Index < 0 || j.Index >= j.Count:
		return &ShardRangeError{j.Index, j.Count}
	case j.ShardSize < 1 || j.ShardSize > MaxShardSize:
		return fmt.Errorf("batch: %d images per shard: want 1 to %d", j.ShardSize, MaxShardSize)
	case j.Workers < 1:
		return fmt.Errorf("batch: %d workers: want 1 or more", j.Workers)
	case j.Pixels < 1:
		return fmt.Errorf("batch: %d concurrent pixels: want 1 or more", j.Pixels)
	}
	return nil
}

// assigned reports whether this run processes a shard.
func (j *Job) assigned(shard int) bool { return shard%j.Count == j.Index }

type nopObserver struct{}

func (nopObserver) Begin(int64, int64, int, int)          {}
func (nopObserver) ImageDone(source.Image, Stats, string) {}
func (nopObserver) ShardDone()                            {}

// storageError returns err as a *StorageError, unless it is nil or the context's.
func storageError(ctx context.Context, store blobstore.Store, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	if e, ok := errors.AsType[*StorageError](err); ok {
		return e
	}
	return &StorageError{store.String(), err}
}

// changes returns the differences between two sets of settings, ordered by name.
func changes(was, is map[string]string) []Change {
	var list []Change
	for name, v := range is {
		if w, ok := was[name]; !ok || w != v {
			list = append(list, Change{name, w, v})
		}
	}
	for name, w := range was {
		if _, ok := is[name]; !ok {
			list = append(list, Change{name, w, ""})
		}
	}
	slices.SortFunc(list, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// shardCount returns the number of shards of size images.
func shardCount(images int64, size int) int {
	return int(min((images+int64(size)-1)/int64(size), math.MaxInt32))
}
