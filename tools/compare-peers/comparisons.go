package main

import (
	"regexp"
	"slices"
)

// A task is work that an engine does with a number of threads.
type task struct {
	engine, work string
	threads      int
}

// Engines. OpenCV and scikit-image run in one process.
const (
	proposerEngine = "proposer"
	opencvEngine   = "OpenCV"
	skimageEngine  = "scikit-image"
	dlibEngine     = "dlib"
)

// A comparison compares two tasks. The goal is how many times as fast ours should be; 0 means no goal.
type comparison struct {
	ours, peer task
	goal       float64
}

// Goals and parameters of the measurements without a peer.
const (
	goalSpeedup    = 1.8    // speedup with two threads
	goalPerPixel   = 1.5    // time per pixel at 12 megapixels, relative to that at 640×480
	goalMemory     = 120e6  // bytes at 640×480
	goalMemory12   = 1.2e9  // bytes at 12 megapixels
	goalAllocated  = 1e6    // bytes per image
	memoryThreads  = 2      // of the searches whose memory is measured
	standaloneMode = "fast" // mode of all of these but the speedupRow
	searchCount    = 20     // searches over which allocations are counted
	perPixelRuns   = 3      // searches of 12 megapixels
)

// Segmentation alone: scikit-image connects each pixel with eight neighbors, OpenCV with four.
const (
	segmentEight = "segment-8"
	segmentFour  = "segment-4"
)

var comparisons = []comparison{
	{proposer("opencv-single", 1), task{opencvEngine, "single", 1}, 25},
	{proposer("opencv-single", 2), task{opencvEngine, "single", 2}, 40},
	{proposer("opencv-fast", 1), task{opencvEngine, "fast", 1}, 30},
	{proposer("opencv-fast", 2), task{opencvEngine, "fast", 2}, 50},
	{proposer("opencv-quality", 1), task{opencvEngine, "quality", 1}, 30},
	{proposer("opencv-quality", 2), task{opencvEngine, "quality", 2}, 50},
	{proposer("fast", 1), task{dlibEngine, "candidates", 1}, 0},
	{proposer("fast", 2), task{dlibEngine, "candidates", 1}, 3.5},
	{proposer(segmentEight, 1), task{skimageEngine, "felzenszwalb", 1}, 8},
	{proposer(segmentFour, 1), task{opencvEngine, "graph-segmentation", 1}, 8},

	speedup("single"),
	speedup("fast"),
	speedup("quality"),
	speedup("opencv-single"),
	speedup("opencv-fast"),
	speedup("opencv-quality"),
}

func proposer(work string, threads int) task { return task{proposerEngine, work, threads} }

// speedup compares a mode with two threads with itself with one.
func speedup(mode string) comparison {
	return comparison{proposer(mode, 2), proposer(mode, 1), goalSpeedup}
}

// groups returns the tasks of the comparisons, each once, grouped by our work. The tasks of a group take
// turns on each image.
func groups(all []comparison, only *regexp.Regexp) [][]task {
	var works []string
	var groups [][]task
	for _, c := range all {
		if !only.MatchString(c.ours.work) {
			continue
		}
		at := slices.Index(works, c.ours.work)
		if at < 0 {
			at = len(works)
			works = append(works, c.ours.work)
			groups = append(groups, nil)
		}
		for _, t := range []task{c.ours, c.peer} {
			if !slices.Contains(groups[at], t) {
				groups[at] = append(groups[at], t)
			}
		}
	}
	return groups
}
