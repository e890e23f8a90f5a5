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
	"github.com/proposer/proposer/internal/imageio"
)

// objects are those of a bucket.
type objects struct{ blobstore.Storage }

func (o *objects) list(ctx context.Context, _ func(string) bool) iter.Seq2[Picture, error] {
	return func(yield func(Picture, error) bool) {
		for e, err := range o.List(ctx, "") {
			if err == nil && anyHidden(e.Name) {
				continue
			}
			if !yield(Picture{File: e.Name}, err) || err != nil {
				return
			}
		}
	}
}

func (o *objects) read(ctx context.Context, p Picture, limit int64) ([]byte, error) {
	r, size, err := o.Storage.Open(ctx, p.File)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return imageio.ReadAll(r, size, limit)
}

func (o *objects) folder() string {
	u, err := url.Parse(o.String())
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return ""
	}
	return path.Base(u.Path)
}

func (o *objects) alive(ctx context.Context) error { return o.Alive(ctx) }

// passing: what a service says is for good, what comes of the way to it may pass.
func (*objects) passing(err error) bool {
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, blobstore.ErrName)
}

func (o *objects) close() error { return o.Close() }
