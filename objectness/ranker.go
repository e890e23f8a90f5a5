// Package objectness tells boxes that hold an object from those that hold background, by
// evidence that a selective search has anyway or that costs next to nothing: how many
// strategies agree, how long a region lived in its tree, and sums over the picture.
//
// Package selective ranks with [Default] unless it is given another ranker.
//
// A [Ranker] is a learned sum of trees, and a small network. [Default] is the one that ships with the package;
// a [Trainer] learns another from pictures with boxes, under any loss of package imbalance.
package objectness

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/freelist"
)

// Ranker scores proposals: it is a [selective.Ranker], safe for concurrent use.
type Ranker struct {
	File
	scenes freelist.List[scenery]
	desks  freelist.List[desk]
}

// File is a ranker as it is kept: JSON, in the form that Write writes.
type File struct {
	// Format is that of the file: formatVersion.
	Format int `json:"format"`
	// Metadata describes the training, for people.
	Metadata Metadata `json:"about"`
	// Features are the names of what is asked; a program with others cannot use the file.
	Features []string `json:"features"`
	Model    Model    `json:"model"`
}

// Metadata describes the training of a ranker.
type Metadata struct {
	Data     string `json:"data"`
	Pictures int    `json:"pictures"`
	Boxes    int    `json:"boxes"`
	Mode     string `json:"mode"`
	Model    string `json:"model"`
	Loss     string `json:"loss"`
	// EvaluatedOn is the data set that Metrics were measured on.
	EvaluatedOn string   `json:"judged,omitempty"`
	Metrics     []Metric `json:"figures,omitempty"`
}

// Metric is the average recall of so many of the best boxes of each picture; 0 is all.
type Metric struct {
	Boxes int     `json:"boxes"`
	AR    float64 `json:"ar"`
}

const (
	formatVersion = 3
	maxFile       = 64 << 20
)

//go:embed fast.json best.json quality.json
var embedded embed.FS

// own reads a ranker of the package's own.
func own(name string) func() *Ranker {
	return sync.OnceValue(func() *Ranker {
		data, err := embedded.ReadFile(name)
		if err != nil {
			panic(err)
		}
		r, err := parse(data)
		if err != nil {
			panic(err)
		}
		return r
	})
}

var fast, best, quality = own("fast.json"), own("best.json"), own("quality.json")

// Default is the ranker that ships with the package for searches of so many strategies: it
// has learned from a pool of 8, 16 or 80, as the presets fast, best and quality have, since
// how many agree means something else in each. docs/ranking.md has the figures.
func Default(strategies int) *Ranker {
	switch {
	case strategies <= 12:
		return fast()
	case strategies <= 36:
		return best()
	}
	return quality()
}

// Read reads a ranker that [Ranker.Write] wrote. What it reads is hostile: it is at most
// 64 MiB, and of at most 10,000 trees that ask for what there is.
func Read(r io.Reader) (*Ranker, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("objectness: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("objectness: a ranker of more than %d bytes", maxFile)
	}
	return parse(data)
}

// ErrInvalidModel is a file that holds no ranker of this program.
var ErrInvalidModel = errors.New("no ranker of this program")

func parse(data []byte) (*Ranker, error) {
	bad := func(format string, args ...any) (*Ranker, error) {
		return nil, fmt.Errorf("objectness: %w: %w", ErrInvalidModel, fmt.Errorf(format, args...))
	}
	r := new(Ranker)
	if err := json.Unmarshal(data, &r.File); err != nil {
		return bad("%w", err)
	}
	switch {
	case r.Format != formatVersion:
		return bad("format %d: want %d: train it anew", r.Format, formatVersion)
	case !slices.Equal(r.Features, features):
		return bad("it asks for other features: train it anew")
	}
	if err := r.Model.validate(len(features)); err != nil {
		return bad("%w", err)
	}
	r.Model.prepare()
	return r, nil
}

// Write writes the ranker.
func (r *Ranker) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	if err := e.Encode(&r.File); err != nil {
		return fmt.Errorf("objectness: %w", err)
	}
	return nil
}

// desk is where a block of boxes is described and scored.
type desk struct {
	glance  glance
	column  column
	scores  [block]float32
	scratch scratch
}

// describe fills the columns with the features of a block of proposals.
func (d *desk) describe(s *scenery, from, to int) {
	d.glance.reset(s, from, to)
	d.column.reset()
	s.describe(from, to, &d.glance, &d.column)
	if cap(d.glance.kin) > mostKin { // not to be kept
		d.glance.kin, d.glance.nodes = nil, nil
	}
}

// Score is that of [selective.Ranker]. Time is linear in the proposals, and in the picture's
// pixels.
func (r *Ranker) Score(ctx context.Context, scores []float32, e *candidate.Set) error {
	if len(scores) != len(e.Candidates) {
		panic(fmt.Sprintf("objectness: Score: %d scores for %d proposals", len(scores), len(e.Candidates)))
	}
	s := r.scenes.Get()
	defer r.scenes.Put(s)
	defer func() { s.Set = nil }() // it is the search's
	if err := s.reset(ctx, e); err != nil {
		return err
	}
	n := len(e.Candidates)
	return e.Run.Run((n+block-1)/block, func(k int) error {
		d := r.desks.Get()
		defer r.desks.Put(d)
		from, to := k*block, min((k+1)*block, n)
		d.describe(s, from, to)
		r.Model.score(&d.scores, d.column.columns, &d.scratch)
		for i := range scores[from:to] {
			scores[from+i] = probability(d.scores[i])
		}
		return ctx.Err()
	})
}

// probability is 1/(1+e^−x), by a polynomial that is the same on every machine: the
// relative error is below 2·10⁻⁴.
func probability(x float32) float32 {
	const log2e = 1.4426950408889634
	y := float64(-min(max(x, -60), 60)) * log2e
	whole := float64(int64(y)) // 2^y = 2^whole · 2^rest
	rest := y - whole
	power := .0013333558
	for _, c := range [...]float64{.0096181291, .0555041087, .2402265070, .6931471806, 1} {
		power = float64(power*rest) + c
	}
	return float32(1 / (1 + math.Ldexp(power, int(whole))))
}
