package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// bucketStore is a [Store] of the objects of a bucket whose keys begin with a prefix.
type bucketStore struct {
	location string
	scheme   string
	prefix   string // empty, or ends in a slash
	bucket   *blob.Bucket
}

// memBuckets are the buckets of mem: URLs, by name. They live as long as the process.
var memBuckets = struct {
	sync.Mutex
	buckets map[string]*blob.Bucket
}{buckets: map[string]*blob.Bucket{}}

func openBucket(ctx context.Context, u *url.URL) (Store, error) {
	b := &bucketStore{location: u.Redacted(), scheme: strings.ToLower(u.Scheme)}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		if err := checkName(prefix); err != nil {
			return nil, &Error{Location: b.location, Err: err, Invalid: true}
		}
		b.prefix = prefix + "/"
	}
	if b.scheme == "mem" {
		if u.RawQuery != "" {
			return nil, &Error{Location: b.location, Err: errors.New("want no query after mem://NAME/PREFIX")}
		}
		memBuckets.Lock()
		defer memBuckets.Unlock()
		if memBuckets.buckets[u.Host] == nil {
			memBuckets.buckets[u.Host] = memblob.OpenBucket(nil)
		}
		b.bucket = memBuckets.buckets[u.Host]
		return b, nil
	}
	if !blob.DefaultURLMux().ValidBucketScheme(b.scheme) {
		return nil, &Error{Location: b.location, Err: fmt.Errorf("no support for %s:// in this program: want it to import internal/batch/blobstore/cloud", b.scheme)}
	}
	bucketURL := *u
	bucketURL.Path, bucketURL.RawPath = "", ""
	if q := bucketURL.Query(); b.scheme == "s3" && !q.Has(checksums) {
		// Otherwise the AWS SDK logs a line for each object without a checksum.
		q.Set(checksums, "when_required")
		bucketURL.RawQuery = q.Encode()
	}
	var err error
	if b.bucket, err = blob.OpenBucket(ctx, bucketURL.String()); err != nil {
		return nil, b.wrapError("", err)
	}
	if err := b.ping(ctx); err != nil {
		b.bucket.Close()
		return nil, err
	}
	return b, nil
}

const checksums = "response_checksum_validation"

// ping returns an error unless the bucket responds.
func (b *bucketStore) ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return b.wrapError("", err)
	}
	exists, err := b.bucket.IsAccessible(ctx)
	if err == nil && !exists {
		err = fmt.Errorf("no such bucket: %w", fs.ErrNotExist)
	}
	return b.wrapError("", err)
}

func (b *bucketStore) Check(ctx context.Context) error {
	err := b.ping(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &UnavailableError{b.location, err.(*Error).Err} //nolint:errorlint // made by wrapError
}

// credentialHelp describes where the credentials of a service are found.
var credentialHelp = map[string]string{
	"s3":     "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws (AWS_PROFILE) or the machine's role, the region from AWS_REGION or ?region=",
	"gs":     "credentials come from GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login or the machine's account; ?anonymous=true is for public buckets",
	"azblob": "the account comes from AZURE_STORAGE_ACCOUNT or ?storage_account=, with AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or the machine's identity",
}

// credentialProblem matches authentication errors of the services, which share no type.
var credentialProblem = regexp.MustCompile(`(?i)credential|region|storage.?account|unauthenticated|access denied|AccessDenied|AuthenticationFailed|InvalidAccessKeyId|SignatureDoesNotMatch|\b40[13]\b`)

// wrapError returns an error of the service as an *[Error].
func (b *bucketStore) wrapError(name string, err error) error {
	if err == nil {
		return nil
	}
	text := oneLine(err)
	switch code := gcerrors.Code(err); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrClosed), errors.Is(err, ErrName),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case code == gcerrors.NotFound:
		err = fs.ErrNotExist
	case code == gcerrors.FailedPrecondition, code == gcerrors.AlreadyExists:
		err = &describedError{fs.ErrExist, text}
	case code == gcerrors.PermissionDenied:
		err = &describedError{fs.ErrPermission, text + ": want permission to list, read and write: " + credentialHelp[b.scheme]}
	case credentialProblem.MatchString(text):
		err = &describedError{err, text + ": " + credentialHelp[b.scheme]}
	default:
		err = &describedError{err, text}
	}
	return &Error{Location: b.location, Name: name, Err: err}
}

// describedError is an error with another text.
type describedError struct {
	err  error
	text string
}

func (e *describedError) Error() string { return e.text }

func (e *describedError) Unwrap() error { return e.err }

// oneLine returns an error's text without the line breaks that services add.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// key returns the key of a file. Objects written by other programs may contain repeated slashes.
func (b *bucketStore) key(ctx context.Context, name string) (string, error) {
	err := ctx.Err()
	if err == nil {
		err = checkName(repeatedSlashes.ReplaceAllString(name, "/"))
	}
	if err != nil {
		return "", b.wrapError(name, err)
	}
	return b.prefix + name, nil
}

var repeatedSlashes = regexp.MustCompile(`/+`)

func (b *bucketStore) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	key, err := b.key(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	r, err := b.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, 0, b.wrapError(name, err)
	}
	return r, r.Size(), nil
}

func (b *bucketStore) OpenRange(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	key, err := b.key(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := b.bucket.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, b.wrapError(name, err)
	}
	return r, nil
}

func (b *bucketStore) Create(ctx context.Context, name string) (File, error) {
	return b.create(ctx, name, nil)
}

func (b *bucketStore) CreateNew(ctx context.Context, name string) (File, error) {
	return b.create(ctx, name, &blob.WriterOptions{IfNotExist: true})
}

func (b *bucketStore) create(ctx context.Context, name string, o *blob.WriterOptions) (File, error) {
	err := checkName(name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, b.wrapError(name, err)
	}
	writing, cancel := context.WithCancel(ctx)
	w, err := b.bucket.NewWriter(writing, b.prefix+name, o)
	if err != nil {
		cancel()
		return nil, b.wrapError(name, err)
	}
	return &bucketFile{writing, b, name, w, cancel}, nil
}

func (b *bucketStore) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		objects := b.bucket.List(&blob.ListOptions{Prefix: b.prefix + prefix})
		for {
			o, err := objects.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil {
				err = ctx.Err() // buffered pages do not check it
			}
			if err != nil {
				yield(Entry{}, b.wrapError("", err))
				return
			}
			// The services' tools represent folders by empty objects.
			if name := o.Key[len(b.prefix):]; name != "" && !strings.HasSuffix(name, "/") && !yield(Entry{name, o.Size}, nil) {
				return
			}
		}
	}
}

func (b *bucketStore) Remove(ctx context.Context, name string) error {
	key, err := b.key(ctx, name)
	if err != nil {
		return err
	}
	return b.wrapError(name, b.bucket.Delete(ctx, key))
}

// Sweep has no effect: a bucket has no temporary files.
func (b *bucketStore) Sweep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (b *bucketStore) String() string { return b.location }

func (b *bucketStore) Close() error {
	if b.scheme == "mem" {
		return nil
	}
	return b.wrapError("", b.bucket.Close())
}

type bucketFile struct {
	ctx    context.Context
	store  *bucketStore
	name   string
	w      *blob.Writer // nil after Commit or Abort
	cancel context.CancelFunc
}

func (f *bucketFile) Write(p []byte) (int, error) {
	if f.w == nil {
		return 0, f.store.wrapError(f.name, fs.ErrClosed)
	}
	if err := f.ctx.Err(); err != nil {
		return 0, f.store.wrapError(f.name, err)
	}
	n, err := f.w.Write(p)
	return n, f.store.wrapError(f.name, err)
}

func (f *bucketFile) Commit() error {
	if f.w == nil {
		return f.store.wrapError(f.name, fs.ErrClosed)
	}
	if err := f.ctx.Err(); err != nil {
		f.Abort()
		return f.store.wrapError(f.name, err)
	}
	err := f.w.Close()
	f.w = nil
	f.cancel()
	return f.store.wrapError(f.name, err)
}

func (f *bucketFile) Abort() {
	if f.w != nil {
		f.cancel() // before Close, which would publish the object
		f.w.Close()
		f.w = nil
	}
}
