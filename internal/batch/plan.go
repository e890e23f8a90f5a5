package batch

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strconv"
	"unicode/utf8"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/batch/source"
)

const (
	planName  = "job.json"
	listName  = "pictures.jsonl"
	indexName = "pictures.index"

	// maxDocument is the largest plan, record or line of a list that is read.
	maxDocument = 64 << 20
)

// Plan is what a destination was begun for: job.json.
type Plan struct {
	Version   string            `json:"version"`
	Task      string            `json:"task"`
	Format    string            `json:"format"`
	Source    string            `json:"source"`
	ShardSize int               `json:"shard_size"`
	Settings  map[string]string `json:"settings"`
	Images    int64             `json:"pictures"`
	// List is the SHA-256 of pictures.jsonl.
	List string `json:"list"`
	// Hash is the SHA-256 of all the above.
	Hash string `json:"hash"`
}

// Shards is their number.
func (p *Plan) Shards() int { return shardCount(p.Images, p.ShardSize) }

// imagesInShard is the number of pictures of a shard.
func (p *Plan) imagesInShard(shard int) int64 {
	return min(int64(p.ShardSize), p.Images-int64(shard)*int64(p.ShardSize))
}

// fields is all that must not change.
func (p *Plan) fields() map[string]string {
	all := maps.Clone(p.Settings)
	if all == nil {
		all = map[string]string{}
	}
	all["version"], all["task"], all["format"], all["source"] = p.Version, p.Task, p.Format, p.Source
	all["shard-size"] = strconv.Itoa(p.ShardSize)
	return all
}

// computeHash is the plan's hash.
func (p *Plan) computeHash() string {
	q := *p
	q.Hash = ""
	text, err := json.Marshal(&q)
	if err != nil {
		panic(err) // strings and numbers
	}
	return hexOf(sha256.Sum256(text))
}

func hexOf(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

// ReadPlan reads the plan of a destination; if nothing was begun there the error wraps
// fs.ErrNotExist.
func ReadPlan(ctx context.Context, store blobstore.Store) (*Plan, error) {
	p := new(Plan)
	if err := readJSON(ctx, store, planName, p); err != nil {
		return nil, storageError(ctx, store, err)
	}
	if p.Hash != p.computeHash() || p.ShardSize < 1 || p.ShardSize > MaxShardSize || p.Images < 1 {
		return nil, &StorageError{store.String(), fmt.Errorf("%s is damaged, its hash does not fit: want it as it was written, or another destination", planName)}
	}
	return p, nil
}

// openPlan reads the plan, or lists the pictures and makes one. Of several that begin at once
// the first one's list and plan hold for all.
func openPlan(ctx context.Context, j *Job, want Plan, key func(source.Image) string) (*Plan, error) {
	plan, err := ReadPlan(ctx, j.Store)
	if errors.Is(err, fs.ErrNotExist) {
		if err := writeList(ctx, j, key); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if want.Images, want.List, err = writeIndex(ctx, j); err != nil {
			return nil, err
		}
		want.Hash = want.computeHash()
		err := writeNewFile(ctx, j.Store, planName, func(w *fileWriter) error { return writeJSON(w, &want) })
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		plan, err = ReadPlan(ctx, j.Store)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if all := changes(plan.fields(), want.fields()); len(all) > 0 {
		return nil, &ConfigMismatchError{j.Store.String(), all}
	}
	return plan, nil
}

// listEntry is a picture of the list.
type listEntry struct {
	File   string `json:"file"`
	Raw    []byte `json:"raw,omitempty"` // the file if it is no valid UTF-8
	ID     string `json:"id,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

func (e *listEntry) image() source.Image {
	p := source.Image{File: e.File, ID: e.ID, Offset: e.Offset, Size: e.Size}
	if len(e.Raw) > 0 {
		p.File = string(e.Raw)
	}
	return p
}

// writeList writes the list, unless there is one.
func writeList(ctx context.Context, j *Job, key func(source.Image) string) error {
	return writeNewFile(ctx, j.Store, listName, func(w *fileWriter) error {
		n := 0
		keys := map[string]string{}
		for p, err := range j.Source.Images(ctx) {
			if err != nil {
				return err
			}
			if key != nil {
				k := key(p)
				if other, ok := keys[k]; ok {
					return &DuplicateKeyError{Key: k, Files: [2]string{other, p.File}}
				}
				keys[k] = p.File
			}
			e := listEntry{File: p.File, ID: p.ID, Offset: p.Offset, Size: p.Size}
			if !utf8.ValidString(p.File) {
				e.Raw = []byte(p.File)
			}
			if err := writeJSON(w, &e); err != nil {
				return err
			}
			n++
		}
		if n == 0 {
			return fmt.Errorf("%v: %w", j.Source, ErrNoImages)
		}
		return nil
	})
}

// A SameKeyError tells of two pictures that the form could not tell apart.
type DuplicateKeyError struct {
	Key   string
	Files [2]string
}

func (e *DuplicateKeyError) Error() string {
	return fmt.Sprintf("%q and %q would both be %q: want another format, or pictures of which no two are", e.Files[0], e.Files[1], e.Key)
}

// writeIndex reads the list through and writes where the shards begin in it, and where it ends.
func writeIndex(ctx context.Context, j *Job) (images int64, sum string, err error) {
	r, _, err := j.Store.Open(ctx, listName)
	if err != nil {
		return 0, "", storageError(ctx, j.Store, err)
	}
	defer r.Close()
	digest := sha256.New()
	var starts []byte
	at := int64(0)
	in := bufio.NewReaderSize(io.TeeReader(r, digest), 1<<16)
	for {
		n, err := skipLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, "", storageError(ctx, j.Store, err)
		}
		if n == 0 {
			break
		}
		if images%int64(j.ShardSize) == 0 {
			starts = binary.LittleEndian.AppendUint64(starts, uint64(at))
		}
		at += n
		images++
	}
	starts = binary.LittleEndian.AppendUint64(starts, uint64(at))
	err = writeFile(ctx, j.Store, indexName, func(w *fileWriter) error { _, err := w.Write(starts); return err })
	return images, hex.EncodeToString(digest.Sum(nil)), err
}

// skipLine tells how long a line is; the last one may lack its end.
func skipLine(in *bufio.Reader) (n int64, err error) {
	for {
		part, err := in.ReadSlice('\n')
		n += int64(len(part))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// imageList gives the shards' pictures.
type imageList struct {
	dest   blobstore.Store
	plan   *Plan
	starts []byte
}

func openList(ctx context.Context, store blobstore.Store, plan *Plan) (*imageList, error) {
	r, size, err := store.Open(ctx, indexName)
	if err != nil {
		return nil, storageError(ctx, store, err)
	}
	defer r.Close()
	want := int64(plan.Shards()+1) * 8
	if size != want {
		return nil, &StorageError{store.String(), fmt.Errorf("%s has %d bytes: want %d", indexName, size, want)}
	}
	l := &imageList{store, plan, make([]byte, size)}
	if _, err := io.ReadFull(r, l.starts); err != nil {
		return nil, storageError(ctx, store, err)
	}
	return l, nil
}

// images is the pictures of a shard.
func (l *imageList) images(ctx context.Context, shard int) ([]source.Image, error) {
	at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(l.starts[8*i:])) }
	first, end := at(shard), at(shard+1)
	r, err := l.dest.OpenRange(ctx, listName, first, end-first)
	if err != nil {
		return nil, storageError(ctx, l.dest, err)
	}
	defer r.Close()
	want := int(l.plan.imagesInShard(shard))
	images := make([]source.Image, 0, want)
	in := json.NewDecoder(bufio.NewReader(r))
	for {
		var e listEntry
		if err := in.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, storageError(ctx, l.dest, fmt.Errorf("%s: %w", listName, err))
		}
		images = append(images, e.image())
	}
	if len(images) != want {
		return nil, &StorageError{l.dest.String(), fmt.Errorf("%s has %d pictures for shard %d: want %d", listName, len(images), shard, want)}
	}
	return images, nil
}
