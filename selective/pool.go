package selective

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/hierarchy"
)

// poll looks at the context now and then: i counts the rounds of a loop.
func poll(ctx context.Context, i int) error {
	if i%(1<<14) == 0 {
		return ctx.Err()
	}
	return nil
}

// newPool is every box of every tree once, with its origins: in strategy order,
// each tree from its root.
func newPool(ctx context.Context, trees []*hierarchy.Tree, minSide int) ([]Proposal, error) {
	total := 0
	for _, t := range trees {
		total += len(t.Nodes)
	}
	var (
		index   = map[box.Box]int32{}
		boxes   []box.Box                 // by proposal
		counts  []int32                   // by proposal: its number of origins
		members = make([]int32, 0, total) // by node, over all trees: its proposal, or −1
	)
	for _, t := range trees {
		for i := len(t.Nodes) - 1; i >= 0; i-- {
			if err := poll(ctx, i); err != nil {
				return nil, err
			}
			b := t.Nodes[i].Box
			if int(b.Width()) < minSide || int(b.Height()) < minSide {
				members = append(members, -1)
				continue
			}
			at, ok := index[b]
			if !ok {
				at = int32(len(boxes))
				index[b] = at
				boxes, counts = append(boxes, b), append(counts, 0)
			}
			members = append(members, at)
			counts[at]++
		}
	}
	pool, origins := make([]Proposal, len(boxes)), make([]Origin, total)
	for i, n := range counts {
		pool[i], origins = Proposal{Box: boxes[i], Origins: origins[:0:n]}, origins[n:]
	}
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
			node, death := t.Nodes[i], float32(0)
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
func rank(ctx context.Context, pool []Proposal, trees []*hierarchy.Tree, opts Options) ([]Proposal, error) {
	values, err := opts.Order.values(ctx, pool, trees, opts.Seed)
	if err != nil {
		return nil, err
	}
	order := all(len(pool))
	compared, cancelled := 0, false
	slices.SortFunc(order, func(a, b int) int {
		compared++
		cancelled = cancelled || poll(ctx, compared) != nil
		if cancelled {
			return 0 // what is left to sort is done at once
		}
		return cmp.Or(cmp.Compare(values[a], values[b]), cmp.Compare(a, b))
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	boxes := make([]box.Box, len(pool))
	for i, at := range order {
		boxes[i] = pool[at].Box
	}
	kept, err := opts.NMS.Keep(ctx, boxes, opts.Max)
	if err != nil {
		return nil, err
	}
	ranked := make([]Proposal, len(kept))
	for i, k := range kept {
		if err := poll(ctx, i); err != nil {
			return nil, err
		}
		p := pool[order[k]]
		p.Score = float32(1 / (1 + values[order[k]]))
		if i > 0 {
			// Ties, and values that float32 cannot tell apart, step down by the least there is.
			p.Score = min(p.Score, math.Nextafter32(ranked[i-1].Score, 0))
		}
		ranked[i] = p
	}
	return ranked, nil
}

// values gives each proposal its place in the order: the lowest of its origins', low is good.
func (o Order) values(ctx context.Context, pool []Proposal, trees []*hierarchy.Tree, seed uint64) ([]float64, error) {
	// The random numbers belong to the strategy and the position alone: more
	// strategies, or fewer proposals, leave the others' as they are.
	random := make([][]float64, len(trees))
	for i, t := range trees {
		if o != OrderPaper {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		next := newRandom(seed, i)
		random[i] = make([]float64, len(t.Nodes)+1)
		for position := range random[i] {
			random[i][position] = next()
		}
	}
	values := make([]float64, len(pool))
	for i, p := range pool {
		if err := poll(ctx, i); err != nil {
			return nil, err
		}
		values[i] = math.Inf(1)
		for _, origin := range p.Origins {
			v := float64(origin.Position)
			if o == OrderPaper {
				v *= random[origin.Strategy][origin.Position]
			}
			values[i] = min(values[i], v)
		}
	}
	return values, nil
}

// newRandom gives the random numbers of a strategy: of 53 bits, in (0,1].
func newRandom(seed uint64, strategy int) func() float64 {
	rng := rand.NewPCG(seed, uint64(strategy))
	return func() float64 { return float64(rng.Uint64()>>11+1) / (1 << 53) }
}
