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
		{Joined, "joined", 5},
		{numKinds, "Kind(3)", 1},
	} {
		if c.kind.String() != c.name || c.kind.Parts(5) != c.parts {
			t.Errorf("got %v with %d parts, want %s with %d", c.kind, c.kind.Parts(5), c.name, c.parts)
		}
	}
}
