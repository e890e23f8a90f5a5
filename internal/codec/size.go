package codec

import (
	"math"
	"strings"

	"github.com/proposer/proposer/candidate"
	"github.com/proposer/proposer/mask"
)

// maxFloat is the maximum length of a score or similarity and the comma after it.
const maxFloat = 24

// BoxesSize returns a bound of the bytes that the file, size, boxes and scores of a row take in csv,
// NumPy or plain binary.
func BoxesSize(r *Row) int64 {
	line := 3*int64(len(r.File)) + 8*int64(len("-2147483648,")) + maxFloat
	return int64(len(r.Boxes))*line + 1<<10
}

// JSONSize returns a bound of the bytes that [AppendJSON] appends for a row. It takes linear time and
// allocates nothing.
func JSONSize(r *Row) int64 {
	n := int64(1<<10+64*len(r.Strategies)) + 6*int64(len(r.File)+len(r.ID)+len(r.Error)+len(r.Warning))
	sides := 4*int64(max(digits(r.Width), digits(r.Height))) + 6
	n += int64(len(r.Boxes)) * sides
	for _, s := range r.Scores {
		n += floatSize(s)
	}
	for _, m := range r.Masks {
		n += maskSize(m)
	}
	for i, origins := range r.Origins {
		if parts := r.Kinds[i].Parts(len(origins)); len(origins) >= parts && parts > 0 {
			n += originsSize(r.Kinds[i], origins, parts)
		}
	}
	if t := r.Tree; t != nil {
		for i := range t.Nodes {
			node := &t.Nodes[i]
			n += int64(digits(int(node.Parent))+digits(int(node.Size))) + 3 + floatSize(node.Similarity) + sides
		}
		for _, v := range t.Labels {
			n += int64(digits(int(v))) + 1
		}
	}
	return n
}

// originsSize returns a bound of the bytes that appendOrigins appends, and a comma.
func originsSize(kind candidate.Kind, all []candidate.Origin, parts int) int64 {
	const members = len(`{"strategies":256,"strategy":256,"kind":"","position":,"size":,"birth":,"death":},`)
	n := int64(members) + nodeSize(&all[0])
	if kind != candidate.FromTree {
		n += int64(len(kind.String()))
	}
	if parts > 1 {
		n += int64(members) + nodeSize(&all[parts-1])
	}
	return n
}

func nodeSize(o *candidate.Origin) int64 {
	return int64(digits(int(o.Position))+digits(int(o.Size))) + floatSize(o.Birth) + floatSize(o.Death)
}

// maskSize returns a bound of the bytes that appendMask appends, and a comma.
func maskSize(m mask.RLE) int64 {
	const members = len(`{"size":[,],"counts":""},`)
	counts := m.String()
	return int64(members+digits(m.Height)+digits(m.Width)) + int64(len(counts)+strings.Count(counts, `\`))
}

// floatSize returns a bound of the bytes that appendScore or appendSimilarity appends, and a comma. A
// float32 has at most 9 significant digits.
func floatSize(s float32) int64 {
	if a := math.Abs(float64(s)); a < 1e-3 || a >= 1e9 {
		return maxFloat
	}
	return int64(len("-0.00123456789,"))
}

// digits returns the length of n in decimal.
func digits(n int) int {
	d := 1
	if n < 0 {
		d++
	}
	for n /= 10; n != 0; n /= 10 {
		d++
	}
	return d
}
