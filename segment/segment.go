package segment

// Connectivity is the number of neighbours a pixel has in the grid graph.
type Connectivity uint8

// The grids.
const (
	Eight Connectivity = 8
	Four  Connectivity = 4
)
