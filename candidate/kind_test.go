package candidate

import "testing"

func TestKind(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		name  string
		parts int
	}{
		{FromTree, "tree", 1},
		{Union, "union", 2},
		{Refined, "refined", 1},
		{RefinedUnion, "refined union", 2},
		{numKinds, "Kind(4)", 1},
	} {
		if c.kind.String() != c.name || c.kind.Parts() != c.parts {
			t.Errorf("got %v with %d parts, want %s with %d", c.kind, c.kind.Parts(), c.name, c.parts)
		}
	}
}
