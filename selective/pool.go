package selective

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/overlap"
)

// poll looks at the context now and then: i counts the rounds of a loop.
func poll(ctx context.Context, i int) error {
	if i%(1<<14) == 0 {
		return ctx.Err()
	}
	return nil
}

// pooler pools the boxes of all trees, and ranks them. It keeps its memory.
type pooler struct {
	table   []int32   // 1 + the proposal with a box, near where the box's hash says
	boxes   []box.Box // by proposal
	counts  []int32   // by proposal: its number of origins
	members []int32   // by node, over all trees: its proposal, or −1
	pooled  []Proposal
	order   []ordered
	random  [][]float64
	graph   overlap.Graph
}

// ordered is a proposal with its place in the order: low is good.
type ordered struct {
	value    float64
	proposal int32
}

// find is the proposal with a box, which it makes one if there is none.
func (p *pooler) find(b box.Box) int32 {
	h := (uint64(uint32(b.X0))<<32|uint64(uint32(b.Y0)))*0x9e3779b97f4a7c15 ^
		(uint64(uint32(b.X1))<<32|uint64(uint32(b.Y1)))*0xd6e8feb86659fd93
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	mask := len(p.table) - 1
	for i := int(h>>32) & mask; ; i = (i + 1) & mask {
		at := p.table[i] - 1
		if at < 0 {
			p.boxes, p.counts = append(p.boxes, b), append(p.counts, 0)
			p.table[i] = int32(len(p.boxes))
			return int32(len(p.boxes) - 1)
		}
		if p.boxes[at] == b {
			return at
		}
	}
}

// pool is every box of every tree once, with its origins: in strategy order,
// each tree from its root. It is the pooler's, the origins are not.
func (p *pooler) pool(ctx context.Context, trees []*hierarchy.Tree, minSide int) ([]Proposal, error) {
	total := 0
	for _, t := range trees {
		total += len(t.Nodes)
	}
	size := 1 << bits.Len(uint(2*total)) // at most half full
	p.table = slices.Grow(p.table[:0], size)[:size]
	clear(p.table)
	p.boxes, p.counts, p.members = p.boxes[:0], p.counts[:0], p.members[:0]
	for _, t := range trees {
		for i := len(t.Nodes) - 1; i >= 0; i-- {
			if err := poll(ctx, i); err != nil {
				return nil, err
			}
			b := t.Nodes[i].Box
			if int(b.Width()) < minSide || int(b.Height()) < minSide {
				p.members = append(p.members, -1)
				continue
			}
			at := p.find(b)
			p.members = append(p.members, at)
			p.counts[at]++
		}
	}
	pool, origins := p.pooled[:0], make([]Origin, total)
	for i, n := range p.counts {
		pool = append(pool, Proposal{Box: p.boxes[i], Origins: origins[:0:n]})
		origins = origins[n:]
	}
	p.pooled = pool
	members := p.members
	for strategy, t := range trees {
		for i := len(t.Nodes) - 1; i >= 0; i-- {
			if err := poll(ctx, i); err != nil {
				return nil, err
			}
			at := members[0]
			members = members[1:]
			if at < 0 {
				continue
			}
			node, death := &t.Nodes[i], float32(0)
			if node.Parent >= 0 {
				death = t.Nodes[node.Parent].Similarity
			}
			pool[at].Origins = append(pool[at].Origins, Origin{
				Strategy: int32(strategy),
				Position: int32(t.Position(i)),
				Size:     node.Size,
				Birth:    node.Similarity,
				Death:    death,
			})
		}
	}
	return pool, nil
}

// rank orders the pool, thins it and cuts it to the budget.
func (p *pooler) rank(ctx context.Context, pool []Proposal, trees []*hierarchy.Tree, opts Options) ([]Proposal, error) {
	if err := p.value(ctx, pool, trees, opts); err != nil {
		return nil, err
	}
	compared, cancelled := 0, false
	slices.SortFunc(p.order, func(a, b ordered) int {
		compared++
		cancelled = cancelled || poll(ctx, compared) != nil
		switch {
		case cancelled: // what is left to sort is done at once
			return 0
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return cmp.Compare(a.proposal, b.proposal)
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	boxes := p.boxes[:0]
	for _, o := range p.order {
		boxes = append(boxes, pool[o.proposal].Box)
	}
	p.boxes = boxes
	kept, err := opts.NMS.Keep(ctx, boxes, opts.Max)
	if err != nil {
		return nil, err
	}
	return list(ctx, kept, func(k int32) (*Proposal, float32) {
		o := p.order[k]
		return &pool[o.proposal], float32(1 / (1 + o.value))
	})
}

// list gives the proposals that are kept their scores, which of knows by their place in the order.
func list(ctx context.Context, kept []int32, of func(k int32) (*Proposal, float32)) ([]Proposal, error) {
	ranked := make([]Proposal, len(kept))
	for i, k := range kept {
		if err := poll(ctx, i); err != nil {
			return nil, err
		}
		proposal, score := of(k)
		// What nearly equals a better box may be worth next to nothing, but not that.
		score = max(score, least*float32(len(kept)-i))
		if i > 0 {
			// Ties, and values that float32 cannot tell apart, step down by the least there is.
			score = min(score, math.Nextafter32(ranked[i-1].Score, 0))
		}
		ranked[i] = *proposal
		ranked[i].Score = score
	}
	return ranked, nil
}

// coverBoxes is how many boxes are taken by what they add: beyond as many as any detector takes
// the rest comes as it is.
const coverBoxes = 2000

// least is a score that is above 0, and so are those of all boxes that follow.
const least = 1e-30

// rankBy orders the pool by objectness, thins it and cuts it to the budget.
func (p *pooler) rankBy(ctx context.Context, opts Options, e *Evidence) ([]Proposal, error) {
	if err := p.graph.Build(ctx, p.boxes[:len(e.Proposals)], e.Run); err != nil {
		return nil, err
	}
	e.Graph = &p.graph
	scores := make([]float32, len(e.Proposals))
	if err := opts.Ranker.Score(ctx, scores, e); err != nil {
		return nil, err
	}
	limit, rest := coverBoxes, true
	if opts.Max > 0 && opts.NMS == (box.NMS{}) {
		limit, rest = min(limit, opts.Max), opts.Max > limit
	}
	order, worth, err := overlap.CoverageOrder(ctx, e.Graph, scores, limit, rest)
	if err != nil {
		return nil, err
	}
	boxes := make([]box.Box, len(order))
	for i, o := range order {
		boxes[i] = e.Proposals[o].Box
	}
	kept, err := opts.NMS.Keep(ctx, boxes, opts.Max)
	if err != nil {
		return nil, err
	}
	return list(ctx, kept, func(k int32) (*Proposal, float32) { return &e.Proposals[order[k]], worth[k] / (1 + worth[k]) })
}

// value gives each proposal its place in the order: the lowest of its origins'.
func (p *pooler) value(ctx context.Context, pool []Proposal, trees []*hierarchy.Tree, opts Options) error {
	// The random numbers belong to the strategy and the position alone: more
	// strategies, or fewer proposals, leave the others' as they are.
	for len(p.random) < len(trees) {
		p.random = append(p.random, nil)
	}
	for i, t := range trees {
		if opts.Order != OrderPaper {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		next := newRandom(opts.Seed, i)
		p.random[i] = p.random[i][:0]
		for range len(t.Nodes) + 1 {
			p.random[i] = append(p.random[i], next())
		}
	}
	p.order = p.order[:0]
	for i := range pool {
		if err := poll(ctx, i); err != nil {
			return err
		}
		value := math.Inf(1)
		for _, origin := range pool[i].Origins {
			v := float64(origin.Position)
			if opts.Order == OrderPaper {
				v *= p.random[origin.Strategy][origin.Position]
			}
			value = min(value, v)
		}
		p.order = append(p.order, ordered{value, int32(i)})
	}
	return nil
}

// newRandom gives the random numbers of a strategy: of 53 bits, in (0,1].
func newRandom(seed uint64, strategy int) func() float64 {
	rng := rand.NewPCG(seed, uint64(strategy))
	return func() float64 { return float64(rng.Uint64()>>11+1) / (1 << 53) }
}
