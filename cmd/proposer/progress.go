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
	// lineInterval is how often somebody who reads lines wants to know.
	lineInterval = 10 * time.Second
	// maxPrintedFailures are those that are told of; failures.jsonl has all.
	maxPrintedFailures = 20
)

// progressObserver tells how a batch goes on: a bar where standard error is a terminal, else lines.
type progressObserver struct {
	std   streams
	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	start time.Time
	ticks *time.Ticker
	ended chan struct{}
	wg    sync.WaitGroup

	pictures, skipped, done, failed int64
}

func newProgressObserver(std streams) *progressObserver {
	return &progressObserver{std: std, ended: make(chan struct{})}
}

// Begin implements batch.Observer.
func (w *progressObserver) Begin(pictures, done int64, shards, shardsDone int) {
	w.pictures, w.skipped, w.start = pictures, done, time.Now()
	if done > 0 {
		fmt.Fprintf(w.std.err, "proposer: %d of %d pictures are done already, in %d of %d shards\n", done, pictures, shardsDone, shards)
	}
	if isTerminal(w.std.err) {
		w.bar = progress(w.std, int(pictures-done), "", progressbar.OptionShowIts(), progressbar.OptionSetItsString("pictures"))
		return
	}
	w.ticks = time.NewTicker(lineInterval)
	w.wg.Go(func() {
		for {
			select {
			case <-w.ticks.C:
				w.printLine(w.std.err)
			case <-w.ended:
				return
			}
		}
	})
}

// printLine tells how far it is.
func (w *progressObserver) printLine(out io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := "?"
	rate := float64(w.done) / time.Since(w.start).Seconds()
	if w.done > 0 {
		left = time.Duration(float64(w.pictures-w.skipped-w.done) / rate * float64(time.Second)).Round(time.Second).String()
	}
	fmt.Fprintf(out, "proposer: %d of %d pictures, %.1f a second, %d failed, %s left\n", w.skipped+w.done, w.pictures, rate, w.failed, left)
}

// ImageDone implements batch.Observer.
func (w *progressObserver) ImageDone(p source.Image, _ batch.Stats, failure string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done++
	if failure != "" {
		w.failed++
		if w.bar != nil {
			w.bar.Clear()
			w.bar.Describe(fmt.Sprintf("%d failed", w.failed))
		}
		if w.failed <= maxPrintedFailures {
			fmt.Fprintf(w.std.err, "proposer: %s: %s\n", printable(p.File), printable(failure))
		}
		if w.failed == maxPrintedFailures {
			fmt.Fprintln(w.std.err, "proposer: failures.jsonl will tell of more that fail")
		}
	}
	if w.bar != nil {
		w.bar.Add(1) // fails where the terminal does
	}
}

// ShardDone implements batch.Observer.
func (w *progressObserver) ShardDone() {}

// stop ends what it shows.
func (w *progressObserver) stop() {
	close(w.ended)
	w.wg.Wait()
	if w.ticks != nil {
		w.ticks.Stop()
	}
	if w.bar != nil {
		w.bar.Exit()
	}
}

// observers are told one after the other.
type observers []batch.Observer

// Begin implements batch.Observer.
func (o observers) Begin(pictures, done int64, shards, shardsDone int) {
	for _, v := range o {
		v.Begin(pictures, done, shards, shardsDone)
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
