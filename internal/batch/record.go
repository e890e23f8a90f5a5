package batch

import (
	"context"
	"errors"
	"fmt"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/proposer/proposer/internal/batch/blobstore"
)

// Record describes a finished shard.
type Record struct {
	Shard  int    `json:"shard"`
	File   string `json:"file"`
	Images int    `json:"pictures"`
	Failed int    `json:"failed"`
	Boxes  int64  `json:"boxes"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Files is the number of images' files that File lists.
	Files int `json:"files,omitempty"`
	// Failures is empty in the manifest: failures.jsonl lists them.
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is an image that failed, and the reason.
type Failure struct {
	File  string `json:"file"`
	ID    string `json:"id,omitempty"`
	Error string `json:"error"`
}

const recordFolder = "shards/"

func recordName(shard int) string { return fmt.Sprintf("%s%06d.json", recordFolder, shard) }

// shardName returns the file name of a shard.
func (p *Plan) shardName(shard int, extension string, merged bool) string {
	if merged {
		return fmt.Sprintf("%s%06d%s", recordFolder, shard, extension)
	}
	return fmt.Sprintf("%s-%06d%s", p.Task, shard, extension)
}

// DamagedError reports a shard that does not match its record: a file that was truncated or
// removed. The next run repeats that shard.
type DamagedError struct {
	Location, File string
	Err            error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: %s: %v: run the same batch command to repeat this shard", e.Location, e.File, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// readRecord reads the record of a shard and checks the sizes of the shard's file, and of those that
// it lists.
func readRecord(
	ctx context.Context, store blobstore.Store, plan *Plan, shard int, file string, sizes map[string]int64,
) (*Record, error) {
	r := new(Record)
	name := recordName(shard)
	damaged := func(file string, err error) (*Record, error) {
		return nil, &DamagedError{store.String(), file, err}
	}
	if err := readJSON(ctx, store, name, r); err != nil {
		if _, ok := errors.AsType[*documentError](err); ok {
			return damaged(name, err)
		}
		return nil, storageError(ctx, store, err)
	}
	if r.Shard != shard || r.File != file || r.Failed != len(r.Failures) {
		return damaged(name, errors.New("its content is inconsistent"))
	}
	if err := checkSize(store, file, r.Bytes, sizes); err != nil {
		return nil, err
	}
	if r.Files > 0 {
		if err := checkImageFiles(ctx, store, plan, r, sizes); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// checkSize returns a *[DamagedError] unless a file has the given number of bytes.
func checkSize(store blobstore.Store, file string, bytes int64, sizes map[string]int64) error {
	size, ok := sizes[path.Clean(file)]
	switch {
	case !ok:
		return &DamagedError{store.String(), file, errors.New("is missing")}
	case size != bytes:
		return &DamagedError{store.String(), file, fmt.Errorf("has %d bytes: want %d", size, bytes)}
	}
	return nil
}

// recordReaders is the number of records that are read concurrently, because buckets have a high
// latency.
const recordReaders = 16

// readRecords reads the records of shards as readRecord does, and returns a record or an error for
// each. The last result is the context's error.
func readRecords(
	ctx context.Context, store blobstore.Store, plan *Plan, shards []int, file func(shard int) string, sizes map[string]int64,
) ([]*Record, []error, error) {
	records := make([]*Record, len(shards))
	errs := make([]error, len(shards))
	var group errgroup.Group
	group.SetLimit(recordReaders)
	for i, shard := range shards {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			records[i], errs[i] = readRecord(ctx, store, plan, shard, file(shard), sizes)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return records, errs, ctx.Err()
}

// fileSizes returns the sizes of all files, by name.
func fileSizes(ctx context.Context, store blobstore.Store) (map[string]int64, error) {
	sizes := map[string]int64{}
	for e, err := range store.List(ctx, "") {
		if err != nil {
			return nil, storageError(ctx, store, err)
		}
		sizes[path.Clean(e.Name)] = e.Size
	}
	return sizes, nil
}
