package similarity

// Weights are the a_i of s = a1·s_colour + a2·s_texture + a3·s_size + a4·s_fill, each in [0,1].
type Weights struct {
	Colour, Texture, Size, Fill float64
}
