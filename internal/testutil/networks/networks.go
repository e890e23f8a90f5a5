// Package networks makes networks with random weights for tests of package channels and its users.
package networks

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
)

// A File is the JSON form of a network.
type File struct {
	Format int     `json:"format"`
	Layers []Layer `json:"layers"`
}

// A Layer is a layer of a File.
type Layer struct {
	Name    string    `json:"name"`
	Weights []byte    `json:"weights"` // int8, which JSON has in base64
	Bias    []int32   `json:"bias"`
	Scale   []float32 `json:"scale"`
}

// Random returns a network of random weights. Its activations use most of their range, and some are
// limited.
func Random(seed uint64) *File {
	rng := rand.New(rand.NewPCG(seed, 1))
	f := &File{Format: 1}
	for _, l := range []struct {
		name          string
		side, in, out int
		gain          float64
	}{
		{"c1", 3, 3, 16, 12},
		{"c2", 3, 16, 24, 1.4},
		{"c3", 3, 24, 32, 1.4},
		{"c4", 3, 32, 48, 1.4},
		{"c5", 3, 48, 48, 1.4},
		{"c6", 3, 48, 64, 1.4},
		{"c7", 3, 64, 64, 1.4},
		{"c8", 3, 64, 96, 1.4},
		{"c9", 3, 96, 64, 1.4},
		{"c10", 1, 64, 64, 1.4},
		{"c11", 1, 64, 48, 1.4},
		{"c12", 1, 48, 48, 1.4},
		{"c13", 3, 48, 48, 1},
		{"c14", 1, 48, 32, 1},
		{"c15", 1, 32, 32, 1},
		{"c16", 3, 32, 32, 1},
		{"c17", 1, 32, 16, .1},
	} {
		layer := Layer{Name: l.name, Weights: make([]byte, l.out*l.side*l.side*l.in)}
		for i := range layer.Weights {
			layer.Weights[i] = byte(rng.IntN(255) - 127)
		}
		sum := 73 * math.Sqrt(float64(l.side*l.side*l.in)) // of weights, as standard deviation
		for range l.out {
			layer.Bias = append(layer.Bias, int32(rng.NormFloat64()*sum*100/l.gain))
			layer.Scale = append(layer.Scale, float32(l.gain/sum*(.8+.4*rng.Float64())))
		}
		f.Layers = append(f.Layers, layer)
	}
	return f
}

// Encode returns the JSON form.
func (f *File) Encode(tb testing.TB) []byte {
	tb.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
