// Package batch does one task for all pictures of a source and loses none of it: proposals
// or RoIs of a data set, written overnight, on one machine or many.
//
// The pictures are listed once and cut into shards, which are done one after the other, with
// a picture a worker. A shard is a file that appears whole, and after it its record. Whoever
// starts again, after kill -9 or on another machine, does the shards without a record. What
// is in the files depends on the pictures, the settings and the program's version alone, so
// the files are the same bytes, however often a run was broken off and on however many
// machines; only the [Summary] tells of times.
//
//	summary, err := batch.Run(ctx, job, task)
//
// A destination holds
//
//	job.json                  what was asked for, see [Plan]
//	pictures.jsonl            the pictures in their order, and pictures.index, where each shard's begin
//	proposals-000000.jsonl …  the shards; in shards/ if they are to be joined to one file
//	shards/000000.json …      their records
//	failures.jsonl            the pictures that failed, with the reasons
//	manifest.json             all records; it is there when all else is
//
// Memory is that of the pictures at work, which Job.Pixels bounds, of a window of finished
// ones that wait for one before them, and what the shard's form needs; it does not grow with
// the number of pictures, but for some 300 bytes a shard.
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
	"github.com/proposer/proposer/internal/imageio"
)

// DefaultShardSize is the number of pictures of a shard: a minute's work on a few cores.
const DefaultShardSize = 512

// MaxShardSize is the largest: a shard's list is held in memory.
const MaxShardSize = 1 << 20

// Source is where pictures come from; *source.Source is one.
type Source interface {
	// Pictures lists them, always in the same order.
	Images(ctx context.Context) iter.Seq2[source.Image, error]
	// Read is called from several goroutines. If the source as a whole is gone the error is a
	// *source.VanishedError, which ends the run; others are failures of the picture.
	Read(ctx context.Context, p source.Image, limit int64) ([]byte, error)
	String() string
}

// Writer writes a shard.
type Writer[T any] interface {
	Write(item T) error
	Close() error // ends the file
}

// Task is what is done to a picture, and how that is written.
type Task[T any] struct {
	// Name names the shards, as in proposals.
	Name string
	// Format is told in the plan.
	Format string
	// Settings are all that the files depend on beside pictures and version.
	Settings map[string]string
	// Weigh tells how many pixels' worth of memory a picture takes, before any is taken.
	Weight func(data []byte) (int64, error)
	// Do works on a picture, called from several goroutines; an error is a failure of the
	// picture, but for the context's.
	Process func(ctx context.Context, p source.Image, data []byte) (T, Stats, error)
	// Failed stands for a picture that failed.
	Failed func(p source.Image, reason string) T
	// Key is what the form knows a picture by, if no two may share that: they are refused when
	// the pictures are listed, not when all is done. It may be nil.
	Key func(p source.Image) string
	// Limit is the largest file, in bytes.
	Limit int64
	Output[T]
}

// Output is how the items of a task are written, and perhaps joined.
type Output[T any] struct {
	// Extension is the shards', with a dot.
	Extension string
	Writer    func(w io.Writer) Writer[T]
	// Whole is nil if the shards are what is wanted.
	Merged *Merged[T]
}

// Merged is one file of all items.
type Merged[T any] struct {
	Extension string
	Writer    func(w io.Writer) Writer[T]
	// Read reads a shard.
	Read func(r io.Reader) iter.Seq2[T, error]
}

// Stats is what is counted of a picture.
type Stats struct {
	Boxes          int
	Pixels         int64
	Decode, Search time.Duration
}

// Job is a task's surroundings.
type Job struct {
	Source Source
	Store  blobstore.Store
	// Version is that of whatever makes the files: other versions may make others.
	Version string
	// ShardSize is the number of pictures of a shard; 0 is DefaultShardSize.
	ShardSize int
	// Part of Parts is this run's share: the shards whose number is Part modulo Parts. Parts 0
	// and 1 are all, and then the run finishes the destination; else [Finalize] does.
	Index, Count int
	// Workers is the number of pictures at work at once; 0 is GOMAXPROCS.
	Workers int
	// Pixels bounds the pixels at work at once, as the task weighs them; a picture of more is
	// worked on alone. 0 is imageio.DefaultLimits'.
	Pixels int64
	// Retry does shards anew in which pictures failed.
	Retry bool
	// Observe is called for each picture, from several goroutines; nil is nobody.
	Observer Observer
}

// Observer sees how a run goes on.
type Observer interface {
	// Begin tells of the pictures and shards that this run is for, and those of them that are
	// done already.
	Begin(pictures, done int64, shards, shardsDone int)
	// Picture tells of one that is done, and why it failed if it did.
	ImageDone(p source.Image, o Stats, failure string)
	ShardDone()
}

// A PartError is a share of the work that does not exist.
type ShardRangeError struct{ Index, Count int }

func (e *ShardRangeError) Error() string {
	return fmt.Sprintf("batch: part %d of %d: want parts 0 to %d of 1 or more", e.Index, e.Count, max(e.Count-1, 0))
}

// A DestError is a failure of the destination. The run may be started again.
type StorageError struct {
	Location string
	Err      error
}

func (e *StorageError) Error() string {
	if _, ok := errors.AsType[*blobstore.Error](e.Err); ok {
		return e.Err.Error() // it names the place
	}
	return fmt.Sprintf("%s: %v", e.Location, e.Err)
}

func (e *StorageError) Unwrap() error { return e.Err }

// A ChangedError refuses to mix what is made by different settings.
type ConfigMismatchError struct {
	Location string
	Changes  []Change
}

// Change is a setting that a destination was begun with, and what is asked for now.
type Change struct{ Name, Was, Is string }

func (e *ConfigMismatchError) Error() string {
	var all []string
	for _, c := range e.Changes {
		all = append(all, fmt.Sprintf("%s was %q and is %q", c.Name, c.Was, c.Is))
	}
	return fmt.Sprintf("%s was begun otherwise: %s; want the same, or another destination", e.Location, strings.Join(all, ", "))
}

// An UnfinishedError tells that shards are missing.
type UnfinishedError struct {
	Location string
	Shards   int
	Missing  []int
}

func (e *UnfinishedError) Error() string {
	const some = 10
	list := fmt.Sprint(e.Missing[:min(some, len(e.Missing))])
	if len(e.Missing) > some {
		list = list[:len(list)-1] + " …]"
	}
	return fmt.Sprintf("%s: %d of %d shards are not done, %s: want the same batch command until all are", e.Location, len(e.Missing), e.Shards, list)
}

// ErrNoImages is a source without any.
var ErrNoImages = errors.New("no pictures")

// setDefaults puts defaults in their places.
func (j *Job) setDefaults() error {
	j.ShardSize = cmp.Or(j.ShardSize, DefaultShardSize)
	j.Count = cmp.Or(j.Count, 1)
	j.Workers = cmp.Or(j.Workers, runtime.GOMAXPROCS(0))
	j.Pixels = cmp.Or(j.Pixels, imageio.DefaultLimits().MaxPixels)
	if j.Observer == nil {
		j.Observer = nopObserver{}
	}
	switch {
	case j.Count < 1 || j.Index < 0 || j.Index >= j.Count:
		return &ShardRangeError{j.Index, j.Count}
	case j.ShardSize < 1 || j.ShardSize > MaxShardSize:
		return fmt.Errorf("batch: %d pictures a shard: want 1 to %d", j.ShardSize, MaxShardSize)
	case j.Workers < 1:
		return fmt.Errorf("batch: %d workers: want 1 or more", j.Workers)
	case j.Pixels < 1:
		return fmt.Errorf("batch: %d pixels at once: want 1 or more", j.Pixels)
	}
	return nil
}

// assigned tells whether a shard is this run's.
func (j *Job) assigned(shard int) bool { return shard%j.Count == j.Index }

type nopObserver struct{}

func (nopObserver) Begin(int64, int64, int, int)          {}
func (nopObserver) ImageDone(source.Image, Stats, string) {}
func (nopObserver) ShardDone()                            {}

// storageError tells of the destination, unless the context ended.
func storageError(ctx context.Context, store blobstore.Store, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	if e, ok := errors.AsType[*StorageError](err); ok {
		return e
	}
	return &StorageError{store.String(), err}
}

// Changes lists what is different, by name.
func changes(was, is map[string]string) []Change {
	var all []Change
	for name, v := range is {
		if w, ok := was[name]; !ok || w != v {
			all = append(all, Change{name, w, v})
		}
	}
	for name, w := range was {
		if _, ok := is[name]; !ok {
			all = append(all, Change{name, w, ""})
		}
	}
	slices.SortFunc(all, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// shardCount is the number of shards.
func shardCount(images int64, size int) int {
	return int(min((images+int64(size)-1)/int64(size), math.MaxInt32))
}
