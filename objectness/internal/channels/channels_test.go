package channels

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/parallel"
	"github.com/proposer/proposer/internal/testutil/networks"
	"github.com/proposer/proposer/raster"
)

// randomImage returns an image in Lab of random samples that change smoothly.
func randomImage(seed uint64, width, height int) *raster.Image {
	rng := rand.New(rand.NewPCG(seed, 2))
	img := raster.New(raster.Lab, width, height)
	for c := range 3 {
		fx, fy, phase := rng.Float64()/4, rng.Float64()/4, rng.Float64()*6
		plane := img.Plane(c)
		for i := range plane {
			x, y := float64(i%width), float64(i/width)
			plane[i] = uint8(128 + 90*math.Sin(fx*x+fy*y+phase) + 37*rng.Float64())
		}
	}
	return img
}

func read(tb testing.TB, f *networks.File) *Network {
	tb.Helper()
	n, err := Read(f.Encode(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// tensor is the activations of a layer: [y][x][channel].
type tensor [][][]int64

// referenceLayer computes a layer by the definition of the file format. low and high limit the output.
func referenceLayer(f *networks.File, name string, in tensor, stride int, low, high int64) tensor {
	l := f.Layers[slices.IndexFunc(f.Layers, func(l networks.Layer) bool { return l.Name == name })]
	channels, outputs := len(in[0][0]), len(l.Bias)
	side := 3
	if len(l.Weights) == channels*outputs {
		side = 1
	}
	var out tensor
	for y := 0; y < len(in); y += stride {
		var row [][]int64
		for x := 0; x < len(in[0]); x += stride {
			pixel := make([]int64, outputs)
			for o := range pixel {
				sum := int64(l.Bias[o])
				for ky := range side {
					for kx := range side {
						iy, ix := y+ky-side/2, x+kx-side/2
						if iy < 0 || iy >= len(in) || ix < 0 || ix >= len(in[0]) {
							continue
						}
						for c, v := range in[iy][ix] {
							sum += v * int64(int8(l.Weights[((o*side+ky)*side+kx)*channels+c]))
						}
					}
				}
				v := math.RoundToEven(float64(float32(float32(sum) * l.Scale[o])))
				pixel[o] = int64(min(max(v, float64(low)), float64(high)))
			}
			row = append(row, pixel)
		}
		out = append(out, row)
	}
	return out
}

// referenceAdd adds a map of half the size, and limits the sums to 0 to 4095.
func referenceAdd(a, half tensor) tensor {
	var out tensor
	for y := range a {
		var row [][]int64
		for x := range a[y] {
			pixel := make([]int64, len(a[y][x]))
			for c, v := range a[y][x] {
				pixel[c] = min(max(v+half[y/2][x/2][c], 0), 4095)
			}
			row = append(row, pixel)
		}
		out = append(out, row)
	}
	return out
}

// referenceChannels computes the network layer by layer.
func referenceChannels(f *networks.File, img *raster.Image) tensor {
	var in tensor
	for y := range img.Height {
		var row [][]int64
		for x := range img.Width {
			var pixel []int64
			for c := range 3 {
				pixel = append(pixel, int64(img.Plane(c)[y*img.Width+x])-128)
			}
			row = append(row, pixel)
		}
		in = append(in, row)
	}
	conv := func(name string, in tensor, stride int) tensor { return referenceLayer(f, name, in, stride, 0, 4095) }
	linear := func(name string, in tensor) tensor { return referenceLayer(f, name, in, 1, -4095, 4095) }
	a := conv("c3", conv("c2", conv("c1", in, 2), 2), 1)
	b := conv("c5", conv("c4", a, 2), 1)
	c := conv("c7", conv("c6", b, 2), 1)
	d := conv("c9", conv("c8", c, 2), 1)
	c2 := referenceAdd(linear("c10", c), d)
	b2 := referenceAdd(linear("c12", b), linear("c11", c2))
	b3 := conv("c13", b2, 1)
	a2 := referenceAdd(linear("c15", a), linear("c14", b3))
	return referenceLayer(f, "c17", conv("c16", a2, 1), 1, 0, 255)
}

func TestComputeEqualsReference(t *testing.T) {
	var w Workspace // is reused, for larger and smaller images
	for i, size := range [][2]int{{64, 48}, {1, 1}, {2, 1}, {1, 9}, {97, 3}, {53, 71}, {5, 5}, {130, 33}} {
		t.Run(fmt.Sprintf("%d×%d", size[0], size[1]), func(t *testing.T) {
			f := networks.Random(uint64(i))
			img := randomImage(uint64(i), size[0], size[1])
			if err := read(t, f).Compute(t.Context(), nil, &w, img); err != nil {
				t.Fatal(err)
			}
			want := referenceChannels(f, img)
			width, height := w.Size()
			if height != len(want) || width != len(want[0]) {
				t.Fatalf("got %d×%d cells, want %d×%d", width, height, len(want[0]), len(want))
			}
			values := map[int16]bool{}
			for y := range want {
				for x := range want[y] {
					for c, v := range want[y][x] {
						got := w.Row(y)[x*Count+c]
						if int64(got) != v {
							t.Fatalf("cell %d,%d, channel %d: got %d, want %d", x, y, c, got, v)
						}
						values[got] = true
					}
				}
			}
			if size[0]*size[1] > 1000 && len(values) < 100 {
				t.Errorf("%d distinct values: the test tells little", len(values))
			}
		})
	}
}

func TestComputeEqualsAtAnyNumberOfThreads(t *testing.T) {
	n := read(t, networks.Random(1))
	img := randomImage(1, 256, 200)
	var want []int16
	for _, threads := range []int{1, 2, 5} {
		var w Workspace
		if err := n.Compute(t.Context(), parallel.NewPool(threads).Run, &w, img); err != nil {
			t.Fatal(err)
		}
		var got []int16
		_, height := w.Size()
		for y := range height {
			got = append(got, w.Row(y)...)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d threads: got other channels than with 1", threads)
		}
	}
}

func TestComputeIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var w Workspace
	if err := read(t, networks.Random(1)).Compute(ctx, nil, &w, randomImage(1, 9, 9)); err != context.Canceled {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestComputeDoesNotAllocate(t *testing.T) {
	n := read(t, networks.Random(1))
	img := randomImage(1, 64, 64)
	var w Workspace
	compute := func() {
		if err := n.Compute(context.Background(), nil, &w, img); err != nil {
			t.Fatal(err)
		}
	}
	compute()
	if got := testing.AllocsPerRun(3, compute); got > float64(len(layers)) { // a closure each
		t.Errorf("%v allocations, want at most %d", got, len(layers))
	}
}

func TestReadErrors(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(f *networks.File)
	}{
		{"format", "format 2: want 1", func(f *networks.File) { f.Format = 2 }},
		{"no layers", "0 layers: want 17", func(f *networks.File) { f.Layers = nil }},
		{"layers", "18 layers: want 17", func(f *networks.File) { f.Layers = append(f.Layers, f.Layers[0]) }},
		{"name", `layer c2: name "c3": want "c2"`, func(f *networks.File) { f.Layers[1].Name = "c3" }},
		{"weights", "layer c1: 431 weights: want 432", func(f *networks.File) { f.Layers[0].Weights = f.Layers[0].Weights[1:] }},
		{"biases", "layer c17: 15 biases and 16 scales: want 16", func(f *networks.File) { f.Layers[16].Bias = f.Layers[16].Bias[1:] }},
		{"scales", "layer c17: 16 biases and 0 scales: want 16", func(f *networks.File) { f.Layers[16].Scale = nil }},
		{"no scale", "layer c9: scale 0: want a positive number", func(f *networks.File) { f.Layers[8].Scale[3] = 0 }},
		{"large sum", "layer c1: channel 2: sums up to 21", func(f *networks.File) { f.Layers[0].Bias[2] = math.MinInt32 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := networks.Random(1)
			c.change(f)
			_, err := Read(f.Encode(t))
			if err == nil || !strings.Contains(err.Error(), "channels: "+c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
	for _, text := range []string{"", "null", `{"format": 1, "layers": [{"weights": "?"}]}`, `{"format": 1, "layers": [{"bias": [2147483648]}]}`} {
		if _, err := Read([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "channels: ") {
			t.Errorf("%q: got error %v, want one of this package", text, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format": 1, "layers": [{"name": "c1", "weights": "AAAA", "bias": [1], "scale": [0.5]}]}`))
	f.Add(networks.Random(1).Encode(f))
	img := randomImage(1, 5, 3)
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Read(data)
		if err != nil {
			return
		}
		var w Workspace
		if err := n.Compute(t.Context(), nil, &w, img); err != nil {
			t.Fatal(err)
		}
		_, height := w.Size()
		for y := range height {
			for _, v := range w.Row(y) {
				if v < 0 || v > Max {
					t.Fatalf("channel %d: want 0 to %d", v, Max)
				}
			}
		}
	})
}

func BenchmarkCompute(b *testing.B) {
	n := read(b, networks.Random(1))
	img := randomImage(1, 320, 240) // 640×480 pixels
	var w Workspace
	for b.Loop() {
		if err := n.Compute(b.Context(), nil, &w, img); err != nil {
			b.Fatal(err)
		}
	}
}
