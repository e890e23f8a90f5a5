package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/raster"
	"github.com/proposer/proposer/segment"
	"github.com/proposer/proposer/selective"
)

// newSearcher returns a Searcher that ranks by the paper's order, as the peers do.
func newSearcher(mode string, threads int) (*selective.Searcher, error) {
	opts, err := selective.Mode(mode)
	if err != nil {
		return nil, err
	}
	opts.Order = selective.OrderPaper
	opts.Threads = threads
	return selective.New(opts)
}

// A localEngine searches in this process. It has all images in memory, in color as the peers do.
type localEngine struct {
	files     []string
	images    map[string]*raster.Image
	image     *raster.Image // loaded last
	searchers map[searcherKey]*selective.Searcher
	graph     *segment.Graph
	labels    *raster.LabelImage
}

type searcherKey struct {
	mode    string
	threads int
}

func newLocalEngine(ctx context.Context, files []string) (*localEngine, error) {
	o := &localEngine{
		files: files, images: map[string]*raster.Image{}, searchers: map[searcherKey]*selective.Searcher{},
		graph: new(segment.Graph), labels: new(raster.LabelImage),
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		p, err := imageio.Decode(ctx, data, imageio.Options{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if o.images[file], err = raster.Convert(ctx, nil, p.Image, raster.RGB); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *localEngine) load(_ context.Context, file string) (width, height int, err error) {
	o.image = o.images[file]
	return o.image.Width, o.image.Height, nil
}

func (o *localEngine) run(ctx context.Context, work string, threads int) (float64, error) {
	// The garbage collector must not use more threads either.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	start := time.Now()
	var err error
	switch work {
	case segmentEight:
		err = o.segment(ctx, segment.Eight)
	case segmentFour:
		err = o.segment(ctx, segment.Four)
	default:
		err = o.search(ctx, o.image, work, threads)
	}
	return time.Since(start).Seconds(), err
}

// search searches an image, with memory reused from earlier searches.
func (o *localEngine) search(ctx context.Context, img *raster.Image, mode string, threads int) error {
	key := searcherKey{mode, threads}
	s := o.searchers[key]
	if s == nil {
		var err error
		if s, err = newSearcher(mode, threads); err != nil {
			return err
		}
		o.searchers[key] = s
	}
	_, err := s.Search(ctx, img)
	return err
}

func (o *localEngine) segment(ctx context.Context, c segment.Connectivity) error {
	if err := o.graph.Build(ctx, o.image, segment.Options{Sigma: 0.8, Connectivity: c, MinK: 300, SingleScale: true}); err != nil {
		return err
	}
	_, err := o.graph.Segment(ctx, o.labels, 300, 20)
	return err
}

// describe returns the number, origin and sizes of the images.
func (o *localEngine) describe(c config) string {
	var pixels []float64
	low, high := o.images[o.files[0]], o.images[o.files[0]]
	for _, file := range o.files {
		p := o.images[file]
		pixels = append(pixels, float64(len(p.Plane(0))))
		if len(p.Pix) < len(low.Pix) {
			low = p
		}
		if len(p.Pix) > len(high.Pix) {
			high = p
		}
	}
	origin := "rendered scenes"
	if c.images != "" {
		origin = "of " + c.folder()
	}
	return fmt.Sprintf("%d %s, %d×%d to %d×%d, median %.2f megapixels",
		len(o.files), origin, low.Width, low.Height, high.Width, high.Height, median(pixels)/1e6)
}

// renderScenes writes n scenes of 640×480 pixels to the folder and returns their files.
func renderScenes(folder string, n int) ([]string, error) {
	files := make([]string, n)
	for i := range files {
		files[i] = filepath.Join(folder, fmt.Sprintf("scene%03d.png", i))
		if err := os.WriteFile(files[i], scene.Render(uint64(i+1), 640, 480, 6+i%7).PNG(), 0o644); err != nil {
			return nil, err
		}
	}
	return files, nil
}
