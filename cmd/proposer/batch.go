package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/batch/blobstore"
	_ "github.com/proposer/proposer/internal/batch/blobstore/cloud" // s3://, gs:// and azblob://
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/codec"
)

// jobFlags say where a batch reads and writes, and how it is split.
type jobFlags struct {
	Out         string   `required:"" placeholder:"DEST" help:"Where the files go: a folder, or a bucket as s3://NAME/PREFIX, gs://… or azblob://…."`
	Include     []string `placeholder:"GLOB" help:"Take the files of a folder, tar or bucket that one of these fits, as in '**/*.jpg', instead of those with a picture's extension."`
	Exclude     []string `placeholder:"GLOB" help:"Leave out those that one of these fits."`
	Shard       string   `placeholder:"I/N" help:"Do only each Nth shard from I (0 to N-1) on, and leave the rest to others; proposer merge finishes. By default of a Kubernetes Indexed Job (JOB_COMPLETION_INDEX and PROPOSER_SHARDS) or a Slurm array (SLURM_ARRAY_TASK_ID)."`
	ShardSize   int      `default:"${shard_size}" help:"Pictures of a shard: what is done anew after a crash, at most."`
	WorkPixels  string   `default:"auto" placeholder:"N" help:"Most pixels at work at once, 80 more for each first region that they may make, unless by one larger picture alone: some 80 bytes each. auto is what half of the memory has room for."`
	Retry       bool     `help:"Do shards anew in which pictures failed."`
	Strict      bool     `help:"Exit with 1 if a picture failed, not only if all did."`
	MetricsAddr string   `placeholder:"HOST:PORT" help:"Serve Prometheus metrics at /metrics while it runs."`
	JSON        bool     `name:"json" help:"Print the summary as JSON on standard output, too."`
}

type batchCmd struct {
	Source string `arg:"" help:"Pictures: a folder, a list (.txt, a path a line), a COCO instances file, a PASCAL VOC folder or its image set, a .tar, or a bucket."`

	searchFlags `embed:""`
	rankerFlag  `embed:""`
	limitFlags  `embed:""`
	jobFlags    `embed:""`

	Format string `default:"jsonl" enum:"${formats}" help:"What to write: ${formats}."`
	Masks  bool   `help:"Write the pixels of each box's region, too, where the format has a place for them: jsonl and coco."`
}

func (*batchCmd) Help() string {
	return `The same command again goes on where an earlier one ended, whatever ended it; the files come out the same. A picture that fails is told of in failures.jsonl. docs/batch.md has it all.`
}

// Run is the command.
func (c *batchCmd) Run(ctx context.Context, std streams) error {
	opts, err := parseOptions(&c.searchFlags, &c.rankerFlag, &c.limitFlags)
	if err != nil {
		return err
	}
	format, err := codec.ParseFormat(c.Format)
	if err != nil {
		return usageError{err}
	}
	if c.Masks && !format.Masks {
		return usageError{fmt.Errorf("--masks --format %s: want a format that has a place for masks: %s", c.Format, strings.Join(formats(func(f codec.Format) bool { return f.Masks }), ", "))}
	}
	threads := opts.Search.Threads
	opts.Search.Threads = 1
	src, err := source.Open(ctx, c.Source, source.Options{Include: c.Include, Exclude: c.Exclude})
	if err != nil {
		return err
	}
	defer src.Close()
	task := batch.Proposals(batch.Search{Options: opts, Ranker: c.identity}, format, src.Folder(), c.Masks)
	return runBatch(ctx, std, &c.jobFlags, threads, src, task)
}

// formats are the names of those that fit.
func formats(fit func(codec.Format) bool) []string {
	var names []string
	for _, f := range codec.Formats() {
		if fit(f) {
			names = append(names, f.Name)
		}
	}
	return names
}

// runBatch runs a job and tells how it goes on.
func runBatch[T any](ctx context.Context, std streams, f *jobFlags, threads int, src batch.Source, task batch.Task[T]) (err error) {
	job := batch.Job{Source: src, Version: readBuildInfo().Version, ShardSize: f.ShardSize, Retry: f.Retry}
	if job.Index, job.Count, err = share(f.Shard, os.Getenv); err != nil {
		return usageError{err}
	}
	if f.ShardSize < 1 || f.ShardSize > batch.MaxShardSize {
		return usageError{fmt.Errorf("--shard-size %d: want 1 to %d", f.ShardSize, batch.MaxShardSize)}
	}
	if threads > 0 {
		// The collector's threads count, too.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	}
	job.Workers = runtime.GOMAXPROCS(0)
	// The collector runs earlier where memory gets short; if nobody knows how much there is it does not.
	_, _ = memlimit.SetGoMemLimitWithOpts(memlimit.WithProvider(availableMemory))
	if job.Pixels, err = workPixels(f.WorkPixels); err != nil {
		return usageError{err}
	}
	if job.Store, err = blobstore.Open(ctx, f.Out); err != nil {
		return err
	}
	defer job.Store.Close()

	watch := newProgressObserver(std)
	job.Observer = watch
	if f.MetricsAddr != "" {
		metrics, stop, err := serveMetrics(ctx, f.MetricsAddr)
		if err != nil {
			return usageError{fmt.Errorf("--metrics-addr %s: %w", f.MetricsAddr, err)}
		}
		defer stop()
		job.Observer = observers{watch, metrics}
	}
	summary, err := batch.Run(ctx, job, task)
	watch.stop()
	if err != nil {
		return resumable(err)
	}
	if err := tell(ctx, std, f, &job, summary); err != nil {
		return err
	}
	if summary.AllFailed > 0 && (f.Strict || summary.AllFailed == summary.Images) ||
		!summary.Finished && summary.Failed > 0 && (f.Strict || summary.Failed == summary.Images) {
		return errImagesFailed
	}
	return nil
}

// resumable says what to do about an error.
func resumable(err error) error {
	_, dest := errors.AsType[*batch.StorageError](err)
	_, gone := errors.AsType[*source.UnavailableError](err)
	if dest || gone {
		return fmt.Errorf("%w; what is done is kept: the same command goes on from there", err)
	}
	return err
}

// tell prints and keeps the summary.
func tell(ctx context.Context, std streams, f *jobFlags, job *batch.Job, s *batch.Summary) error {
	fmt.Fprintf(std.err, "proposer: %d pictures in %s, %.1f a second, %d boxes, %d failed; %d were done before\n",
		s.Done, time.Duration(s.Seconds*float64(time.Second)).Round(time.Second/10), s.PerSecond, s.Boxes, s.Failed, s.Skipped)
	name := "summary.json"
	if s.Finished {
		fmt.Fprintf(std.err, "proposer: %s is complete; %d of its pictures failed\n", printable(f.Out), s.AllFailed)
	} else {
		name = fmt.Sprintf("summary-%d-of-%d.json", job.Index, job.Count)
		fmt.Fprintf(std.err, "proposer: share %d of %d is done; when all are: proposer merge %s\n", job.Index, job.Count, printable(f.Out))
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if f.JSON {
		if _, err := std.out.Write(text); err != nil {
			return err
		}
	}
	if s.Done == 0 && s.Skipped > 0 {
		// The summary of the run that did something stays, unless that was killed before it.
		if r, _, err := job.Store.Open(ctx, name); err == nil {
			return r.Close()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	file, err := job.Store.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := file.Write(text); err != nil {
		file.Abort()
		return err
	}
	return file.Commit()
}

// share reads I/N, or what a cluster says of it.
func share(text string, env func(string) string) (part, parts int, err error) {
	number := func(name string, fallback int) int {
		v := env(name)
		if v == "" {
			return fallback
		}
		n, wrong := strconv.Atoi(v)
		if wrong != nil && err == nil {
			err = fmt.Errorf("%s %q: want a number", name, v)
		}
		return n
	}
	where := "--shard " + text
	switch {
	case text != "":
		i, n, ok := strings.Cut(text, "/")
		var wrong [2]error
		part, wrong[0] = strconv.Atoi(i)
		parts, wrong[1] = strconv.Atoi(n)
		if !ok || wrong[0] != nil || wrong[1] != nil {
			return 0, 0, fmt.Errorf("--shard %s: want I/N, as in 0/8", text)
		}
	case env("SLURM_ARRAY_TASK_ID") != "":
		where = "the Slurm array"
		step := max(number("SLURM_ARRAY_TASK_STEP", 1), 1)
		part = (number("SLURM_ARRAY_TASK_ID", 0) - number("SLURM_ARRAY_TASK_MIN", 0)) / step
		parts = number("SLURM_ARRAY_TASK_COUNT", 0)
		if shards := number("PROPOSER_SHARDS", 0); shards > 0 {
			parts = shards // of an array of which only some are run again
			part = number("SLURM_ARRAY_TASK_ID", 0)
		}
	case env("JOB_COMPLETION_INDEX") != "":
		where = "JOB_COMPLETION_INDEX"
		part, parts = number("JOB_COMPLETION_INDEX", 0), number("PROPOSER_SHARDS", 0)
		if err == nil && parts == 0 {
			err = errors.New("JOB_COMPLETION_INDEX is set, but not PROPOSER_SHARDS: want the job's completions there, or --shard I/N")
		}
	default:
		return 0, 1, nil
	}
	if err == nil && (parts < 1 || part < 0 || part >= parts) {
		err = fmt.Errorf("%s: share %d of %d: want 0 to N-1 of N", where, part, parts)
	}
	return part, parts, err
}

// bytesPerPixel is what a pixel at work may take.
const bytesPerPixel = 80

// workPixels reads how many pixels may be at work; 0 leaves that to the job.
func workPixels(text string) (int64, error) {
	if text != "auto" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return 0, fmt.Errorf("--work-pixels %s: want auto, or a number from 1 on", text)
		}
		return n, nil
	}
	bytes, err := availableMemory()
	if err != nil {
		return 0, nil
	}
	return max(int64(bytes/2/bytesPerPixel), 1), nil
}

// serveMetrics serves a run's metrics until it is stopped.
func serveMetrics(ctx context.Context, addr string) (m *batch.Metrics, stop func(), err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if m, err = batch.NewMetrics(registry); err != nil {
		return nil, nil, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln) // until it is closed
	}()
	return m, func() { server.Close(); <-done }, nil
}

type mergeCmd struct {
	Dest string   `arg:"" help:"Destination of proposer batch or rois: a folder or a bucket."`
	From []string `arg:"" optional:"" help:"Other destinations of the same job, whose shards are copied in first."`
}

func (*mergeCmd) Help() string {
	return `When all shares of a batch are done, this writes what they have in common: the one file of formats that are one, failures.jsonl and manifest.json. It tells which shards are missing.`
}

// Run is the command.
func (c *mergeCmd) Run(ctx context.Context, std streams) error {
	dest, err := blobstore.Open(ctx, c.Dest)
	if err != nil {
		return err
	}
	defer dest.Close()
	for _, name := range c.From {
		from, err := blobstore.Open(ctx, name)
		if err != nil {
			return err
		}
		err = batch.Import(ctx, dest, from)
		from.Close()
		if err != nil {
			return err
		}
	}
	m, err := finish(ctx, dest)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: want the destination of proposer batch", err)
	}
	if err != nil {
		return resumable(err)
	}
	fmt.Fprintf(std.err, "proposer: %s is complete: %d pictures, %d of them failed, %d boxes\n", printable(c.Dest), m.Images, m.Failed, m.Boxes)
	return nil
}

// finish finishes a destination in the form that its plan has.
func finish(ctx context.Context, dest blobstore.Store) (*batch.Manifest, error) {
	plan, err := batch.ReadPlan(ctx, dest)
	if err != nil {
		return nil, err
	}
	if plan.Task == batch.RoIsName {
		return batch.Finalize(ctx, dest, batch.RoIOutput(nil))
	}
	form, err := batch.ProposalOutput(plan)
	if err != nil {
		return nil, err
	}
	return batch.Finalize(ctx, dest, form)
}
