// Package objectness estimates how likely the candidates of a selective search contain an
// object, from evidence that the search has anyway or that costs next to nothing: how many
// strategies agree, how long a region lived in its tree, how many candidates overlap, and
// sums over an integral image.
//
// A [Ranker] is the mean of boosted oblivious trees and a small neural network. [ForMode] and
// [Default] return those that ship with the package, by which package selective ranks unless it
// is given another. Package objectness/train trains others.
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
	"strings"
	"sync"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/objectness/internal/feature"
)

// A Ranker scores candidates by a model. It keeps its workspaces, and is safe for concurrent
// use.
type Ranker struct {
	metadata   Metadata
	model      Model
	extractors freelist.List[feature.Extractor]
	workspaces freelist.List[workspace]
}

// Metadata describes how a ranker was trained, for people. It has no effect on scores.
type Metadata struct {
	Data   string `json:"data"`     // name of the data set
	Images int    `json:"pictures"` // number of images
	Boxes  int    `json:"boxes"`    // number of their candidates
	Mode   string `json:"mode"`     // mode of the searches
	Model  string `json:"model"`    // kind of model
	Loss   string `json:"loss"`
	// EvaluatedOn is the name of the data set that Metrics were measured on.
	EvaluatedOn string   `json:"judged,omitempty"`
	Metrics     []Metric `json:"figures,omitempty"`
}

// A Metric is the average recall of the best boxes of each image.
type Metric struct {
	Boxes int     `json:"boxes"` // maximum number of boxes; 0 is all
	AR    float64 `json:"ar"`
}

// modelFile is the JSON form of a ranker.
type modelFile struct {
	Format   int      `json:"format"`
	Metadata Metadata `json:"about"`
	// Features are the names of the features that the model was trained with. Programs with
	// other features cannot use it.
	Features []string `json:"features"`
	Model    *Model   `json:"model"`
}

const (
	formatVersion = 4
	maxFileBytes  = 8 << 20 // more than the largest model takes
)

//go:embed *.json
var files embed.FS

// rankers holds, by mode, functions that read the ranker of the mode when they are first called.
var rankers = func() map[string]func() *Ranker {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err)
	}
	all := make(map[string]func() *Ranker)
	for _, entry := range entries {
		all[strings.TrimSuffix(entry.Name(), ".json")] = sync.OnceValue(func() *Ranker {
			data, err := files.ReadFile(entry.Name())
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
	return all
}()

// ForMode returns the ranker that was trained on the candidates of a mode of package selective,
// or nil if the package has none. There is one of each of the modes fast, best and quality: how
// many strategies agree, and how many candidates overlap, means something else in each.
// docs/ranking.md has their metrics.
func ForMode(mode string) *Ranker {
	if read := rankers[mode]; read != nil {
		return read()
	}
	return nil
}

// Strategies up to which Default returns the ranker of mode fast, and of mode best: the
// geometric means, about, of 8, 30 and 80.
const (
	maxFastStrategies = 15
	maxBestStrategies = 49
)

// Default returns the ranker for searches whose strategies are not those of a mode with a ranker:
// that of the mode fast (8 strategies), best (30) or quality (80) whose number of strategies is
// the nearest. See [ForMode].
func Default(strategies int) *Ranker {
	switch {
	case strategies <= maxFastStrategies:
		return ForMode("fast")
	case strategies <= maxBestStrategies:
		return ForMode("best")
	}
	return ForMode("quality")
}

// New returns a ranker with a model. The error, which wraps [ErrInvalidModel], reports what
// is wrong with the model. The ranker retains the model.
func New(m *Model, metadata Metadata) (*Ranker, error) {
	if err := m.validate(feature.Count()); err != nil {
		return nil, fmt.Errorf("objectness: %w: %w", ErrInvalidModel, err)
	}
	r := &Ranker{metadata: metadata, model: *m}
	r.model.prepare()
	return r, nil
}

// Metadata returns the description of the training.
func (r *Ranker) Metadata() Metadata { return r.metadata }

// WithMetrics returns a ranker with the same model whose metadata have the metrics measured
// on a data set.
func (r *Ranker) WithMetrics(dataset string, metrics []Metric) *Ranker {
	s := &Ranker{metadata: r.metadata, model: r.model}
	s.metadata.EvaluatedOn = dataset
	s.metadata.Metrics = metrics
	return s
}

// Read reads a ranker that [Ranker.Write] wrote. The input may be untrusted: at most 8 MiB
// are read, and models of more than 10,000 trees, or 512 and 128 hidden units, are refused.
func Read(r io.Reader) (*Ranker, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("objectness: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("objectness: model file of more than %d bytes", maxFileBytes)
	}
	return parse(data)
}

// ErrInvalidModel reports that a file holds no model for this version of the package.
var ErrInvalidModel = errors.New("invalid model")

func parse(data []byte) (*Ranker, error) {
	invalid := func(format string, args ...any) (*Ranker, error) {
		return nil, fmt.Errorf("objectness: %w: %w", ErrInvalidModel, fmt.Errorf(format, args...))
	}
	file := modelFile{Model: new(Model)}
	err := json.Unmarshal(data, &file)
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return invalid("%w: want a file that proposer train wrote", err)
	}
	// Files of other formats have values of other types as well.
	switch {
	case file.Format == 0:
		return invalid("no format: want a file that proposer train wrote")
	case file.Format != formatVersion:
		return invalid("format %d of another version, this one has %d: train it again with this version", file.Format, formatVersion)
	case err != nil:
		return invalid("%w", err)
	case !slices.Equal(file.Features, feature.Names()):
		return invalid("%d features of another version, this one has %d: train it again with this version", len(file.Features), feature.Count())
	case file.Model == nil:
		return invalid("no model")
	}
	return New(file.Model, file.Metadata)
}

// Write writes the ranker as JSON.
func (r *Ranker) Write(w io.Writer) error {
	file := modelFile{Format: formatVersion, Metadata: r.metadata, Features: feature.Names(), Model: &r.model}
	if err := json.NewEncoder(w).Encode(&file); err != nil {
		return fmt.Errorf("objectness: %w", err)
	}
	return nil
}

// workspace is the memory to score a block of candidates.
type workspace struct {
	features feature.Block
	scores   [blockSize]float32
	model    modelWorkspace
}

// Score writes the probability that each candidate of a set contains an object to scores. It
// implements the Ranker interface of package selective. The set needs its overlaps; see
// [candidate.Set.FindOverlaps]. Time is linear in the numbers of candidates and of pixels.
// The only errors are the context's. It panics if there are not as many scores as candidates.
func (r *Ranker) Score(ctx context.Context, scores []float32, set *candidate.Set) error {
	score, end := r.Session()
	defer end()
	return score(ctx, scores, set)
}

// Session returns a function like [Ranker.Score] for several sets of one image, which computes what
// it needs of the image only once. It must not be called concurrently. End releases its memory; after it the
// function must not be called.
func (r *Ranker) Session() (score func(ctx context.Context, scores []float32, set *candidate.Set) error, end func()) {
	e := r.extractors.Get()
	score = func(ctx context.Context, scores []float32, set *candidate.Set) error {
		return r.score(ctx, e, scores, set)
	}
	return score, func() {
		e.Release()
		r.extractors.Put(e)
	}
}

func (r *Ranker) score(ctx context.Context, e *feature.Extractor, scores []float32, set *candidate.Set) error {
	if len(scores) != len(set.Candidates) {
		panic(fmt.Sprintf("objectness: Score: %d scores for %d candidates", len(scores), len(set.Candidates)))
	}
	if err := e.Reset(ctx, set); err != nil {
		return err
	}
	n := len(set.Candidates)
	return set.Run.Run((n+blockSize-1)/blockSize, func(k int) error {
		w := r.workspaces.Get()
		defer r.workspaces.Put(w)
		from, to := k*blockSize, min((k+1)*blockSize, n)
		w.features.Compute(e, from, to)
		r.model.score(&w.scores, w.features.Columns, &w.model)
		for i := range scores[from:to] {
			scores[from+i] = sigmoid(w.scores[i])
		}
		return ctx.Err()
	})
}

// sigmoid returns 1/(1+e^−x), by a polynomial that is the same on every machine. Its relative
// error is below 2·10⁻⁴.
func sigmoid(x float32) float32 {
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
