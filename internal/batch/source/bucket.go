package source

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/url"
	"path"
	"strings"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/boundedio"
)

// bucketImages are the objects of a bucket.
type bucketImages struct{ blobstore.Store }

func (o *bucketImages) list(ctx context.Context, _ selection) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		for e, err := range o.List(ctx, "") {
			if err == nil && anyHidden(e.Name) {
				continue
			}
			if !yield(Image{File: e.Name}, err) || err != nil {
				return
			}
		}
	}
}

func (o *bucketImages) read(ctx context.Context, img Image, limit int64) ([]byte, error) {
	r, size, err := o.Store.Open(ctx, img.File)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return boundedio.ReadAll(r, size, limit)
}

func (o *bucketImages) folder() string {
	u, err := url.Parse(o.String())
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return ""
	}
	return path.Base(u.Path)
}

func (o *bucketImages) check(ctx context.Context) error { return o.Check(ctx) }

// retryable reports all errors but permanent answers of the service.
func (*bucketImages) retryable(err error) bool {
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, blobstore.ErrName)
}

func (o *bucketImages) close() error { return o.Close() }
