package batch

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/internal/batch/blobstore"
)

// shardWriter writes a shard, and then its record.
type shardWriter[T any] struct {
	run    *run[T]
	record Record
	file   blobstore.File
	out    *fileWriter
	items  Writer[T] // nil if the shard lists the images' files
}

func (r *run[T]) createShard(ctx context.Context, shard int) (*shardWriter[T], error) {
	w := &shardWriter[T]{run: r, record: Record{Shard: shard, File: r.shardFile(shard)}}
	var err error
	if w.file, err = r.Store.Create(ctx, w.record.File); err != nil {
		return nil, storageError(ctx, r.Store, err)
	}
	w.out = newFileWriter(w.file)
	if r.task.Files == nil {
		w.items = r.task.Writer(w.out)
	}
	return w, nil
}

func (w *shardWriter[T]) write(ctx context.Context, p *pending[T]) error {
	w.record.Images++
	w.record.Boxes += int64(p.stats.Boxes)
	if p.failure != "" {
		w.record.Failed++
		w.record.Failures = append(w.record.Failures, Failure{p.image.File, p.image.ID, p.failure})
	}
	if w.items == nil {
		if p.entry.Output != "" {
			w.record.Files++
		}
		return w.out.cause(ctx, w.run.Store, writeJSON(w.out, &p.entry))
	}
	if err := w.items.Write(p.item); err != nil {
		return w.out.cause(ctx, w.run.Store, fmt.Errorf("%q: %w", p.image.File, err))
	}
	return nil
}

// commit publishes the shard, and then its record.
func (w *shardWriter[T]) commit(ctx context.Context) error {
	var err error
	if w.items != nil {
		err = w.items.Close()
	}
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		return w.out.cause(ctx, w.run.Store, err)
	}
	if err := w.file.Commit(); err != nil {
		return storageError(ctx, w.run.Store, err)
	}
	w.record.Bytes = w.out.bytes
	w.record.SHA256 = w.out.digest()
	return writeFile(ctx, w.run.Store, recordName(w.record.Shard), func(out *fileWriter) error { return writeJSON(out, &w.record) })
}

// abort discards the shard.
func (w *shardWriter[T]) abort() { w.file.Abort() }
