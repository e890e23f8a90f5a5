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
	out    *fileWriter
	writer Writer[T]
}

func (r *run[T]) createShard(ctx context.Context, shard int) (*shardWriter[T], error) {
	w := &shardWriter[T]{run: r, record: Record{Shard: shard, File: r.shardFile(shard)}}
	var err error
	if w.file, err = r.Store.Create(ctx, w.record.File); err != nil {
		return nil, storageError(ctx, r.Store, err)
	}
	w.out = newFileWriter(w.file)
	w.writer = r.task.Writer(w.out)
	return w, nil
}

func (w *shardWriter[T]) write(ctx context.Context, s *pending[T]) error {
	w.record.Images++
	w.record.Boxes += int64(s.stats.Boxes)
	if s.failure != "" {
		w.record.Failed++
		w.record.Failures = append(w.record.Failures, Failure{s.image.File, s.image.ID, s.failure})
	}
	if err := w.writer.Write(s.item); err != nil {
		return w.out.cause(ctx, w.run.Store, fmt.Errorf("%q: %w", s.image.File, err))
	}
	return nil
}

// commit makes the shard appear, and then its record.
func (w *shardWriter[T]) commit(ctx context.Context) error {
	err := w.writer.Close()
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		return w.out.cause(ctx, w.run.Store, err)
	}
	if err := w.file.Commit(); err != nil {
		return storageError(ctx, w.run.Store, err)
	}
	w.record.Bytes, w.record.SHA256 = w.out.bytes, w.out.digest()
	return writeFile(ctx, w.run.Store, recordName(w.record.Shard), func(out *fileWriter) error { return writeJSON(out, &w.record) })
}

// abort leaves nothing of it.
func (w *shardWriter[T]) abort() { w.file.Abort() }
