package channels

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"github.com/proposer/proposer/internal/kernels"
)

const formatVersion = 1

// file is the JSON form of a network.
type file struct {
	Format int         `json:"format"`
	Layers []fileLayer `json:"layers"`
}

// fileLayer is a layer: activations are (sum + bias)·scale, where the weights are int8 in base64, in the
// order output channel, row, column, input channel.
type fileLayer struct {
	Name    string    `json:"name"`
	Weights string    `json:"weights"`
	Bias    []int32   `json:"bias"`
	Scale   []float32 `json:"scale"`
}

// Read returns the network of a file. The error says what is wrong with the file.
func Read(data []byte) (*Network, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("channels: %w", err)
	}
	if f.Format != formatVersion {
		return nil, fmt.Errorf("channels: format %d: want %d", f.Format, formatVersion)
	}
	if len(f.Layers) != len(layers) {
		return nil, fmt.Errorf("channels: %d layers: want %d", len(f.Layers), len(layers))
	}
	n := new(Network)
	for i := range layers {
		c, err := f.Layers[i].convolution(&layers[i])
		if err != nil {
			return nil, fmt.Errorf("channels: layer %s: %w", layers[i].name, err)
		}
		n.convolutions[i] = c
	}
	return n, nil
}

// convolution returns the convolution of a layer.
func (f *fileLayer) convolution(l *layerShape) (*kernels.Convolution, error) {
	if f.Name != l.name {
		return nil, fmt.Errorf("name %q: want %q", f.Name, l.name)
	}
	weights, err := base64.StdEncoding.DecodeString(f.Weights)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	taps := l.side * l.side * l.in
	if len(weights) != l.out*taps {
		return nil, fmt.Errorf("%d weights: want %d", len(weights), l.out*taps)
	}
	if len(f.Bias) != l.out || len(f.Scale) != l.out {
		return nil, fmt.Errorf("%d biases and %d scales: want %d", len(f.Bias), len(f.Scale), l.out)
	}
	for k, scale := range f.Scale {
		if !(scale > 0) {
			return nil, fmt.Errorf("scale %v: want a positive number", scale)
		}
		largest := max(int64(f.Bias[k]), -int64(f.Bias[k]))
		for _, w := range weights[k*taps:][:taps] {
			largest += kernels.MaxActivation * max(int64(int8(w)), -int64(int8(w)))
		}
		if largest > math.MaxInt32 {
			return nil, fmt.Errorf("channel %d: sums up to %d: want at most %d", k, largest, math.MaxInt32)
		}
	}
	in := (l.in + 3) &^ 3 // the input has a channel of zeros
	padded := make([]int8, l.out*l.side*l.side*in)
	for i, w := range weights {
		padded[i/l.in*in+i%l.in] = int8(w)
	}
	shape := kernels.ConvolutionShape{Side: l.side, Stride: l.stride, In: in, Out: l.out, High: kernels.MaxActivation}
	switch l.output {
	case linear:
		shape.Low = -kernels.MaxActivation
	case channel:
		shape.High = Max
	}
	return kernels.NewConvolution(shape, padded, f.Bias, f.Scale), nil
}

//go:embed channels.json
var embedded []byte

// Default returns the network that ships with the package.
var Default = sync.OnceValue(func() *Network {
	n, err := Read(embedded)
	if err != nil {
		panic(err)
	}
	return n
})
