package codec

import (
	"fmt"
	"math"
	"strconv"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/hierarchy"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/mask"
	"github.com/proposer/proposer/selective"
)

// validateEvidence validates the optional fields.
func (r *Row) validateEvidence() error {
	if r.Masks != nil && len(r.Masks) != len(r.Boxes) {
		return fmt.Errorf("codec: %q has %d boxes and %d masks: want equal numbers", r.File, len(r.Boxes), len(r.Masks))
	}
	for i, m := range r.Masks {
		if m.Width != r.Width || m.Height != r.Height {
			return fmt.Errorf("codec: %q: mask %d is of an image of %d×%d: want %d×%d", r.File, i, m.Width, m.Height, r.Width, r.Height)
		}
	}
	if r.Origins != nil && len(r.Origins) != len(r.Boxes) {
		return fmt.Errorf("codec: %q has %d boxes and origins of %d: want equal numbers", r.File, len(r.Boxes), len(r.Origins))
	}
	if len(r.Kinds) != len(r.Origins) {
		return fmt.Errorf("codec: %q has origins of %d boxes and kinds of %d: want equal numbers", r.File, len(r.Origins), len(r.Kinds))
	}
	for i, origins := range r.Origins {
		parts := r.Kinds[i].Parts(len(origins))
		if len(origins) < max(parts, 1) {
			return fmt.Errorf("codec: %q: box %d of kind %v has %d origins: want %d or more", r.File, i, r.Kinds[i], len(origins), max(parts, 1))
		}
		for _, o := range origins[:parts] {
			if !isSimilarity(o.Birth) || !isSimilarity(o.Death) {
				return fmt.Errorf("codec: %q: box %d has similarities %v and %v: want numbers", r.File, i, o.Birth, o.Death)
			}
		}
	}
	if t := r.Tree; t != nil {
		if len(t.Nodes)%2 == 0 || len(t.Labels)%2 != 0 {
			return fmt.Errorf("codec: %q has a tree of %d nodes and %d labels: want 2R−1 nodes and an even number of labels",
				r.File, len(t.Nodes), len(t.Labels))
		}
		for i := range t.Nodes {
			if !isSimilarity(t.Nodes[i].Similarity) {
				return fmt.Errorf("codec: %q: node %d has similarity %v: want a number", r.File, i, t.Nodes[i].Similarity)
			}
		}
	}
	return nil
}

// isSimilarity reports whether s can be a similarity; that of an initial region is +Inf.
func isSimilarity(s float32) bool { return !math.IsNaN(float64(s)) && !math.IsInf(float64(s), -1) }

// appendEvidence appends the optional fields, each after a comma.
func appendEvidence(dst []byte, r *Row) []byte {
	if r.Strategies != nil {
		dst = append(dst, `,"strategies":`...)
		dst = AppendStrategies(dst, r.Strategies)
	}
	if r.Masks != nil {
		dst = append(dst, `,"masks":`...)
		dst = appendList(dst, r.Masks, appendMask)
	}
	if r.Origins != nil {
		dst = append(dst, `,"evidence":`...)
		dst = append(dst, '[')
		for i, origins := range r.Origins {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendOrigins(dst, r.Kinds[i], origins)
		}
		dst = append(dst, ']')
	}
	if r.Tree != nil {
		dst = append(dst, `,"tree":`...)
		dst = appendTree(dst, r.Tree)
	}
	return dst
}

// AppendStrategies appends a list of
//
//	{"color":"HSV","k":50,"measures":"CTSF","min_size":50}
func AppendStrategies(dst []byte, strategies []selective.Strategy) []byte {
	return appendList(dst, strategies, func(dst []byte, s selective.Strategy) []byte {
		dst = append(dst, `{"color":"`...)
		dst = append(dst, s.Space.String()...)
		dst = append(dst, `","k":`...)
		dst = strconv.AppendFloat(dst, s.K, 'f', -1, 64)
		dst = append(dst, `,"measures":"`...)
		dst = append(dst, s.Weights.String()...)
		dst = appendField(dst, `","min_size":`, s.EffectiveMinSize())
		return append(dst, '}')
	})
}

func appendMask(dst []byte, m mask.RLE) []byte {
	dst = appendField(dst, `{"size":[`, m.Height)
	dst = appendField(dst, `,`, m.Width)
	dst = append(dst, `],"counts":"`...)
	for _, c := range []byte(m.String()) {
		if c == '\\' { // the only character of a mask that JSON escapes
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	return append(dst, `"}`...)
}

// appendOrigins appends the number of nodes, or of the groups of nodes that make a region, and the
// first node and the last one of the first group.
func appendOrigins(dst []byte, kind candidate.Kind, all []candidate.Origin) []byte {
	parts := kind.Parts(len(all))
	dst = appendField(dst, `{"strategies":`, len(all)/parts)
	dst = appendField(dst, `,"strategy":`, int(all[0].Strategy))
	if kind != candidate.FromTree {
		dst = append(dst, `,"kind":"`...)
		dst = append(dst, kind.String()...)
		dst = append(dst, '"')
	}
	dst = append(dst, ',')
	dst = appendNode(dst, &all[0])
	if parts > 1 {
		other := &all[parts-1]
		dst = append(dst, `,"other":{`...)
		if kind == candidate.Joined {
			dst = append(appendField(dst, `"strategy":`, int(other.Strategy)), ',')
		}
		dst = append(appendNode(dst, other), '}')
	}
	return append(dst, '}')
}

// appendNode appends the members that describe the node of an origin.
func appendNode(dst []byte, o *candidate.Origin) []byte {
	dst = appendField(dst, `"position":`, int(o.Position))
	dst = appendField(dst, `,"size":`, int(o.Size))
	dst = append(dst, `,"birth":`...)
	dst = appendSimilarity(dst, o.Birth)
	dst = append(dst, `,"death":`...)
	return appendSimilarity(dst, o.Death)
}

func appendTree(dst []byte, t *propose.Tree) []byte {
	dst = appendField(dst, `{"strategy":`, t.Strategy)
	dst = appendField(dst, `,"width":`, t.Width)
	dst = appendField(dst, `,"height":`, t.Height)
	dst = appendField(dst, `,"leaves":`, t.Leaves())
	dst = append(dst, `,"parents":`...)
	dst = appendList(dst, t.Nodes, func(dst []byte, n hierarchy.Node) []byte { return strconv.AppendInt(dst, int64(n.Parent), 10) })
	dst = append(dst, `,"similarities":`...)
	dst = appendList(dst, t.Nodes, func(dst []byte, n hierarchy.Node) []byte { return appendSimilarity(dst, n.Similarity) })
	dst = append(dst, `,"sizes":`...)
	dst = appendList(dst, t.Nodes, func(dst []byte, n hierarchy.Node) []byte { return strconv.AppendInt(dst, int64(n.Size), 10) })
	dst = append(dst, `,"boxes":`...)
	dst = appendList(dst, t.Nodes, func(dst []byte, n hierarchy.Node) []byte { return appendBoxArray(dst, n.Box) })
	dst = append(dst, `,"labels":`...)
	dst = appendList(dst, t.Labels, func(dst []byte, v int32) []byte { return strconv.AppendInt(dst, int64(v), 10) })
	return append(dst, '}')
}

// appendSimilarity appends a similarity; that of an initial region is null.
func appendSimilarity(dst []byte, s float32) []byte {
	if math.IsInf(float64(s), 1) {
		return append(dst, "null"...)
	}
	return appendScore(dst, s)
}

func appendField(dst []byte, key string, n int) []byte {
	return strconv.AppendInt(append(dst, key...), int64(n), 10)
}

func appendList[T any](dst []byte, items []T, item func(dst []byte, v T) []byte) []byte {
	dst = append(dst, '[')
	for i, v := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = item(dst, v)
	}
	return append(dst, ']')
}
