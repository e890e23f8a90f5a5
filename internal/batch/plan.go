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
	"strings"
	"unicode/utf8"

	"github.com/proposer/proposer/internal/batch/blobstore"
	"github.com/proposer/proposer/internal/batch/source"
)

const (
	planName  = "job.json"
	listName  = "pictures.jsonl"
	indexName = "pictures.index"

	// maxDocument is the largest plan, record or manifest that is read, in bytes.
	maxDocument = 64 << 20
)

// Plan is the content of job.json: what a destination was created for.
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
	// Hash is the SHA-256 of the fields above.
	Hash string `json:"hash"`
}

// Shards returns the number of shards.
func (p *Plan) Shards() int { return shardCount(p.Images, p.ShardSize) }

// imagesInShard returns the number of images in a shard.
func (p *Plan) imagesInShard(shard int) int64 {
	return min(int64(p.ShardSize), p.Images-int64(shard)*int64(p.ShardSize))
}

// fields returns everything that has to be the same in all runs.
func (p *Plan) fields() map[string]string {
	fields := map[string]string{}
	maps.Copy(fields, p.Settings)
	fields["version"] = p.Version
	fields["task"] = p.Task
	fields["format"] = p.Format
	fields["source"] = p.Source
	fields["shard-size"] = strconv.Itoa(p.ShardSize)
	return fields
}

// escapeInvalid returns s with bytes that are not UTF-8, which JSON would lose, in the form \xff.
func escapeInvalid(s string) string {
	var b strings.Builder
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// computeHash returns the value of Hash.
func (p *Plan) computeHash() string {
	q := *p
	q.Hash = ""
	text, err := json.Marshal(&q)
	if err != nil {
		panic(err) // strings and numbers only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// ReadPlan reads the plan of a destination. If there is none the error wraps fs.ErrNotExist.
func ReadPlan(ctx context.Context, store blobstore.Store) (*Plan, error) {
	p := new(Plan)
	if err := readJSON(ctx, store, planName, p); err != nil {
		return nil, storageError(ctx, store, err)
	}
	if p.Hash != p.computeHash() || p.ShardSize < 1 || p.ShardSize > MaxShardSize || p.Images < 1 {
		return nil, &StorageError{store.String(), fmt.Errorf("%s is damaged: its hash does not match: restore it or use another output location", planName)}
	}
	return p, nil
}

// openPlan reads the plan, or lists the images and creates it. If several runs start at the same
// time, the first list and the first plan are used by all.
func openPlan(ctx context.Context, j *Job, want Plan, check func(source.Image) error) (*Plan, error) {
	plan, err := ReadPlan(ctx, j.Store)
	if errors.Is(err, fs.ErrNotExist) {
		plan, err = createPlan(ctx, j, want, check)
	}
	if err != nil {
		return nil, err
	}
	if list := changes(plan.fields(), want.fields()); len(list) > 0 {
		return nil, &ConfigMismatchError{j.Store.String(), list}
	}
	return plan, nil
}

func createPlan(ctx context.Context, j *Job, plan Plan, check func(source.Image) error) (*Plan, error) {
	if err := writeList(ctx, j, check); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	var err error
	if plan.Images, plan.List, err = writeIndex(ctx, j); err != nil {
		return nil, err
	}
	plan.Hash = plan.computeHash()
	err = writeNewFile(ctx, j.Store, planName, func(w *fileWriter) error { return writeJSON(w, &plan) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return ReadPlan(ctx, j.Store)
}

// listEntry is a line of pictures.jsonl.
type listEntry struct {
	File      string `json:"file"`
	Raw       []byte `json:"raw,omitempty"` // File, if it is not valid UTF-8
	ID        string `json:"id,omitempty"`
	TextID    bool   `json:"text_id,omitempty"`
	OwnTextID bool   `json:"own_text_id,omitempty"`
	Offset    int64  `json:"offset,omitempty"`
	Size      int64  `json:"size,omitempty"`
}

func (e *listEntry) image() source.Image {
	img := source.Image{File: e.File, ID: e.ID, TextID: e.TextID, OwnTextID: e.OwnTextID, Offset: e.Offset, Size: e.Size}
	if len(e.Raw) > 0 {
		img.File = string(e.Raw)
	}
	return img
}

// writeList writes the list of images, unless check returns an error for one. If there is a list
// already the error wraps fs.ErrExist.
func writeList(ctx context.Context, j *Job, check func(source.Image) error) error {
	return writeNewFile(ctx, j.Store, listName, func(w *fileWriter) error {
		n := 0
		for img, err := range j.Source.Images(ctx) {
			if err != nil {
				return err
			}
			if err := check(img); err != nil {
				return err
			}
			e := listEntry{File: img.File, ID: img.ID, TextID: img.TextID, OwnTextID: img.OwnTextID, Offset: img.Offset, Size: img.Size}
			if !utf8.ValidString(img.File) {
				e.Raw = []byte(img.File)
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

// writeIndex writes the offsets of the shards in the list, and of its end, and returns the number of
// images and the SHA-256 of the list.
func writeIndex(ctx context.Context, j *Job) (images int64, sum string, err error) {
	r, _, err := j.Store.Open(ctx, listName)
	if err != nil {
		return 0, "", storageError(ctx, j.Store, err)
	}
	defer r.Close()

	digest := sha256.New()
	var offsets []byte
	offset := int64(0)
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
			offsets = binary.LittleEndian.AppendUint64(offsets, uint64(offset))
		}
		offset += n
		images++
	}
	offsets = binary.LittleEndian.AppendUint64(offsets, uint64(offset))
	err = writeFile(ctx, j.Store, indexName, func(w *fileWriter) error { _, err := w.Write(offsets); return err })
	return images, hex.EncodeToString(digest.Sum(nil)), err
}

// skipLine returns the length of the next line with its newline, which the last one may lack.
func skipLine(in *bufio.Reader) (n int64, err error) {
	for {
		chunk, err := in.ReadSlice('\n')
		n += int64(len(chunk))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// imageList reads the images of shards from the list.
type imageList struct {
	store   blobstore.Store
	plan    *Plan
	offsets []byte // the content of pictures.index
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
	if _, err := io.ReadFull(r, l.offsets); err != nil {
		return nil, storageError(ctx, store, err)
	}
	return l, nil
}

// images returns the images of a shard.
func (l *imageList) images(ctx context.Context, shard int) ([]source.Image, error) {
	offset := func(i int) int64 { return int64(binary.LittleEndian.Uint64(l.offsets[8*i:])) }
	start, end := offset(shard), offset(shard+1)
	r, err := l.store.OpenRange(ctx, listName, start, end-start)
	if err != nil {
		return nil, storageError(ctx, l.store, err)
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
			return nil, storageError(ctx, l.store, fmt.Errorf("%s: %w", listName, err))
		}
		images = append(images, e.image())
	}
	if len(images) != want {
		return nil, &StorageError{l.store.String(), fmt.Errorf("%s has %d images for shard %d: want %d", listName, len(images), shard, want)}
	}
	return images, nil
}
