package main

import (
	"cmp"
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
	"github.com/proposer/proposer/internal/batch/metrics"
	"github.com/proposer/proposer/internal/batch/source"
	"github.com/proposer/proposer/internal/batch/tasks"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/propose"
)

// jobFlags define where a batch writes, and how it is divided.
type jobFlags struct {
	Out         string          `required:"" placeholder:"DEST" help:"Output location: a folder, or a bucket as s3://NAME/PREFIX, gs://… or azblob://…."`
	Include     []string        `placeholder:"GLOB" help:"Search only files of a folder, tar or bucket that match one of these patterns, such as '**/*.jpg', instead of those with an image extension."`
	Exclude     []string        `placeholder:"GLOB" help:"Leave out files that match one of these patterns."`
	Shard       string          `placeholder:"I/N" help:"Process only every Nth shard, beginning with shard I (0 to N-1); proposer merge completes the output. Default: taken from a Kubernetes Indexed Job (JOB_COMPLETION_INDEX and PROPOSER_SHARDS) or a Slurm array (SLURM_ARRAY_TASK_ID)."`
	ShardSize   int             `default:"${shard_size}" min:"1" max:"1048576" help:"Images per shard; at most this many are processed again after a crash."`
	WorkPixels  int64           `default:"auto" auto:"0" min:"1" placeholder:"N" help:"Maximum pixels processed concurrently, about 80 bytes each. Each possible initial region counts as 30 pixels and as 8 in each tree, each union as 50. A larger image is processed alone. auto: half of the memory."`
	Retry       bool            `help:"Repeat shards in which images failed."`
	MetricsAddr optionalAddress `placeholder:"HOST:PORT" help:"Serve Prometheus metrics at /metrics during the run."`
	JSON        bool            `name:"json" help:"Also print the summary as JSON on standard output."`
}

type batchCmd struct {
	Source string `arg:"" help:"Images: a folder, a list (.txt, one path per line), a COCO file, a PASCAL VOC folder or image set, a .tar, or a bucket."`

	searchFlags `embed:""`
	rankerFlag  `embed:""`
	limitFlags  `embed:""`
	dataFlags   `embed:""`
	jobFlags    `embed:""`

	Format string `default:"jsonl" enum:"${formats}" help:"Output format: ${formats}."`
	Masks  bool   `help:"Also write the mask of each box's region, in formats that have masks: jsonl, coco and coco-annotations."`
}

func (*batchCmd) Help() string {
	return `A run that was interrupted for any reason is resumed by the same command; the resulting files are the same. Images that fail are listed in failures.jsonl. See docs/batch.md.`
}

// Run is the command.
func (c *batchCmd) Run(ctx context.Context, std streams) error {
	opts, err := parseOptions(&c.searchFlags, &c.rankerFlag, &c.limitFlags)
	if err != nil {
		return err
	}
	imageFormat, perImage := codec.FindImageFormat(c.Format)
	var format codec.Format
	if !perImage {
		if format, err = codec.ParseFormat(c.Format); err != nil {
			return usageError{err}
		}
	}
	if c.Masks && !format.Masks {
		return usageError{fmt.Errorf("--masks --format %s: want a format that has masks: %s", c.Format, strings.Join(formats(func(f codec.Format) bool { return f.Masks }), ", "))}
	}
	threads := opts.Search.Threads
	opts.Search.Threads = 1
	src, err := source.Open(ctx, c.Source, c.sourceOptions(std, &c.jobFlags))
	if err != nil {
		return c.sourceError(err)
	}
	defer src.Close()
	c.report(std, c.Source, src.Report())
	search := tasks.Search{Options: opts, Ranker: c.identity}
	task := tasks.Proposals(search, format, src.Folder(), c.Masks)
	if perImage {
		task = tasks.ImageFiles(search, imageFormat)
	}
	return runBatch(ctx, std, &c.jobFlags, &c.dataFlags, threads, src, task)
}

// batchFormats returns the names of all formats.
func batchFormats() []string {
	names := formats(func(codec.Format) bool { return true })
	for _, f := range codec.ImageFormats() {
		names = append(names, f.Name)
	}
	return names
}

// formats returns the names of the formats that match.
func formats(match func(codec.Format) bool) []string {
	var names []string
	for _, f := range codec.Formats() {
		if match(f) {
			names = append(names, f.Name)
		}
	}
	return names
}

// runBatch runs a job, reports its progress and writes its summary.
func runBatch[T any](
	ctx context.Context, std streams, f *jobFlags, d *dataFlags, threads int, src *source.Source, task batch.Task[T],
) (err error) {
	// These make other images, of which there is one list per output location.
	if d.Images != "" {
		task.Settings["images"] = d.Images
	}
	if src.Kind() == "folder" && d.FollowLinks {
		task.Settings["follow-links"] = "true"
	}
	job := batch.Job{Source: src, Version: readBuildInfo().Version, ShardSize: f.ShardSize, Retry: f.Retry}
	if job.Index, job.Count, err = shardRange(f.Shard, os.Getenv); err != nil {
		return usageError{err}
	}
	if threads > 0 {
		// GOMAXPROCS bounds the garbage collector's threads as well.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	}
	job.Workers = runtime.GOMAXPROCS(0)
	// Collect garbage earlier when memory gets short. The error is of a machine that does not report its memory.
	_, _ = memlimit.SetGoMemLimitWithOpts(memlimit.WithProvider(availableMemory))
	job.Pixels = cmp.Or(f.WorkPixels, autoWorkPixels())
	if job.Store, err = blobstore.Open(ctx, f.Out); err != nil {
		return err
	}
	defer job.Store.Close()

	progress := newProgressObserver(std)
	job.Observer = progress
	if f.MetricsAddr != "" {
		metrics, stop, err := serveMetrics(ctx, string(f.MetricsAddr))
		if err != nil {
			return fmt.Errorf("--metrics-addr %s: %w", f.MetricsAddr, err) // the address may be in use
		}
		defer stop()
		job.Observer = observers{progress, metrics}
	}
	summary, err := batch.Run(ctx, job, task)
	progress.stop()
	if err != nil {
		return withResumeHint(err)
	}
	if err := writeSummary(ctx, std, f, &job, summary); err != nil {
		return err
	}
	if summary.AllFailed > 0 && (d.Strict || summary.AllFailed == summary.Images) ||
		!summary.Finished && summary.Failed > 0 && (d.Strict || summary.Failed == summary.Images) {
		return errImagesFailed
	}
	return nil
}

// withResumeHint adds advice to errors after which a run can be resumed.
func withResumeHint(err error) error {
	_, storage := errors.AsType[*batch.StorageError](err)
	_, unavailable := errors.AsType[*source.UnavailableError](err)
	if storage || unavailable {
		return fmt.Errorf("%w; finished shards are kept: run the same command to resume", err)
	}
	return err
}

// writeSummary prints the summary and stores it in the output location.
func writeSummary(ctx context.Context, std streams, f *jobFlags, job *batch.Job, s *batch.Summary) error {
	fmt.Fprintf(std.err, "proposer: %d images in %s, %.1f per second, %d boxes, %d failed; %d done by earlier runs\n",
		s.Done, time.Duration(s.Seconds*float64(time.Second)).Round(time.Second/10), s.PerSecond, s.Boxes, s.Failed, s.Skipped)
	if s.Warned > 0 {
		fmt.Fprintf(std.err, "proposer: warning: %s may lose detail, see the first warning above\n", plural(int(s.Warned), "image"))
	}
	name := "summary.json"
	if s.Finished {
		fmt.Fprintf(std.err, "proposer: %s is complete: %d images failed\n", printable(f.Out), s.AllFailed)
	} else {
		name = fmt.Sprintf("summary-%d-of-%d.json", job.Index, job.Count)
		fmt.Fprintf(std.err, "proposer: shard %d/%d is complete; when all are, run: proposer merge %s\n", job.Index, job.Count, printable(f.Out))
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
		// Keep the summary of the run that processed images, unless it was killed before writing one.
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

// slurmHint is how to divide a batch among tasks whose numbers do not say it.
const slurmHint = "set PROPOSER_SHARDS to the number of tasks N of the whole array, numbered 0 to N-1, or use --shard I/N"

// shardRange parses I/N or, if it is empty, the environment of a Slurm array or a Kubernetes Indexed Job.
func shardRange(text string, env func(string) string) (index, count int, err error) {
	number := func(name string, fallback int) int {
		v := env(name)
		if v == "" {
			return fallback
		}
		n, parseErr := strconv.Atoi(v)
		if parseErr != nil && err == nil {
			err = fmt.Errorf("%s %q: want an integer", name, v)
		}
		return n
	}
	origin := "--shard " + text
	switch {
	case text != "":
		i, n, _ := strings.Cut(text, "/")
		var indexErr, countErr error
		index, indexErr = strconv.Atoi(i)
		count, countErr = strconv.Atoi(n)
		if indexErr != nil || countErr != nil {
			return 0, 0, fmt.Errorf("--shard %s: want I/N, as in 0/8", text)
		}
	case env("SLURM_ARRAY_TASK_ID") != "" && env("PROPOSER_SHARDS") != "":
		// Some tasks of a larger array are run again.
		origin = "PROPOSER_SHARDS and SLURM_ARRAY_TASK_ID"
		index = number("SLURM_ARRAY_TASK_ID", 0)
		count = number("PROPOSER_SHARDS", 0)
	case env("SLURM_ARRAY_TASK_ID") != "":
		origin = "the Slurm array"
		for _, name := range []string{"SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_COUNT"} {
			if env(name) == "" {
				return 0, 0, fmt.Errorf("SLURM_ARRAY_TASK_ID is set, but not %s: %s", name, slurmHint)
			}
		}
		first, last := number("SLURM_ARRAY_TASK_MIN", 0), number("SLURM_ARRAY_TASK_MAX", 0)
		step := max(number("SLURM_ARRAY_TASK_STEP", 1), 1)
		offset := number("SLURM_ARRAY_TASK_ID", 0) - first
		index = offset / step
		count = number("SLURM_ARRAY_TASK_COUNT", 0)
		if err == nil && ((last-first)/step+1 != count || offset%step != 0) {
			err = fmt.Errorf("the Slurm array has %d tasks from %d to %d in steps of %d, so some are missing: %s",
				count, first, last, step, slurmHint)
		}
	case env("JOB_COMPLETION_INDEX") != "":
		origin = "JOB_COMPLETION_INDEX"
		index = number("JOB_COMPLETION_INDEX", 0)
		count = number("PROPOSER_SHARDS", 0)
		if err == nil && count == 0 {
			err = errors.New("JOB_COMPLETION_INDEX is set, but not PROPOSER_SHARDS: set it to the number of completions, or use --shard I/N")
		}
	default:
		return 0, 1, nil
	}
	if err == nil && (count < 1 || index < 0 || index >= count) {
		err = fmt.Errorf("%s: shard %d of %d: want 0 to N-1", origin, index, count)
	}
	return index, count, err
}

// autoWorkPixels returns the number of pixels for which half of the memory suffices. It returns 0, the
// job's default, if the amount of memory is unknown.
func autoWorkPixels() int64 {
	bytes, err := availableMemory()
	if err != nil {
		return 0
	}
	return max(int64(bytes/2/propose.BytesPerWorkPixel), 1)
}

// serveMetrics serves metrics until stop is called.
func serveMetrics(ctx context.Context, addr string) (m *metrics.Observer, stop func(), err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if m, err = metrics.New(registry); err != nil {
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
		_ = server.Serve(ln) // returns when it is closed
	}()
	return m, func() { server.Close(); <-done }, nil
}

type mergeCmd struct {
	Dest string   `arg:"" help:"Output location of proposer batch or rois: a folder or a bucket."`
	From []string `arg:"" optional:"" help:"Output locations of other machines for the same job; their shards are copied to DEST first."`
}

func (*mergeCmd) Help() string {
	return `Completes a batch that was divided with --shard: writes failures.jsonl, manifest.json and, for formats with a single file, that file. If shards are missing it reports which.`
}

// Run is the command.
func (c *mergeCmd) Run(ctx context.Context, std streams) error {
	store, err := blobstore.Open(ctx, c.Dest)
	if err != nil {
		return err
	}
	defer store.Close()
	for _, name := range c.From {
		from, err := blobstore.Open(ctx, name)
		if err != nil {
			return err
		}
		err = batch.Import(ctx, store, from)
		from.Close()
		if err != nil {
			return err
		}
	}
	m, err := tasks.Finalize(ctx, store)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: want the output location of proposer batch", err)
	}
	if err != nil {
		return withResumeHint(err)
	}
	fmt.Fprintf(std.err, "proposer: %s is complete: %d images, %d failed, %d boxes\n", printable(c.Dest), m.Images, m.Failed, m.Boxes)
	return nil
}
