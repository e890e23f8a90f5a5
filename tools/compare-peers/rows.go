package main

import (
	"regexp"
	"slices"
)

// A run is a piece of work that someone does on a number of threads.
type run struct {
	who, work string
	threads   int
}

// Who works. OpenCV and scikit-image are one process.
const (
	ourselves   = "proposer"
	opencvPeer  = "OpenCV"
	skimagePeer = "scikit-image"
	dlibPeer    = "dlib"
)

// A row compares two runs: ours is to be goal times as fast; 0 is no goal.
type row struct {
	ours, peer run
	goal       float64
}

// The goals of what ours takes alone.
const (
	goalScaling   = 1.8    // times as fast on two threads
	goalPerPixel  = 1.5    // times the time for a pixel at 12 megapixels
	goalMemory    = 120e6  // bytes at 640×480
	goalMemory12  = 1.2e9  // bytes at 12 megapixels
	goalAllocated = 1e6    // bytes a picture
	memoryThreads = 2      // of the searches whose memory is measured
	aloneMode     = "fast" // the mode of all of these but the scaling
	searches      = 20     // over which allocations are counted
	perPixelTimes = 3      // how often 12 megapixels are searched
)

// Our segmentations alone, on either grid: scikit-image's has eight neighbours, OpenCV's four.
const (
	segmentEight = "segment-8"
	segmentFour  = "segment-4"
)

var rows = []row{
	{us("opencv-single", 1), run{opencvPeer, "single", 1}, 25},
	{us("opencv-single", 2), run{opencvPeer, "single", 2}, 40},
	{us("opencv-fast", 1), run{opencvPeer, "fast", 1}, 30},
	{us("opencv-fast", 2), run{opencvPeer, "fast", 2}, 50},
	{us("opencv-quality", 1), run{opencvPeer, "quality", 1}, 30},
	{us("opencv-quality", 2), run{opencvPeer, "quality", 2}, 50},
	{us("fast", 1), run{dlibPeer, "candidates", 1}, 0},
	{us("fast", 2), run{dlibPeer, "candidates", 1}, 3.5},
	{us(segmentEight, 1), run{skimagePeer, "felzenszwalb", 1}, 8},
	{us(segmentFour, 1), run{opencvPeer, "graph-segmentation", 1}, 8},

	scaling("single"),
	scaling("fast"),
	scaling("quality"),
	scaling("opencv-single"),
	scaling("opencv-fast"),
	scaling("opencv-quality"),
}

func us(work string, threads int) run { return run{ourselves, work, threads} }

// scaling compares a mode on two threads with itself on one.
func scaling(mode string) row { return row{us(mode, 2), us(mode, 1), goalScaling} }

// families are the runs of the rows, each once, put together by our work: those of a family
// take turns on a picture.
func families(rows []row, only *regexp.Regexp) [][]run {
	var works []string
	var all [][]run
	for _, r := range rows {
		if !only.MatchString(r.ours.work) {
			continue
		}
		at := slices.Index(works, r.ours.work)
		if at < 0 {
			at = len(works)
			works, all = append(works, r.ours.work), append(all, nil)
		}
		for _, run := range []run{r.ours, r.peer} {
			if !slices.Contains(all[at], run) {
				all[at] = append(all[at], run)
			}
		}
	}
	return all
}
