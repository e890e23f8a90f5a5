package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/proposer/proposer/internal/batch/blobstore"
)

const (
	manifestName = "manifest.json"
	failuresName = "failures.jsonl"
)

// Manifest describes a finished destination.
type Manifest struct {
	Plan
	// File, Bytes and SHA256 are of the single file, if the shards were merged.
	File   string `json:"file,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`

	Failed int64    `json:"failed"`
	Boxes  int64    `json:"boxes"`
	Shards []Record `json:"shards"`
}

// Finalize completes a destination whose shards are all done: it merges them if the output asks for
// it, and writes the list of failures and, last, the manifest. If shards are missing the error is
// an *[UnfinishedError]. Finalize is idempotent, and removes temporary files of killed runs.
func Finalize[T any](ctx context.Context, store blobstore.Store, output Output[T]) (*Manifest, error) {
	plan, err := ReadPlan(ctx, store)
	if err != nil {
		return nil, err
	}
	sizes, err := fileSizes(ctx, store)
	if err != nil {
		return nil, err
	}
	if m := readManifest(ctx, store, plan, sizes, output.Merged != nil); m != nil {
		return m, removeTemporary(ctx, store)
	}
	m, err := collectRecords(ctx, store, plan, sizes, func(shard int) string {
		return output.shardName(plan, shard)
	})
	if err != nil {
		return nil, err
	}
	if output.Merged != nil {
		m.File = plan.Task + output.Merged.Extension
		if err := mergeShards(ctx, store, m, output.Merged); err != nil {
			return nil, err
		}
	}
	err = writeFile(ctx, store, failuresName, func(w *fileWriter) error {
		for i := range m.Shards {
			for _, f := range m.Shards[i].Failures {
				if err := writeJSON(w, &f); err != nil {
					return err
				}
			}
			m.Shards[i].Failures = nil
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := removeTemporary(ctx, store); err != nil {
		return nil, err
	}
	return m, writeFile(ctx, store, manifestName, func(w *fileWriter) error { return writeJSON(w, m) })
}

// collectRecords returns a manifest of all records. If some are missing the error is an
// *[UnfinishedError].
func collectRecords(
	ctx context.Context, store blobstore.Store, plan *Plan, sizes map[string]int64, file func(shard int) string,
) (*Manifest, error) {
	var recorded, missing []int
	for shard := range plan.Shards() {
		if _, ok := sizes[recordName(shard)]; ok {
			recorded = append(recorded, shard)
		} else {
			missing = append(missing, shard)
		}
	}
	if len(missing) > 0 {
		return nil, &UnfinishedError{store.String(), plan.Shards(), missing}
	}
	records, errs, err := readRecords(ctx, store, plan, recorded, file, sizes)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Plan: *plan, Shards: make([]Record, 0, len(records))}
	for i, r := range records {
		if errs[i] != nil {
			return nil, errs[i]
		}
		m.Shards = append(m.Shards, *r)
		m.Failed += int64(r.Failed)
		m.Boxes += r.Boxes
	}
	return m, nil
}

// removeTemporary removes the files of killed runs. All shards are done, so no other run should be
// writing.
func removeTemporary(ctx context.Context, store blobstore.Store) error {
	return storageError(ctx, store, store.Sweep(ctx, 0))
}

// readManifest returns the manifest, or nil if there is none or a file that it lists is missing.
func readManifest(ctx context.Context, store blobstore.Store, plan *Plan, sizes map[string]int64, merged bool) *Manifest {
	m := new(Manifest)
	if err := readJSON(ctx, store, manifestName, m); err != nil || m.Hash != plan.Hash {
		return nil
	}
	exists := func(file string, bytes int64) bool {
		size, ok := sizes[file]
		return ok && size == bytes
	}
	if merged {
		if !exists(m.File, m.Bytes) {
			return nil
		}
		return m // the shards are no longer needed
	}
	var group errgroup.Group
	group.SetLimit(recordReaders)
	for i := range m.Shards {
		r := &m.Shards[i]
		if !exists(r.File, r.Bytes) {
			return nil
		}
		if r.Files > 0 {
			group.Go(func() error { return checkImageFiles(ctx, store, plan, r, sizes) })
		}
	}
	if group.Wait() != nil {
		return nil
	}
	return m
}

// mergeShards writes the single file and records its size and hash in m.
func mergeShards[T any](ctx context.Context, store blobstore.Store, m *Manifest, merged *Merged[T]) error {
	return writeFile(ctx, store, m.File, func(w *fileWriter) error {
		out := merged.Writer(w)
		for _, record := range m.Shards {
			if err := appendShard(ctx, store, out, &record, merged); err != nil {
				return err
			}
		}
		if err := out.Close(); err != nil {
			return err
		}
		err := w.Flush()
		m.Bytes = w.bytes
		m.SHA256 = w.digest()
		return err
	})
}

// appendShard writes the items of a shard to the single file.
func appendShard[T any](ctx context.Context, store blobstore.Store, out Writer[T], record *Record, merged *Merged[T]) error {
	r, _, err := store.Open(ctx, record.File)
	if err != nil {
		return storageError(ctx, store, err)
	}
	defer r.Close()
	n := 0
	for item, err := range merged.Read(r) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return storageError(ctx, store, fmt.Errorf("%s: %w", record.File, err))
		}
		if err := out.Write(item); err != nil {
			return err
		}
		n++
	}
	if n != record.Images {
		return &DamagedError{store.String(), record.File, fmt.Errorf("has %d images: want %d", n, record.Images)}
	}
	return nil
}

// Import copies finished shards from another destination with the same plan, for machines without
// shared storage. store may be empty. Shards that store already has are not replaced.
func Import(ctx context.Context, store, from blobstore.Store) error {
	theirs, err := ReadPlan(ctx, from)
	if err != nil {
		return err
	}
	ours, err := ReadPlan(ctx, store)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for _, name := range []string{listName, indexName, planName} {
			if err := copyFile(ctx, store, from, name); err != nil {
				return err
			}
		}
	case err != nil:
		return err
	case ours.Hash != theirs.Hash:
		list := changes(ours.fields(), theirs.fields())
		if len(list) == 0 {
			images := func(p *Plan) string { return fmt.Sprintf("%d, %.8s", p.Images, p.List) }
			list = []Change{{"images", images(ours), images(theirs)}}
		}
		return &ConfigMismatchError{store.String(), list}
	}
	sizes, err := fileSizes(ctx, store)
	if err != nil {
		return err
	}
	for shard := range theirs.Shards() {
		name := recordName(shard)
		if _, ok := sizes[name]; ok {
			continue
		}
		var r Record
		if err := readJSON(ctx, from, name, &r); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return storageError(ctx, from, err)
		}
		if r.Files > 0 {
			if err := copyImageFiles(ctx, store, from, theirs, &r); err != nil {
				return err
			}
		}
		for _, name := range []string{r.File, name} {
			if err := copyFile(ctx, store, from, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyFile copies a file between stores.
func copyFile(ctx context.Context, store, from blobstore.Store, name string) error {
	r, _, err := from.Open(ctx, name)
	if err != nil {
		return storageError(ctx, from, err)
	}
	defer r.Close()
	return writeFile(ctx, store, name, func(w *fileWriter) error {
		_, err := io.Copy(w, r)
		if err != nil && w.err == nil {
			return storageError(ctx, from, err)
		}
		return err
	})
}
