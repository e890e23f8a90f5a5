package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/proposer/proposer/internal/batch/blobstore"
)

const (
	manifestName = "manifest.json"
	failuresName = "failures.jsonl"
)

// Manifest is all that a finished destination has.
type Manifest struct {
	Plan
	// File is the one of all pictures, if the shards were joined.
	File   string `json:"file,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`

	Failed int64    `json:"failed"`
	Boxes  int64    `json:"boxes"`
	Shards []Record `json:"shards"`
}

// Finish makes of shards that are all done what is wanted: one file of them, if the form has
// Whole, the list of failures, and at last the manifest. If shards are missing the error is
// an *[UnfinishedError]. Doing it again changes nothing, but removes what was left since by
// whoever was killed at writing.
func Finish[T any](ctx context.Context, dest blobstore.Storage, form Form[T]) (*Manifest, error) {
	plan, err := ReadPlan(ctx, dest)
	if err != nil {
		return nil, err
	}
	sizes, err := inventory(ctx, dest)
	if err != nil {
		return nil, err
	}
	if m := finished(ctx, dest, plan, sizes, form.Whole != nil); m != nil {
		return m, sweep(ctx, dest)
	}
	var recorded, missing []int
	for shard := range plan.Shards() {
		if _, ok := sizes[recordName(shard)]; ok {
			recorded = append(recorded, shard)
		} else {
			missing = append(missing, shard)
		}
	}
	if len(missing) > 0 {
		return nil, &UnfinishedError{dest.String(), plan.Shards(), missing}
	}
	file := func(shard int) string { return plan.shardName(shard, form.Extension, form.Whole != nil) }
	records, errs, err := readRecords(ctx, dest, recorded, file, sizes)
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
	if form.Whole != nil {
		m.File = plan.Task + form.Whole.Extension
		if err := join(ctx, dest, m, form.Whole); err != nil {
			return nil, err
		}
	}
	err = write(ctx, dest, failuresName, func(w *sink) error {
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
	if err := sweep(ctx, dest); err != nil {
		return nil, err
	}
	return m, write(ctx, dest, manifestName, func(w *sink) error { return writeJSON(w, m) })
}

// sweep removes what was left half written: all shards are done, so nobody should be at it any more.
func sweep(ctx context.Context, dest blobstore.Storage) error {
	return destError(ctx, dest, dest.Sweep(ctx, 0))
}

// finished is the manifest if there is one, and all that it names is there.
func finished(ctx context.Context, dest blobstore.Storage, plan *Plan, sizes map[string]int64, whole bool) *Manifest {
	m := new(Manifest)
	if err := readJSON(ctx, dest, manifestName, m); err != nil || m.Hash != plan.Hash {
		return nil
	}
	is := func(file string, bytes int64) bool { size, ok := sizes[file]; return ok && size == bytes }
	if whole {
		if !is(m.File, m.Bytes) {
			return nil
		}
		return m // its shards are no longer needed
	}
	for i := range m.Shards {
		if !is(m.Shards[i].File, m.Shards[i].Bytes) {
			return nil
		}
	}
	return m
}

// join writes the one file.
func join[T any](ctx context.Context, dest blobstore.Storage, m *Manifest, whole *Whole[T]) error {
	return write(ctx, dest, m.File, func(w *sink) error {
		out := whole.Writer(w)
		for _, record := range m.Shards {
			if err := add(ctx, dest, out, &record, whole); err != nil {
				return err
			}
		}
		if err := out.Close(); err != nil {
			return err
		}
		err := w.Flush()
		m.Bytes, m.SHA256 = w.bytes, w.digest()
		return err
	})
}

// add writes the pictures of a shard.
func add[T any](ctx context.Context, dest blobstore.Storage, out Writer[T], record *Record, whole *Whole[T]) error {
	r, _, err := dest.Open(ctx, record.File)
	if err != nil {
		return destError(ctx, dest, err)
	}
	defer r.Close()
	n := 0
	for item, err := range whole.Read(r) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return destError(ctx, dest, fmt.Errorf("%s: %w", record.File, err))
		}
		if err := out.Write(item); err != nil {
			return err
		}
		n++
	}
	if n != record.Pictures {
		return &DamagedError{dest.String(), record.File, fmt.Errorf("has %d pictures: want %d", n, record.Pictures)}
	}
	return nil
}

// Gather copies into dest the shards of another destination of the same plan, as machines
// without a common place have them; dest may be empty. Shards that dest has stay as they are.
func Gather(ctx context.Context, dest, from blobstore.Storage) error {
	theirs, err := ReadPlan(ctx, from)
	if err != nil {
		return err
	}
	ours, err := ReadPlan(ctx, dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for _, name := range []string{listName, indexName, planName} {
			if err := transfer(ctx, dest, from, name); err != nil {
				return err
			}
		}
	case err != nil:
		return err
	case ours.Hash != theirs.Hash:
		all := changes(ours.identity(), theirs.identity())
		if len(all) == 0 {
			all = []Change{{"pictures", fmt.Sprintf("%d, %.8s", ours.Pictures, ours.List), fmt.Sprintf("%d, %.8s", theirs.Pictures, theirs.List)}}
		}
		return &ChangedError{dest.String(), all}
	}
	sizes, err := inventory(ctx, dest)
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
			return destError(ctx, from, err)
		}
		for _, name := range []string{r.File, name} {
			if err := transfer(ctx, dest, from, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// transfer copies a file.
func transfer(ctx context.Context, dest, from blobstore.Storage, name string) error {
	r, _, err := from.Open(ctx, name)
	if err != nil {
		return destError(ctx, from, err)
	}
	defer r.Close()
	return write(ctx, dest, name, func(w *sink) error {
		if _, err := io.Copy(w, r); err != nil && w.err == nil {
			return destError(ctx, from, err)
		} else if err != nil {
			return err
		}
		return nil
	})
}
