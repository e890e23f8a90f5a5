package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/source"
)

const (
	// lineInterval is the time between progress lines where there is no terminal.
	lineInterval = 10 * time.Second
	// maxPrintedFailures is the number of failures to print; failures.jsonl has all.
	maxPrintedFailures = 20
)

// progressObserver prints the progress of a batch: a bar if standard error is a terminal, else lines.
type progressObserver struct {
	std   streams
	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	start time.Time
	ticks *time.Ticker
	ended chan struct{}
	wg    sync.WaitGroup

	images, skipped, done, failed, warned int64
}

func newProgressObserver(std streams) *progressObserver {
	return &progressObserver{std: std, ended: make(chan struct{})}
}

// Begin implements batch.Observer.
func (o *progressObserver) Begin(images, done int64, shards, shardsDone int) {
	o.images = images
	o.skipped = done
	o.start = time.Now()
	if done > 0 {
		fmt.Fprintf(o.std.err, "proposer: %d of %d images are done already, in %d of %d shards\n", done, images, shardsDone, shards)
	}
	if isTerminal(o.std.err) {
		o.bar = progress(o.std, int(images-done), "", progressbar.OptionShowIts(), progressbar.OptionSetItsString("images"))
		return
	}
	o.ticks = time.NewTicker(lineInterval)
	o.wg.Go(func() {
		for {
			select {
			case <-o.ticks.C:
				o.printLine(o.std.err)
			case <-o.ended:
				return
			}
		}
	})
}

// printLine prints the progress and an estimate of the remaining time.
func (o *progressObserver) printLine(out io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rate := float64(o.done) / time.Since(o.start).Seconds()
	left := "?"
	if o.done > 0 {
		seconds := float64(o.images-o.skipped-o.done) / rate
		left = time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
	}
	fmt.Fprintf(out, "proposer: %d of %d images, %.1f per second, %d failed, %s left\n", o.skipped+o.done, o.images, rate, o.failed, left)
}

// ImageDone implements batch.Observer.
func (o *progressObserver) ImageDone(p source.Image, s batch.Stats, failure string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done++
	if s.Warning != "" {
		o.warned++
		if o.warned == 1 {
			if o.bar != nil {
				o.bar.Clear()
			}
			fmt.Fprintf(o.std.err, "proposer: %s: warning: %s; further warnings are only counted\n", printable(p.File), s.Warning)
		}
	}
	if failure != "" {
		o.failed++
		if o.bar != nil {
			o.bar.Clear()
			o.bar.Describe(fmt.Sprintf("%d failed", o.failed))
		}
		if o.failed <= maxPrintedFailures {
			fmt.Fprintf(o.std.err, "proposer: %s: %s\n", printable(p.File), printable(failure))
		}
		if o.failed == maxPrintedFailures {
			fmt.Fprintln(o.std.err, "proposer: further failures are only in failures.jsonl")
		}
	}
	if o.bar != nil {
		o.bar.Add(1) // the error is the terminal's
	}
}

// ShardDone implements batch.Observer.
func (o *progressObserver) ShardDone() {}

// stop ends the output.
func (o *progressObserver) stop() {
	close(o.ended)
	o.wg.Wait()
	if o.ticks != nil {
		o.ticks.Stop()
	}
	if o.bar != nil {
		o.bar.Exit()
	}
}

// observers calls several observers in order.
type observers []batch.Observer

// Begin implements batch.Observer.
func (o observers) Begin(images, done int64, shards, shardsDone int) {
	for _, v := range o {
		v.Begin(images, done, shards, shardsDone)
	}
}

// ImageDone implements batch.Observer.
func (o observers) ImageDone(p source.Image, outcome batch.Stats, failure string) {
	for _, v := range o {
		v.ImageDone(p, outcome, failure)
	}
}

// ShardDone implements batch.Observer.
func (o observers) ShardDone() {
	for _, v := range o {
		v.ShardDone()
	}
}

// progress returns a progress bar of n steps on standard error. If that is not a terminal, the bar is silent.
func progress(std streams, n int, what string, more ...progressbar.Option) *progressbar.ProgressBar {
	if !isTerminal(std.err) {
		return progressbar.DefaultSilent(int64(n))
	}
	return progressbar.NewOptions(n, append(more, progressbar.OptionSetWriter(std.err), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond))...)
}
