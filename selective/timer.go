package selective

import (
	"sync/atomic"
	"time"
)

// Stages is the time that the stages of a search took, summed over all threads.
type Stages struct {
	Segment  time.Duration // color conversion, smoothing, graph and segmentation
	Describe time.Duration // derivatives and histograms
	Group    time.Duration // adjacency and grouping
	Rank     time.Duration // candidates, order and suppression
}

// stageTimer sums up the time of each stage, in nanoseconds.
type stageTimer struct{ segment, describe, group, rank atomic.Int64 }

// start begins to measure time for a stage; the function that it returns ends it.
func (t *stageTimer) start(stage *atomic.Int64) (stop func()) {
	begin := time.Now()
	return func() { stage.Add(int64(time.Since(begin))) }
}

func (t *stageTimer) stages() Stages {
	return Stages{
		Segment:  time.Duration(t.segment.Load()),
		Describe: time.Duration(t.describe.Load()),
		Group:    time.Duration(t.group.Load()),
		Rank:     time.Duration(t.rank.Load()),
	}
}
