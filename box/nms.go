package box

// NMS is a non-maximum suppression. The zero value is off.
type NMS struct {
	// Threshold is β: a box goes when its IoU with a kept, better box exceeds it. In (0,1]; 0 is off.
	Threshold float64
	// Decay multiplies Threshold after each kept box; 0 and 1 leave it alone.
	Decay float64
}
