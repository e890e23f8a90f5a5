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
	Pictures  int64             `json:"pictures"`
	// List is the SHA-256 of pictures.jsonl.
	List string `json:"list"`
	// Hash is the SHA-256 of all the above.
	Hash string `json:"hash"`
}

// Shards is their number.
func (p *Plan) Shards() int { return shardsOf(p.Pictures, p.ShardSize) }

// picturesOf is the number of pictures of a shard.
func (p *Plan) picturesOf(shard int) int64 {
	return min(int64(p.ShardSize), p.Pictures-int64(shard)*int64(p.ShardSize))
}

// identity is all that must not change.
func (p *Plan) identity() map[string]string {
	all := maps.Clone(p.Settings)
	if all == nil {
		all = map[string]string{}
	}
	all["version"], all["task"], all["format"], all["source"] = p.Version, p.Task, p.Format, p.Source
	all["shard-size"] = strconv.Itoa(p.ShardSize)
	return all
}

// sum is the plan's hash.
func (p *Plan) sum() string {
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
func ReadPlan(ctx context.Context, dest blobstore.Storage) (*Plan, error) {
	p := new(Plan)
	if err := readJSON(ctx, dest, planName, p); err != nil {
		return nil, destError(ctx, dest, err)
	}
	if p.Hash != p.sum() || p.ShardSize < 1 || p.ShardSize > MaxShardSize || p.Pictures < 1 {
		return nil, &DestError{dest.String(), fmt.Errorf("%s is damaged, its hash does not fit: want it as it was written, or another destination", planName)}
	}
	return p, nil
}

// begin reads the plan, or lists the pictures and makes one. Of several that begin at once
// the first one's list and plan hold for all.
func begin(ctx context.Context, j *Job, want Plan, key func(source.Picture) string) (*Plan, error) {
	plan, err := ReadPlan(ctx, j.Dest)
	if errors.Is(err, fs.ErrNotExist) {
		if err := list(ctx, j, key); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if want.Pictures, want.List, err = index(ctx, j); err != nil {
			return nil, err
		}
		want.Hash = want.sum()
		err := writeNew(ctx, j.Dest, planName, func(w *sink) error { return writeJSON(w, &want) })
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		plan, err = ReadPlan(ctx, j.Dest)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if all := changes(plan.identity(), want.identity()); len(all) > 0 {
		return nil, &ChangedError{j.Dest.String(), all}
	}
	return plan, nil
}

// entry is a picture of the list.
type entry struct {
	File   string `json:"file"`
	Raw    []byte `json:"raw,omitempty"` // the file if it is no valid UTF-8
	ID     string `json:"id,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

func (e *entry) picture() source.Picture {
	p := source.Picture{File: e.File, ID: e.ID, Offset: e.Offset, Size: e.Size}
	if len(e.Raw) > 0 {
		p.File = string(e.Raw)
	}
	return p
}

// list writes the list, unless there is one.
func list(ctx context.Context, j *Job, key func(source.Picture) string) error {
	return writeNew(ctx, j.Dest, listName, func(w *sink) error {
		n := 0
		keys := map[string]string{}
		for p, err := range j.Source.Pictures(ctx) {
			if err != nil {
				return err
			}
			if key != nil {
				k := key(p)
				if other, ok := keys[k]; ok {
					return &SameKeyError{Key: k, Files: [2]string{other, p.File}}
				}
				keys[k] = p.File
			}
			e := entry{File: p.File, ID: p.ID, Offset: p.Offset, Size: p.Size}
			if !utf8.ValidString(p.File) {
				e.Raw = []byte(p.File)
			}
			if err := writeJSON(w, &e); err != nil {
				return err
			}
			n++
		}
		if n == 0 {
			return fmt.Errorf("%v: %w", j.Source, ErrNoPictures)
		}
		return nil
	})
}

// A SameKeyError tells of two pictures that the form could not tell apart.
type SameKeyError struct {
	Key   string
	Files [2]string
}

func (e *SameKeyError) Error() string {
	return fmt.Sprintf("%q and %q would both be %q: want another format, or pictures of which no two are", e.Files[0], e.Files[1], e.Key)
}

// index reads the list through and writes where the shards begin in it, and where it ends.
func index(ctx context.Context, j *Job) (pictures int64, sum string, err error) {
	r, _, err := j.Dest.Open(ctx, listName)
	if err != nil {
		return 0, "", destError(ctx, j.Dest, err)
	}
	defer r.Close()
	digest := sha256.New()
	var starts []byte
	at := int64(0)
	in := bufio.NewReaderSize(io.TeeReader(r, digest), 1<<16)
	for {
		n, err := skipLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, "", destError(ctx, j.Dest, err)
		}
		if n == 0 {
			break
		}
		if pictures%int64(j.ShardSize) == 0 {
			starts = binary.LittleEndian.AppendUint64(starts, uint64(at))
		}
		at += n
		pictures++
	}
	starts = binary.LittleEndian.AppendUint64(starts, uint64(at))
	err = write(ctx, j.Dest, indexName, func(w *sink) error { _, err := w.Write(starts); return err })
	return pictures, hex.EncodeToString(digest.Sum(nil)), err
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

// lister gives the shards' pictures.
type lister struct {
	dest   blobstore.Storage
	plan   *Plan
	starts []byte
}

func newLister(ctx context.Context, dest blobstore.Storage, plan *Plan) (*lister, error) {
	r, size, err := dest.Open(ctx, indexName)
	if err != nil {
		return nil, destError(ctx, dest, err)
	}
	defer r.Close()
	want := int64(plan.Shards()+1) * 8
	if size != want {
		return nil, &DestError{dest.String(), fmt.Errorf("%s has %d bytes: want %d", indexName, size, want)}
	}
	l := &lister{dest, plan, make([]byte, size)}
	if _, err := io.ReadFull(r, l.starts); err != nil {
		return nil, destError(ctx, dest, err)
	}
	return l, nil
}

// shard is the pictures of a shard.
func (l *lister) shard(ctx context.Context, shard int) ([]source.Picture, error) {
	at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(l.starts[8*i:])) }
	first, end := at(shard), at(shard+1)
	r, err := l.dest.OpenRange(ctx, listName, first, end-first)
	if err != nil {
		return nil, destError(ctx, l.dest, err)
	}
	defer r.Close()
	want := int(l.plan.picturesOf(shard))
	pictures := make([]source.Picture, 0, want)
	in := json.NewDecoder(bufio.NewReader(r))
	for {
		var e entry
		if err := in.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, destError(ctx, l.dest, fmt.Errorf("%s: %w", listName, err))
		}
		pictures = append(pictures, e.picture())
	}
	if len(pictures) != want {
		return nil, &DestError{l.dest.String(), fmt.Errorf("%s has %d pictures for shard %d: want %d", listName, len(pictures), shard, want)}
	}
	return pictures, nil
}
