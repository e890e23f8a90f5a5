package segment

import (
	"context"

	"github.com/proposer/proposer/internal/freelist"
)

// keepComponents makes every tile component a shared component.
func (g *Graph) keepComponents() {
	g.shared, g.tileComponents = g.tileComponents, g.shared
	g.edges = g.tileEdges
	g.sharedOf = freelist.Resize(g.sharedOf, len(g.shared))
	for i := range g.sharedOf {
		g.sharedOf[i] = int32(i)
	}
}

const seenBits = 15 // of the hash of a pair

func hashPair(a, b int32) uint32 {
	return (uint32(a)*0x9e3779b1 ^ uint32(b)*0x85ebca6b) >> (32 - seenBits)
}

// reduce joins the tile components to shared components as far as the smallest scale, and
// with it all others, agrees, and lists the edges between them.
func (g *Graph) reduce(ctx context.Context) error {
	sets := &g.sets
	sets.init(g.tileComponents, g.minScale)
	// A direct-mapped cache of pairs, indexed by their hashes, keeps nearly all repetitions
	// out of the list. The first edge between two components is always listed first.
	g.seenPairs = freelist.Resize(g.seenPairs, 1<<seenBits)
	clear(g.seenPairs)
	g.edges = g.tileEdges[:0] // overwrites only edges that have been read
	for start := 0; start < len(g.tileEdges); start += pollEvery {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range g.tileEdges[start:min(start+pollEvery, len(g.tileEdges))] {
			a, b := sets.find(e.a), sets.find(e.b)
			if a == b {
				continue
			}
			if sets.threshold(a, b).accepts(e.weight) {
				sets.join(a, b, e.weight)
				continue
			}
			sets.block(a)
			sets.block(b)
			a, b = min(a, b), max(a, b)
			pair := uint64(a)<<32 | uint64(b)
			if seen := &g.seenPairs[hashPair(a, b)]; *seen != pair {
				*seen = pair
				g.edges = append(g.edges, edge{a, b, e.weight})
			}
		}
	}

	g.shared = g.shared[:0]
	g.sharedOf = freelist.Resize(g.sharedOf, len(g.tileComponents))
	for i := range g.sharedOf {
		if sets.find(int32(i)) == int32(i) {
			g.sharedOf[i] = int32(len(g.shared))
			g.shared = append(g.shared, sets.component(int32(i)))
		}
	}
	// Blocked components do not grow, so the ends of the edges are still roots.
	for i := range g.edges {
		e := &g.edges[i]
		e.a, e.b = g.sharedOf[e.a], g.sharedOf[e.b]
	}
	for i := range g.sharedOf {
		g.sharedOf[i] = g.sharedOf[sets.find(int32(i))]
	}
	return ctx.Err()
}
