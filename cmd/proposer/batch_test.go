package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/testutil/faultfs"
	"github.com/proposer/proposer/internal/testutil/filetree"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// asProgram makes the test binary run proposer, for tests that kill it.
const asProgram = "PROPOSER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// program returns a command that runs proposer as a process.
func program(t testing.TB, args ...string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	c.Stderr = new(strings.Builder)
	return c
}

// folder creates a folder of n images, and of files that must not stop a batch.
func folder(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	names := []string{"new\nline.jpg", "schön/日本 🖼.JPEG", strings.Repeat("l", 240) + ".jpg", "a b/'quoted\" $(x).jpg", "-dash.jpg", "not utf8 \xff.jpg"}
	for i := range n {
		name := fmt.Sprintf("%03d/%d.jpg", i/10, i)
		if i < len(names) {
			name = names[i]
		}
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, name, scene.Render(uint64(i), 96+i%3, 64, 4).JPEG(90))
	}
	good := scene.Render(1, 64, 48, 3).JPEG(90)
	write(t, filepath.Join(dir, "empty.jpg"), nil)
	write(t, filepath.Join(dir, "cut.jpg"), good[:len(good)/2])
	write(t, filepath.Join(dir, "text.png"), []byte("not an image"))
	write(t, filepath.Join(dir, "notes.txt"), []byte("ignored"))
	return dir
}

// broken is the number of unreadable images in a folder.
const broken = 3

// files returns the contents of the files of an output location except the summary, which has times.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	return filetree.Read(t, dir, "summary")
}

func TestBatch(t *testing.T) {
	src, out := folder(t, 15), filepath.Join(t.TempDir(), "new", "out")
	stdout, stderr, code := call(t, nil, "batch", src, "--out", out, "--mode", "single", "--max", "7", "--shard-size", "4", "--json")
	if code != 0 || !strings.Contains(stderr, "18 images in ") || !strings.Contains(stderr, "is complete: 3 images failed") {
		t.Fatalf("%d: %s", code, stderr)
	}
	var s batch.Summary
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || s.Images != 18 || s.Failed != broken || !s.Finished || s.Boxes != 15*7 {
		t.Errorf("%v: %s", err, stdout)
	}
	all := files(t, out)
	seen := map[string]bool{}
	for i := range 5 {
		for line, err := range codec.ReadJSONL(strings.NewReader(all[fmt.Sprintf("proposals-%06d.jsonl", i)])) {
			if err != nil {
				t.Fatal(err)
			}
			r := line.Row
			if seen[r.File] || r.SearchTime != 0 || r.Error == "" && len(r.Boxes) != 7 || r.Error != "" && !strings.Contains(all["failures.jsonl"], strconv.Quote(r.File)) {
				t.Errorf("%+v", r)
			}
			seen[r.File] = true
			if r.Error != "" {
				continue
			}
			// The same boxes as those of propose.
			if name := filepath.Join(src, filepath.FromSlash(r.File)); !strings.Contains(name, "\uFFFD") {
				stdout, _, _ := call(t, nil, "propose", "--mode", "single", "--max", "7", "--", name)
				if one := rows(t, stdout); len(one) != 1 || one[0].Width != r.Width || fmt.Sprint(one[0].Scores) != fmt.Sprint(r.Scores) {
					t.Errorf("%s: propose printed %s", r.File, stdout)
				}
			}
		}
	}
	if len(seen) != 18 || !seen["schön/日本 🖼.JPEG"] || !seen["new\nline.jpg"] || !seen["not utf8 \uFFFD.jpg"] {
		t.Errorf("%v", seen)
	}

	// A second run does nothing; other settings are rejected.
	before, _ := os.ReadFile(filepath.Join(out, "summary.json"))
	_, stderr, code = call(t, nil, "batch", src, "--out", out, "--mode", "single", "--max", "7", "--shard-size", "4", "--threads", "1")
	after, _ := os.ReadFile(filepath.Join(out, "summary.json"))
	if code != 0 || !strings.Contains(stderr, "18 of 18 images are done already, in 5 of 5 shards") || string(before) != string(after) {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
	_, stderr, code = call(t, nil, "batch", src, "--out", out, "--mode", "single", "--max", "8", "--shard-size", "4")
	if code != exitUsage || !strings.Contains(stderr, `different settings (max was "7" and is "8"): use the same settings or another output location`) {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
	filetree.Equal(t, "second run", files(t, out), all)

	// A run that was killed before its summary gets one from the next run.
	if err := os.Remove(filepath.Join(out, "summary.json")); err != nil {
		t.Fatal(err)
	}
	_, stderr, code = call(t, nil, "batch", src, "--out", out, "--mode", "single", "--max", "7", "--shard-size", "4")
	text, err := os.ReadFile(filepath.Join(out, "summary.json"))
	s = batch.Summary{}
	if code != 0 || err != nil || json.Unmarshal(text, &s) != nil || s.Done != 0 || s.Skipped != 18 || !s.Finished || s.AllFailed != broken {
		t.Errorf("%d, %v, %s: %s", code, err, text, stderr)
	}
}

// All formats are written, including for images without boxes.
func TestBatchFormats(t *testing.T) {
	anyNames := folder(t, 5)
	numbers, _ := imageNames(t, 8)
	for _, f := range codec.Formats() {
		src := anyNames
		if f.Name == "detectron" || f.Name == "detectron-no-year" { // they have numbers as ids
			src = numbers
		}
		for _, extra := range [][]string{nil, {"--min-side", "1000"}, {"--masks"}} {
			t.Run(strings.Join(append([]string{f.Name}, extra...), " "), func(t *testing.T) {
				out := t.TempDir()
				args := append([]string{"batch", src, "--out", out, "--mode", "single", "--max", "5", "--format", f.Name, "--shard-size", "3"}, extra...)
				_, stderr, code := call(t, nil, args...)
				if slices.Contains(extra, "--masks") && !f.Masks {
					if code != exitUsage || !strings.Contains(stderr, "want a format that has masks: jsonl") {
						t.Errorf("got exit code %d, %q, want a usage error", code, stderr)
					}
					return
				}
				name := "proposals-000002" + f.Extension
				if f.SingleFile {
					name = "proposals" + f.Extension
				}
				if info, err := os.Stat(filepath.Join(out, name)); code != 0 || err != nil || info.Size() == 0 && f.Name != "csv" {
					t.Errorf("got exit code %d (%v): %s", code, err, stderr)
				}
			})
		}
	}
}

func TestBatchExitCode(t *testing.T) {
	for _, c := range []struct {
		good   int
		strict bool
		want   int
	}{{1, false, exitOK}, {1, true, exitFailed}, {0, false, exitFailed}} {
		t.Run(fmt.Sprintf("%d good images, strict=%t", c.good, c.strict), func(t *testing.T) {
			args := []string{"batch", folder(t, c.good), "--out", t.TempDir(), "--mode", "single"}
			if c.strict {
				args = append(args, "--strict")
			}
			if _, stderr, code := call(t, nil, args...); code != c.want {
				t.Errorf("got exit code %d, want %d: %s", code, c.want, stderr)
			}
		})
	}
}

// kills is the number of runs that TestBatchResumesAfterKill kills. PROPOSER_KILLS overrides it, and
// PROPOSER_PICTURES names a folder of images to use instead of rendered ones.
const kills = 5

// killedFormats are a format of shards, one of a single file, and one of a file per image.
var killedFormats = []string{"jsonl", "coco", "labels-png"}

// A run that is killed at any moment can be resumed, and nothing is lost or duplicated.
func TestBatchResumesAfterKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	rounds := kills
	if n, err := strconv.Atoi(os.Getenv("PROPOSER_KILLS")); err == nil {
		rounds = n
	}
	src := os.Getenv("PROPOSER_PICTURES")
	if src == "" {
		src = folder(t, 40)
	}
	args := func(out, format string) []string {
		return []string{"batch", src, "--out", out, "--mode", "single", "--shard-size", "3", "--format", format}
	}
	want, took := map[string]map[string]string{}, map[string]time.Duration{}
	for _, format := range killedFormats {
		out := t.TempDir()
		start := time.Now()
		c := program(t, args(out, format)...)
		if err := c.Run(); err != nil {
			t.Fatalf("%v: %s", err, c.Stderr)
		}
		want[format], took[format] = files(t, out), time.Since(start)
	}
	killed := 0
	for round := 0; killed < rounds; round++ {
		format := killedFormats[round%len(killedFormats)]
		out := t.TempDir()
		for {
			c := program(t, args(out, format)...)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(time.Duration(rand.Int64N(int64(took[format]))), func() { c.Process.Kill() })
			err := c.Wait()
			kill.Stop()
			if err == nil {
				break
			}
			if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
				t.Fatalf("%v: %s", err, c.Stderr)
			}
			killed++
		}
		what := fmt.Sprintf("round %d, %s", round, format)
		filetree.Equal(t, what, files(t, out), want[format])
		if !exists(filepath.Join(out, "summary.json")) {
			t.Errorf("%s: no summary", what)
		}
	}
	t.Logf("%d runs were killed", killed)
}

// pausedBatch starts a batch that writes to a new folder, and pauses it between its first shard and
// its third. SIGCONT resumes it.
func pausedBatch(t *testing.T, args ...string) (c *exec.Cmd, out string) {
	t.Helper()
	for range 100 {
		out = filepath.Join(t.TempDir(), "out")
		c = program(t, append(args, "--out", out)...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus
		for !exists(filepath.Join(out, "shards", "000000.json")) {
			if pid, _ := syscall.Wait4(c.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 {
				t.Fatalf("the batch ended before its first shard: %s", c.Stderr)
			}
			time.Sleep(time.Millisecond)
		}
		c.Process.Signal(syscall.SIGSTOP)
		if _, err := syscall.Wait4(c.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil {
			t.Fatal(err)
		}
		if status.Stopped() && !exists(filepath.Join(out, "shards", "000002.json")) {
			return c, out
		}
		c.Process.Kill()
		c.Wait() // fails if the batch has ended
	}
	t.Fatal("every batch went on before it could be paused")
	return nil, ""
}

func TestBatchInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals on Windows")
	}
	src := folder(t, 180)
	c, out := pausedBatch(t, "batch", src, "--shard-size", "2")
	c.Process.Signal(syscall.SIGTERM)
	c.Process.Signal(syscall.SIGCONT)
	if c.Wait(); c.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("%v: %s", c.ProcessState, c.Stderr)
	}
	for name := range files(t, out) {
		if strings.HasSuffix(name, ".tmp") {
			t.Errorf("temporary file %s was not removed", name)
		}
	}
	if _, stderr, code := call(t, nil, "batch", src, "--out", out, "--shard-size", "2"); code != 0 || !strings.Contains(stderr, "images are done already") {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func TestBatchShardsAndMerge(t *testing.T) {
	src := folder(t, 20)
	args := []string{"batch", src, "--mode", "single", "--shard-size", "3", "--format", "jsonl"}
	alone, together := t.TempDir(), t.TempDir()
	if _, stderr, code := call(t, nil, append(args, "--out", alone)...); code != 0 {
		t.Fatal(stderr)
	}
	apart := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	for i, dir := range apart {
		for _, out := range []string{together, dir} {
			_, stderr, code := call(t, nil, append(args, "--out", out, "--shard", fmt.Sprintf("%d/3", i))...)
			if code != 0 || !strings.Contains(stderr, fmt.Sprintf("shard %d/3 is complete; when all are, run: proposer merge", i)) {
				t.Errorf("got exit code %d: %s", code, stderr)
			}
		}
		_, stderr, code := call(t, nil, "merge", together)
		if last := i == 2; (code == 0) != last || !last && !strings.Contains(stderr, "shards are missing, [") {
			t.Errorf("%d: %d, %s", i, code, stderr)
		}
	}
	filetree.Equal(t, "shards in one location", files(t, together), files(t, alone))
	merged := filepath.Join(t.TempDir(), "merged")
	if _, stderr, code := call(t, nil, append([]string{"merge", merged}, apart...)...); code != 0 {
		t.Fatal(stderr)
	}
	filetree.Equal(t, "shards from several locations", files(t, merged), files(t, alone))
	if _, stderr, code := call(t, nil, "merge", t.TempDir()); code != exitFailed || !strings.Contains(stderr, "want the output location of proposer batch") {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
}

func TestShardRange(t *testing.T) {
	for _, c := range []struct {
		flag, env    string
		index, count int
		err          string
	}{
		{"", "", 0, 1, ""},
		{"0/1", "", 0, 1, ""},
		{"2/8", "JOB_COMPLETION_INDEX=1 PROPOSER_SHARDS=4", 2, 8, ""},
		{"8/8", "", 0, 0, "--shard 8/8: shard 8 of 8: want 0 to N-1"},
		{"-1/8", "", 0, 0, "want 0 to N-1"},
		{"3", "", 0, 0, "want I/N, as in 0/8"},
		{"a/b", "", 0, 0, "want I/N"},
		{"1/2/3", "", 0, 0, "want I/N"},
		{"", "JOB_COMPLETION_INDEX=3 PROPOSER_SHARDS=4", 3, 4, ""},
		{"", "JOB_COMPLETION_INDEX=0", 0, 0, "not PROPOSER_SHARDS"},
		{"", "JOB_COMPLETION_INDEX=4 PROPOSER_SHARDS=4", 0, 0, "shard 4 of 4"},
		{"", "JOB_COMPLETION_INDEX=x PROPOSER_SHARDS=4", 0, 0, `JOB_COMPLETION_INDEX "x": want an integer`},
		{"", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3", 3, 4, ""},
		{"", "SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4", 3, 4, ""},
		{"", "SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=16 SLURM_ARRAY_TASK_STEP=2", 2, 4, ""},
		{"", "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_COUNT=1 SLURM_ARRAY_TASK_MIN=5 PROPOSER_SHARDS=8", 5, 8, ""},
		{"", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=1 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3", 0, 1, ""},
		{"", "SLURM_ARRAY_TASK_ID=13 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=17 SLURM_ARRAY_TASK_STEP=3", 1, 3, ""},
		{"", "SLURM_ARRAY_TASK_ID=5 PROPOSER_SHARDS=6", 5, 6, ""},
		{"", "SLURM_ARRAY_TASK_ID=6 PROPOSER_SHARDS=6", 0, 0, "PROPOSER_SHARDS and SLURM_ARRAY_TASK_ID: shard 6 of 6: want 0 to N-1"},
		{"", "SLURM_ARRAY_TASK_ID=1 PROPOSER_SHARDS=0", 0, 0, "shard 1 of 0"},
		{"", "SLURM_ARRAY_TASK_ID=5", 0, 0, "but not SLURM_ARRAY_TASK_MIN: set PROPOSER_SHARDS"},
		{"", "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1", 0, 0, "but not SLURM_ARRAY_TASK_MAX"},
		// --array=1,2,5: every task refuses.
		{"", "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=5", 0, 0, "3 tasks from 1 to 5 in steps of 1, so some are missing: set PROPOSER_SHARDS"},
		{"", "SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=5 SLURM_ARRAY_TASK_STEP=1", 0, 0, "or use --shard I/N"},
		{"", "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_STEP=2", 0, 0, "some are missing"},
		{"", "SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=5", 0, 0, "or use --shard I/N"},
		{"", "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=5 PROPOSER_SHARDS=6", 1, 6, ""},
	} {
		t.Run(c.flag+" "+c.env, func(t *testing.T) {
			env := map[string]string{}
			for pair := range strings.FieldsSeq(c.env) {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
			}
			index, count, err := shardRange(c.flag, func(name string) string { return env[name] })
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got error %v, want %q", err, c.err)
				}
			case err != nil || index != c.index || count != c.count:
				t.Errorf("got %d/%d (%v), want %d/%d", index, count, err, c.index, c.count)
			}
		})
	}
}

func TestBatchUsage(t *testing.T) {
	src := folder(t, 1)
	for want, args := range map[string][]string{
		`--shard-size "0": want a whole number from 1`:                                           {"--shard-size", "0"},
		fmt.Sprintf("--shard-size \"0x\": want a whole number from 1 to %d", batch.MaxShardSize): {"--shard-size", "0x"},
		`--work-pixels "x": want auto, or a whole number`:                                        {"--work-pixels", "x"},
		"--shard 1/1":                       {"--shard", "1/1"},
		`--mode "x": want one of`:           {"--mode", "x"},
		`--format "xml": want one of jsonl`: {"--format", "xml"},
		`--metrics-addr "nowhere"`:          {"--metrics-addr", "nowhere"},
		`pattern "[": want one`:             {"--include", "["},
		`unknown scheme ftp`:                {"--out", "ftp://host/boxes"},
		"want s3://NAME":                    {"--out", "s3:///boxes"},
		"--ranker ../nothing: no such":      {"--ranker", "../nothing"},
		`--max-bytes "0": want a number`:    {"--max-bytes", "0"},
		"want a format that has masks":      {"--masks", "--format", "csv"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			out := t.TempDir()
			_, stderr, code := call(t, nil, append([]string{"batch", src, "--out", out}, args...)...)
			if code != exitUsage || !strings.Contains(stderr, want) || len(files(t, out)) > 0 {
				t.Errorf("got exit code %d, %q, want %d, %q and no files", code, stderr, exitUsage, want)
			}
		})
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for want, args := range map[string][]string{
		"address already in use":    {"batch", src, "--out", t.TempDir(), "--metrics-addr", ln.Addr().String()},
		"no such file or directory": {"batch", filepath.Join(src, "nothing"), "--out", t.TempDir()},
		"no images":                 {"batch", t.TempDir(), "--out", t.TempDir()},
		"want ":                     {"batch", src, "--out", filepath.Join(src, "notes.txt")},
	} {
		t.Run(want, func(t *testing.T) {
			if _, stderr, code := call(t, nil, args...); code != exitFailed || !strings.Contains(stderr, want) {
				t.Errorf("got exit code %d, %q, want %d, %q", code, stderr, exitFailed, want)
			}
		})
	}
}

// A full disk and a missing destination or source stop the run, which can be resumed afterwards.
func TestBatchStopsOnStorageFailure(t *testing.T) {
	src, want := folder(t, 180), t.TempDir() // more than are read before the third shard is written
	args := []string{"batch", src, "--mode", "single", "--shard-size", "5"}
	if _, stderr, code := call(t, nil, append(args, "--out", want)...); code != 0 {
		t.Fatal(stderr)
	}

	t.Run("full disk", func(t *testing.T) {
		out := t.TempDir()
		disk := faultfs.MountTmpfs(t, out, "32k")
		_, stderr, code := call(t, nil, append(args, "--out", out)...)
		if code != exitFailed || !strings.Contains(stderr, "no space left on device") || !strings.Contains(stderr, "run the same command to resume") {
			t.Errorf("got exit code %d: %s", code, stderr)
		}
		disk.Resize("8m")
		if _, stderr, code := call(t, nil, append(args, "--out", out)...); code != 0 {
			t.Errorf("got exit code %d: %s", code, stderr)
		}
		filetree.Equal(t, "after the disk was enlarged", files(t, out), files(t, want))
	})

	during := func(t *testing.T, fail func(out string)) (out, stderr string, code int) {
		t.Helper()
		c, out := pausedBatch(t, append(args, "--threads", "1")...)
		fail(out)
		c.Process.Signal(syscall.SIGCONT)
		c.Wait()
		return out, c.Stderr.(*strings.Builder).String(), c.ProcessState.ExitCode()
	}
	t.Run("destination removed", func(t *testing.T) {
		out, stderr, code := during(t, func(out string) {
			if err := os.Rename(out, out+".away"); err != nil {
				t.Error(err)
			}
		})
		if code != exitFailed || !strings.Contains(stderr, "is no longer available") || exists(out) {
			t.Errorf("got exit code %d (folder exists again: %t): %s", code, exists(out), stderr)
		}
	})
	t.Run("source removed", func(t *testing.T) {
		kept := filepath.Join(t.TempDir(), "kept")
		copied := func(from, to string) {
			if text, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
		copied(src, kept)
		out, stderr, code := during(t, func(string) {
			away := src + ".away" // renaming is atomic
			if err := errors.Join(os.Rename(src, away), os.RemoveAll(away)); err != nil {
				t.Error(err)
			}
		})
		copied(kept, src)
		if code != exitFailed || !strings.Contains(stderr, "is no longer available") || exists(filepath.Join(out, "manifest.json")) {
			t.Errorf("got exit code %d: %s", code, stderr)
		}
		if _, stderr, code := call(t, nil, append(args, "--out", out)...); code != 0 || !strings.Contains(stderr, "is complete: 3 images failed") {
			t.Errorf("got exit code %d: %s", code, stderr)
		}
	})
	t.Run("image removed", func(t *testing.T) {
		_, stderr, code := during(t, func(string) {
			if err := os.Remove(filepath.Join(src, "017", "179.jpg")); err != nil {
				t.Error(err)
			}
		})
		if code != 0 || !strings.Contains(stderr, "017/179.jpg: ") || !strings.Contains(stderr, "is complete: 4 images failed") {
			t.Errorf("got exit code %d: %s", code, stderr)
		}
	})
}

func TestBatchMetrics(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	src := folder(t, 30)
	done := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		var last string
		for ctx.Err() == nil {
			r, err := http.Get("http://" + addr + "/metrics")
			if err == nil {
				text, _ := io.ReadAll(r.Body)
				r.Body.Close()
				last = string(text)
			}
		}
		done <- last
	}()
	_, stderr, code := call(t, nil, "batch", src, "--out", t.TempDir(), "--metrics-addr", addr)
	cancel()
	if last := <-done; code != 0 || !strings.Contains(last, "proposer_batch_pictures 33\n") || !strings.Contains(last, `proposer_batch_pictures_done_total{result="failed"}`) {
		t.Errorf("%d, %s\n%s", code, stderr, last)
	}
	if r, err := http.Get("http://" + addr + "/metrics"); err == nil {
		r.Body.Close()
		t.Error("metrics are served after the run")
	} else if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

func TestRoisShardsAndMerge(t *testing.T) {
	dir := t.TempDir()
	var instances struct {
		Images      []map[string]any `json:"images"`
		Annotations []map[string]any `json:"annotations"`
		Categories  []map[string]any `json:"categories"`
	}
	for i, name := range []string{"cup", "book"} {
		instances.Categories = append(instances.Categories, map[string]any{"id": 7 + i, "name": name})
	}
	for i := range 7 {
		s := scene.Render(uint64(i), 96, 64, 4)
		name := fmt.Sprintf("%d.jpg", i)
		instances.Images = append(instances.Images, map[string]any{"id": 100 + i, "file_name": name, "width": 96, "height": 64})
		for j, b := range s.Boxes {
			instances.Annotations = append(instances.Annotations, map[string]any{
				"image_id": 100 + i, "id": 1 + len(instances.Annotations), "category_id": 7 + j%2, "iscrowd": 0,
				"bbox": []int32{b.X0, b.Y0, b.Width(), b.Height()},
			})
		}
		if i != 3 { // is missing
			write(t, filepath.Join(dir, name), s.JPEG(90))
		}
	}
	text, err := json.Marshal(instances)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "instances.json"), text)

	alone, together := t.TempDir(), t.TempDir()
	args := []string{"rois", dir, "--mode", "single", "--shard-size", "3", "--size", "32"}
	_, stderr, code := call(t, nil, append(args, "--out", alone)...)
	if code != 0 || !strings.Contains(stderr, "is complete: 1 images failed") {
		t.Fatalf("%d: %s", code, stderr)
	}
	for i := range 2 {
		if _, stderr, code := call(t, nil, append(args, "--out", together, "--shard", fmt.Sprintf("%d/2", i))...); code != 0 {
			t.Fatal(stderr)
		}
	}
	if _, stderr, code := call(t, nil, "merge", together); code != 0 {
		t.Fatal(stderr)
	}
	filetree.Equal(t, "two shards", files(t, together), files(t, alone))
	for i := range 3 {
		if info, err := os.Stat(filepath.Join(alone, fmt.Sprintf("rois-%06d.npz", i))); err != nil || info.Size() < 1000 {
			t.Error(err)
		}
	}
	_, stderr, code = call(t, nil, append(args, "--out", alone, "--rois-seed", "2")...)
	if code != exitUsage || !strings.Contains(stderr, `rois-seed was "1" and is "2"`) {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
	for want, wrong := range map[string][]string{
		"--sampler \"x\": want":    {"--sampler", "x"},
		"--foreground \"2\": want": {"--foreground", "2"},
	} {
		if _, stderr, code := call(t, nil, append(append(args, "--out", t.TempDir()), wrong...)...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("got exit code %d: %s", code, stderr)
		}
	}
	if _, stderr, code := call(t, nil, "rois", t.TempDir(), "--out", t.TempDir()); code != exitFailed || !strings.Contains(stderr, "no annotations") {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
}
