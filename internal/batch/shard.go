package batch

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/internal/batch/blobstore"
)

// shardWriter writes a shard and then its record.
type shardWriter[T any] struct {
	run    *run[T]
	record Record
	file   blobstore.File
	out    *sink
	form   Writer[T]
}

func (r *run[T]) create(ctx context.Context, shard int) (*shardWriter[T], error) {
	w := &shardWriter[T]{run: r, record: Record{Shard: shard, File: r.file(shard)}}
	var err error
	if w.file, err = r.Dest.Create(ctx, w.record.File); err != nil {
		return nil, destError(ctx, r.Dest, err)
	}
	w.out = newSink(w.file)
	w.form = r.task.Writer(w.out)
	return w, nil
}

func (w *shardWriter[T]) write(ctx context.Context, s *slot[T]) error {
	w.record.Pictures++
	w.record.Boxes += int64(s.outcome.Boxes)
	if s.failure != "" {
		w.record.Failed++
		w.record.Failures = append(w.record.Failures, Failure{s.picture.File, s.picture.ID, s.failure})
	}
	if err := w.form.Write(s.item); err != nil {
		return w.out.blame(ctx, w.run.Dest, fmt.Errorf("%q: %w", s.picture.File, err))
	}
	return nil
}

// commit makes the shard appear, and then its record.
func (w *shardWriter[T]) commit(ctx context.Context) error {
	err := w.form.Close()
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		return w.out.blame(ctx, w.run.Dest, err)
	}
	if err := w.file.Commit(); err != nil {
		return destError(ctx, w.run.Dest, err)
	}
	w.record.Bytes, w.record.SHA256 = w.out.bytes, w.out.digest()
	return write(ctx, w.run.Dest, recordName(w.record.Shard), func(out *sink) error { return writeJSON(out, &w.record) })
}

// abort leaves nothing of it.
func (w *shardWriter[T]) abort() { w.file.Abort() }
