package batch

import (
	"context"
	"errors"
	"fmt"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/proposer/proposer/internal/batch/blobstore"
)

// Record tells of a shard that is done.
type Record struct {
	Shard  int    `json:"shard"`
	File   string `json:"file"`
	Images int    `json:"pictures"`
	Failed int    `json:"failed"`
	Boxes  int64  `json:"boxes"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Failures are left out of the manifest: failures.jsonl has them.
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is a picture that failed.
type Failure struct {
	File  string `json:"file"`
	ID    string `json:"id,omitempty"`
	Error string `json:"error"`
}

const recordFolder = "shards/"

func recordName(shard int) string { return fmt.Sprintf("%s%06d.json", recordFolder, shard) }

// shardName is the file of a shard.
func (p *Plan) shardName(shard int, extension string, merged bool) string {
	if merged {
		return fmt.Sprintf("%s%06d%s", recordFolder, shard, extension)
	}
	return fmt.Sprintf("%s-%06d%s", p.Task, shard, extension)
}

// A DamagedError tells of a shard that is not as its record says: a file that was cut or
// removed. The next run does it anew.
type DamagedError struct {
	Location, File string
	Err            error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: %s: %v; the same batch command does that shard anew", e.Location, e.File, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// readRecord reads the record of a shard whose file is there, as long as it says.
func readRecord(ctx context.Context, store blobstore.Store, shard int, file string, sizes map[string]int64) (*Record, error) {
	r := new(Record)
	name := recordName(shard)
	if err := readJSON(ctx, store, name, r); err != nil {
		if _, ok := errors.AsType[*documentError](err); ok {
			return nil, &DamagedError{store.String(), name, err}
		}
		return nil, storageError(ctx, store, err)
	}
	if r.Shard != shard || r.File != file || r.Failed != len(r.Failures) {
		return nil, &DamagedError{store.String(), name, errors.New("is not what was written")}
	}
	if size, ok := sizes[file]; !ok {
		return nil, &DamagedError{store.String(), file, errors.New("is not there")}
	} else if size != r.Bytes {
		return nil, &DamagedError{store.String(), file, fmt.Errorf("has %d bytes: want %d", size, r.Bytes)}
	}
	return r, nil
}

// recordReaders is how many records are read at once: a bucket takes its time for each.
const recordReaders = 16

// readRecords reads the records of shards, as readRecord does, or tells why they cannot be.
// The error is the context's.
func readRecords(ctx context.Context, store blobstore.Store, shards []int, file func(shard int) string, sizes map[string]int64) ([]*Record, []error, error) {
	records, errs := make([]*Record, len(shards)), make([]error, len(shards))
	var group errgroup.Group
	group.SetLimit(recordReaders)
	for i, shard := range shards {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			records[i], errs[i] = readRecord(ctx, store, shard, file(shard), sizes)
			return nil
		})
	}
	_ = group.Wait() // all errors are in errs
	return records, errs, ctx.Err()
}

// fileSizes is the files' sizes.
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
