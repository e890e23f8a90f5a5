// Package channels computes learned channels of an image: the output of a small convolutional network that
// is trained to tell objects from background. Like gradient magnitudes and colors, they are summed up over
// boxes by an integral image (Dollár et al., Integral Channel Features, BMVC 2009).
//
// The network goes down to 1/32 of the resolution of its input and up to 1/4 again, adding what is seen at
// each resolution, as feature pyramids do (Lin et al., CVPR 2017). It has no normalization layers: training
// folds them into weights and biases.
//
// All arithmetic is in integers, except for one product with a float32 per value, which is rounded. So the
// channels are equal on all machines, to the bit.
package channels

import (
	"context"
	"fmt"

	"github.com/proposer/proposer/internal/freelist"
	"github.com/proposer/proposer/internal/kernels"
	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/raster"
)

// Bounds and sizes of the maps of channels.
const (
	// Count is the number of channels.
	Count = 16
	// Max is the largest value of a channel; the smallest is 0.
	Max = 255
	// Shift is the logarithm of the number of pixels of the input on a side of a cell of the channels.
	Shift = 2
)

// layerShape is a convolution of the network, and the maps that it reads and writes.
type layerShape struct {
	name         string
	side, stride int
	in, out      int
	output       activation
	from, to     int // indices of maps
	add          int // index of a map of half the size that is added to the output, or −1
}

// activation is how the output of a layer is limited.
type activation int

const (
	rectified activation = iota // to 0 or more
	linear                      // to ±kernels.MaxActivation
	channel                     // to 0 to Max
)

// layers is the network. Maps that are no longer in use are overwritten: map 3 is what is seen at 1/4 of
// the resolution of the input, map 5 at 1/8, 7 at 1/16, and 9 at 1/32.
var layers = [...]layerShape{
	{"c1", 3, 2, 3, 16, rectified, 0, 1, -1},
	{"c2", 3, 2, 16, 24, rectified, 1, 2, -1},
	{"c3", 3, 1, 24, 32, rectified, 2, 3, -1},
	{"c4", 3, 2, 32, 48, rectified, 3, 4, -1},
	{"c5", 3, 1, 48, 48, rectified, 4, 5, -1},
	{"c6", 3, 2, 48, 64, rectified, 5, 6, -1},
	{"c7", 3, 1, 64, 64, rectified, 6, 7, -1},
	{"c8", 3, 2, 64, 96, rectified, 7, 8, -1},
	{"c9", 3, 1, 96, 64, rectified, 8, 9, -1},
	{"c10", 1, 1, 64, 64, linear, 7, 6, 9},
	{"c11", 1, 1, 64, 48, linear, 6, 7, -1},
	{"c12", 1, 1, 48, 48, linear, 5, 4, 7},
	{"c13", 3, 1, 48, 48, rectified, 4, 5, -1},
	{"c14", 1, 1, 48, 32, linear, 5, 4, -1},
	{"c15", 1, 1, 32, 32, linear, 3, 1, 4},
	{"c16", 3, 1, 32, 32, rectified, 1, 3, -1},
	{"c17", 1, 1, 32, Count, channel, 3, 1, -1},
}

const (
	numMaps   = 10
	inputMap  = 0
	outputMap = 1
)

// paddedInput is the number of channels of the input with those that are 0.
const paddedInput = 4

// A Network computes channels. It is safe for concurrent use.
type Network struct {
	convolutions [len(layers)]*kernels.Convolution
}

// A Workspace holds the result of a network and the memory that it is computed in.
type Workspace struct {
	maps [numMaps]pixelMap
}

// pixelMap is the activations of a layer, with a border of zeros, one pixel wide.
type pixelMap struct {
	width, height, channels int
	values                  []int16
}

func (m *pixelMap) reset(width, height, channels int) {
	m.width, m.height, m.channels = width, height, channels
	m.values = freelist.Resize(m.values, m.stride()*(height+2))
	clear(m.values[:m.stride()])
	clear(m.values[m.stride()*(height+1):])
	for y := range height {
		row := m.values[m.stride()*(y+1):][:m.stride()]
		clear(row[:channels])
		clear(row[len(row)-channels:])
	}
}

// stride returns the number of values of a row.
func (m *pixelMap) stride() int { return (m.width + 2) * m.channels }

// from returns the rows of a map from y on, with a border of 0 or 1 pixels on the left and above.
func (m *pixelMap) from(y, border int) kernels.Activations {
	return kernels.Activations{Values: m.values[m.stride()*(y+1-border)+(1-border)*m.channels:], Stride: m.stride()}
}

// row returns the values of row y.
func (m *pixelMap) row(y int) []int16 {
	return m.values[m.stride()*(y+1)+m.channels:][:m.width*m.channels]
}

// Size returns the number of cells of the channels in x and y.
func (w *Workspace) Size() (width, height int) {
	m := &w.maps[outputMap]
	return m.width, m.height
}

// Row returns the channels of row y, from 0 to Max, cell by cell.
func (w *Workspace) Row(y int) []int16 { return w.maps[outputMap].row(y) }

// Compute computes the channels of an image in Lab, in cells of 1<<Shift pixels of this image; at the right
// and lower borders they may be smaller. The rows of a layer are computed by run. The only error is the
// context's. Time is linear in the pixels: 2,800 multiplications each. Memory is about 30 bytes a pixel.
func (n *Network) Compute(ctx context.Context, run parallel.Runner, w *Workspace, lab *raster.Image) error {
	if lab.Space != raster.Lab {
		panic(fmt.Sprintf("channels: image in %v: want Lab", lab.Space))
	}
	if err := w.load(ctx, lab); err != nil {
		return err
	}
	for i := range layers {
		if err := n.computeLayer(ctx, run, w, i); err != nil {
			return err
		}
	}
	return nil
}

// load sets the input of the network: samples less 128.
func (w *Workspace) load(ctx context.Context, lab *raster.Image) error {
	m := &w.maps[inputMap]
	m.reset(lab.Width, lab.Height, paddedInput)
	for y := range lab.Height {
		if err := ctx.Err(); err != nil {
			return err
		}
		var planes [3][]uint8
		for c := range planes {
			planes[c] = lab.Plane(c)[y*lab.Width:][:lab.Width]
		}
		row := m.row(y)
		for x, v := range planes[0] {
			to := row[paddedInput*x:][:paddedInput]
			to[0], to[1], to[2], to[3] = int16(v)-128, int16(planes[1][x])-128, int16(planes[2][x])-128, 0
		}
	}
	return nil
}

// taskSize is the number of multiplications of a task, below a millisecond.
const taskSize = 1 << 22

// computeLayer computes a layer from those before it.
func (n *Network) computeLayer(ctx context.Context, run parallel.Runner, w *Workspace, i int) error {
	l := &layers[i]
	src, dst := &w.maps[l.from], &w.maps[l.to]
	dst.reset((src.width-1)/l.stride+1, (src.height-1)/l.stride+1, l.out)
	rows := max(taskSize/(dst.width*l.out*l.in*l.side*l.side), 1)
	return run.Run((dst.height-1)/rows+1, func(task int) error {
		first, last := task*rows, min((task+1)*rows, dst.height)
		n.convolutions[i].Apply(dst.from(first, 0), src.from(first*l.stride, l.side/2), dst.width, last-first)
		if l.add >= 0 {
			for y := first; y < last; y++ {
				kernels.AddUpsampled(dst.row(y), w.maps[l.add].row(y/2), l.out)
			}
		}
		return ctx.Err()
	})
}
