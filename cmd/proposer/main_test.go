package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/batch"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/photos"
	"github.com/proposer/proposer/internal/testutil/scene"
	"github.com/proposer/proposer/mask"
)

// call runs the program in this process and returns its output and exit code.
func call(t testing.TB, stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, streams{stdin, &out, &err})
	return out.String(), err.String(), code
}

// writeScene writes a rendered scene to a new file and returns its name.
func writeScene(t testing.TB, seed uint64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "scene.jpg")
	write(t, name, scene.Render(seed, 96, 64, 4).JPEG(90))
	return name
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

type row struct {
	File          string
	Error         string
	Width, Height int
	Boxes         [][4]int
	Scores        []float32
}

func rows(t testing.TB, out string) []row {
	t.Helper()
	var all []row
	for line := range strings.Lines(out) {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, r)
	}
	return all
}

// times matches the only part of the output that differs between two runs.
var times = regexp.MustCompile(`"seconds":[0-9.]+,"decode_seconds":[0-9.]+,`)

func timeless(s string) string { return times.ReplaceAllString(s, "") }

func TestProposeReportsFailedImages(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	good := scene.Render(1, 80, 60, 3)
	write(t, in("a.jpg"), good.JPEG(90))
	write(t, in("text.jpg"), []byte("not an image"))
	write(t, in("cut.png"), good.PNG()[:500])
	write(t, in("empty.png"), nil)
	write(t, in("new\nline.png"), good.PNG())
	if err := syscall.Mkfifo(in("fifo.png"), 0o600); err != nil {
		t.Fatal(err)
	}
	names := []string{in("a.jpg"), in("text.jpg"), in("missing.jpg"), dir, in("cut.png"), in("fifo.png"), in("empty.png"), in("new\nline.png"), in("a.jpg")}

	out, msg, code := call(t, nil, append([]string{"propose", "--mode", "single"}, names...)...)
	if code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	got := rows(t, out)
	if len(got) != len(names) {
		t.Fatalf("got %d rows for %d images:\n%s", len(got), len(names), out)
	}
	for i, r := range got {
		if r.File != names[i] {
			t.Errorf("row %d is of %q, want %q", i, r.File, names[i])
		}
		if bad := i != 0 && i < 7; bad != (r.Error != "") || bad == (r.Boxes != nil) {
			t.Errorf("%s: %+v", names[i], r)
		}
	}
	if got[0].Width != 80 || got[0].Height != 60 || !slices.Contains(got[0].Boxes, [4]int{0, 0, 80, 60}) {
		t.Errorf("%+v", got[0])
	}
	if lines := strings.Count(msg, "\n"); lines != 6 || !strings.Contains(msg, "missing.jpg: no such file or directory") ||
		!strings.Contains(msg, "fifo.png: a pipe: want a regular file") || !strings.Contains(msg, ": a folder: want a regular file, or - for standard input") {
		t.Errorf("%d lines on standard error:\n%s", lines, msg)
	}
}

func TestProposeCSV(t *testing.T) {
	name := writeScene(t, 1)
	out, msg, code := call(t, nil, "propose", "--mode=single", "--format=csv", "--max=3", name, filepath.Dir(name), name)
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if code != exitFailed || err != nil || len(lines) != 1+3+3 || msg == "" {
		t.Fatalf("exit code %d, %v, %d lines:\n%s%s", code, err, len(lines), out, msg)
	}
	if got := strings.Join(lines[6][:4], " "); got != name+" 96 64 3" {
		t.Errorf("the last line begins %q", got)
	}
}

func TestProposeMasks(t *testing.T) {
	name := writeScene(t, 1)
	plain, _, _ := call(t, nil, "propose", "--max=5", "--max-side=60", name)
	out, msg, code := call(t, nil, "propose", "--max=5", "--max-side=60", "--masks", name)
	var got struct {
		Width, Height int
		Boxes         []box.Box
		Masks         []struct {
			Size   [2]int
			Counts string
		}
		Strategies []struct{ Color string }
	}
	if err := json.Unmarshal([]byte(out), &got); code != exitOK || msg != "" || err != nil || len(got.Strategies) != 8 || len(got.Masks) != 5 {
		t.Fatalf("exit code %d, %q, %v:\n%s", code, msg, err, out)
	}
	for i, m := range got.Masks {
		r, err := mask.Parse(m.Counts, m.Size[1], m.Size[0])
		if err != nil || r.Box() != got.Boxes[i] || r.Width != got.Width || r.Height != got.Height {
			t.Errorf("mask %d: %v in %v, want %v", i, err, r.Box(), got.Boxes[i])
		}
	}
	if head, ok := strings.CutSuffix(timeless(plain), "}\n"); !ok || !strings.HasPrefix(timeless(out), head+`,"strategies":`) {
		t.Errorf("%s does not begin as\n%s", out, plain)
	}
}

func TestProposeStandardInput(t *testing.T) {
	name := writeScene(t, 2)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := call(t, nil, "propose", name)
	got, msg, code := call(t, bytes.NewReader(data), "propose", "-")
	if code != exitOK || msg != "" || timeless(got) != strings.Replace(timeless(want), name, "-", 1) {
		t.Errorf("exit code %d, %q\n%s\nwant\n%s", code, msg, got, want)
	}
	_, msg, code = call(t, bytes.NewReader(data), "propose", "--max-bytes=100", "-", name)
	if code != exitFailed || strings.Count(msg, "too large") != 2 {
		t.Errorf("exit code %d, %q", code, msg)
	}
}

func TestUsage(t *testing.T) {
	name := writeScene(t, 1)
	for _, c := range []struct{ args, want string }{
		{"", "expected one of"},
		{"propose", "<image>"},
		{"propose --mdoe fast x.jpg", "--mode"},
		{"propose --mode medium x.jpg", `--mode "medium": want one of single, fast, quality, best, opencv-single`},
		{"propose --k 0 --max=-1 x.jpg", "--max \"-1\": want a whole number from 0 to 2147483647\nproposer: --k \"0\": want a number above 0, at most 1000000"},
		{"propose --max -1 x.jpg", `--max "-1": want a whole number from 0 to 2147483647`},
		{"propose --max", "--max: want a value"},
		{"propose --max --nms 0.5 x.jpg", "--max: want a value before --nms"},
		{"propose --threads two x.jpg", "--threads"},
		{"propose --format xml x.jpg", "jsonl"},
		{"propose --masks --format csv x.jpg", "--masks --format csv: want --format jsonl"},
		{"propose --overlay o.png a.jpg b.jpg", "want one image, not 2"},
		{"propose --overlay o.gif a.jpg", ".png, .jpg or .jpeg"},
		{"propose --overlay o.png --overlay-max 0 a.jpg", `--overlay-max "0": want a whole number of at least 1`},
		{"propose --max-pixels 0 --max-bytes 1MiBi a.jpg", "--max-bytes \"1MiBi\": want a number of bytes of at least 1, such as 1000000, 500MB or 64MiB\nproposer: --max-pixels \"0\": want a whole number of at least 1"},
		{"propose - -", "standard input"},
		{"serve --workers=-1 --timeout=0s", "--workers \"-1\": want auto, or a whole number from 1 to 1024\nproposer: --timeout \"0s\": want a duration from 1ms to 24h"},
		{"serve --wrokers=1", "did you mean \"--workers\""},
		{"serve --print-config --queue=-2", "--queue \"-2\": want auto, or a whole number from 0"},
		{"health --admin-addr nowhere", "HOST:PORT"},
		{"health --admin-addr=", "HOST:PORT"},
		{"version now", "unexpected argument now"},
	} {
		t.Run(c.args, func(t *testing.T) {
			out, msg, code := call(t, nil, strings.Fields(c.args)...)
			if code != exitUsage || out != "" || !strings.Contains(msg, c.want) || !strings.HasPrefix(msg, "proposer: ") {
				t.Errorf("got exit code %d, standard output %q, error %q; want error %q", code, out, msg, c.want)
			}
		})
	}
	if out, msg, code := call(t, nil, "propose", "--help"); code != exitOK || msg != "" || !strings.Contains(out, "--measures") {
		t.Errorf("help: exit code %d, %q, %q", code, out, msg)
	}
	if _, _, code := call(t, nil, "propose", "--mode", "single", name); code != exitOK {
		t.Errorf("a valid command line: exit code %d", code)
	}
}

// The search flags have the names of the options of package propose.
func TestSearchFlags(t *testing.T) {
	var c struct{ searchFlags }
	checkFlags(t, &c, c.searchFlags, propose.OptionNames(), c.values)
}

// checkFlags checks that the flags of a command, which embeds them alone, are options with these names.
func checkFlags(t *testing.T, command, flags any, names []string, values func() map[string]string) {
	t.Helper()
	parser, err := kong.New(command)
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	want := map[string]string{}
	for _, name := range names {
		args = append(args, "--"+name+"=value of "+name)
		want[name] = "value of " + name
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	if got := values(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := reflect.TypeOf(flags).NumField(); n != len(want) {
		t.Errorf("%d flags for %d options", n, len(want))
	}
}

func TestThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	name := writeScene(t, 3)
	want, _, _ := call(t, nil, "propose", name)
	for _, n := range []string{"0", "1", "2", "8"} {
		got, _, code := call(t, nil, "propose", "--threads", n, name)
		if code != exitOK || timeless(got) != timeless(want) {
			t.Errorf("--threads %s: exit code %d, other output", n, code)
		}
		if procs := runtime.GOMAXPROCS(0); procs != 2 {
			t.Errorf("--threads %s leaves GOMAXPROCS at %d", n, procs)
		}
	}
}

func TestOverlay(t *testing.T) {
	name := writeScene(t, 4)
	for _, file := range []string{"o.png", "o.jpg"} {
		to := filepath.Join(t.TempDir(), file)
		if _, msg, code := call(t, nil, "propose", "--max-side=40", "--overlay", to, name); code != exitOK {
			t.Fatal(msg)
		}
		f, err := os.Open(to)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if m, _, err := image.Decode(f); err != nil || m.Bounds().Size() != image.Pt(96, 64) {
			t.Errorf("%s: %v", file, err)
		}
	}
	_, msg, code := call(t, nil, "propose", "--overlay", filepath.Join(t.TempDir(), "no", "o.png"), name)
	if code != exitFailed || !strings.Contains(msg, "o.png") {
		t.Errorf("into a missing folder: exit code %d, %q", code, msg)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

func TestBrokenPipe(t *testing.T) {
	name := writeScene(t, 1)
	var msg bytes.Buffer
	if code := run(t.Context(), []string{"propose", name, name}, streams{nil, brokenPipe{}, &msg}); code != exitFailed || msg.Len() != 0 {
		t.Errorf("exit code %d, %q", code, msg.String())
	}
}

// blockingReader calls reading, and then blocks until end is closed.
type blockingReader struct {
	reading func()
	end     chan struct{}
}

func (r blockingReader) Read([]byte) (int, error) {
	r.reading()
	<-r.end
	return 0, io.EOF
}

func TestInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancel(t.Context())
	in := blockingReader{cancel, make(chan struct{})}
	defer close(in.end) // ends the reading goroutine
	var out, msg bytes.Buffer
	if code := run(ctx, []string{"propose", "-", "x.jpg"}, streams{in, &out, &msg}); code != exitInterrupted || out.Len() != 0 {
		t.Errorf("got exit code %d, %q, %q", code, out.String(), msg.String())
	}
}

func TestVersion(t *testing.T) {
	out, _, code := call(t, nil, "version")
	if code != exitOK || !strings.HasPrefix(out, "proposer ") || !strings.Contains(out, runtime.Version()) {
		t.Errorf("%d, %q", code, out)
	}
	out, _, code = call(t, nil, "version", "--json")
	var b buildInfo
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != exitOK || b != readBuildInfo() || b.Decoder == "" {
		t.Errorf("%d, %v, %q", code, err, out)
	}
}

func TestHealth(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for _, addr := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "localhost:" + port} {
		if _, msg, code := call(t, nil, "health", "--admin-addr", addr); code != exitOK {
			t.Errorf("%s: exit code %d, %s", addr, code, msg)
		}
	}
	t.Setenv("PROPOSER_ADMIN_ADDR", ":"+port)
	if _, msg, code := call(t, nil, "health"); code != exitOK {
		t.Errorf("by the environment: exit code %d, %s", code, msg)
	}
	if _, msg, code := call(t, nil, "health", "--ready"); code != exitFailed || !strings.Contains(msg, "503") {
		t.Errorf("not ready: exit code %d, %s", code, msg)
	}
	status = http.StatusInternalServerError
	if _, msg, code := call(t, nil, "health"); code != exitFailed || !strings.Contains(msg, "500") {
		t.Errorf("ill: exit code %d, %s", code, msg)
	}
	s.Close()
	if _, _, code := call(t, nil, "health"); code != exitFailed {
		t.Errorf("gone: exit code %d", code)
	}
}

// logBuffer is a log that tests can read and wait for while it is written.
type logBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	ended   bool
	changed sync.Cond // its L is &mu
}

func newLogBuffer() *logBuffer {
	b := &logBuffer{}
	b.changed.L = &b.mu
	return b
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.changed.Broadcast()
	return b.buf.Write(p)
}

// end ends all waits, because nothing more is written.
func (b *logBuffer) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.changed.Broadcast()
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// waitFor waits until ok returns true for the log. The test fails if the log ends before that.
func (b *logBuffer) waitFor(t testing.TB, what string, ok func(log string) bool) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !ok(b.buf.String()) {
		if b.ended {
			t.Fatalf("the log ended without %s:\n%s", what, b.buf.String())
		}
		b.changed.Wait()
	}
}

// serve starts the service with the command line's arguments. It returns its URL, its log, and a
// function that stops it and returns the exit code.
func serve(t testing.TB, args ...string) (url string, log *logBuffer, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log = newLogBuffer()
	code := make(chan int, 1)
	go func() {
		defer log.end()
		code <- run(ctx, append([]string{"serve", "--addr=127.0.0.1:0", "--admin-addr="}, args...), streams{nil, io.Discard, log})
	}()
	addr := regexp.MustCompile(`"addr":"([^"]+)"`)
	log.waitFor(t, "an address", addr.MatchString)
	url = "http://" + addr.FindStringSubmatch(log.String())[1]
	return url, log, func() int {
		cancel()
		return <-code
	}
}

// TestServeMatchesPropose compares the responses of the service with the output of the propose command.
func TestServeMatchesPropose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	url, _, stop := serve(t, "--threads=1")
	compare := func(t *testing.T, file string) {
		for _, opts := range []string{
			"mode=fast&max=0",
			"mode=fast&max=2000",
			"mode=single&nms=adaptive&max=100&max-side=200&min-side=5",
			"colors=Lab,I&k=70&measures=CTSF,S&seed=9&sigma=1.1&min-size=30&order=hierarchy&max=0",
		} {
			t.Run(filepath.Base(file)+"/"+opts, func(t *testing.T) { compareServiceWithCommand(t, url, file, opts) })
		}
	}
	t.Run("scenes", func(t *testing.T) {
		compare(t, writeScene(t, 11))
		compare(t, writeScene(t, 12))
	})
	t.Run("photographs", func(t *testing.T) {
		if testing.Short() {
			t.Skip("searches photographs: the scenes take the same paths")
		}
		for _, file := range photos.Paths(t)[:2] {
			compare(t, file)
		}
	})
	if _, msg, code := call(t, nil, "health", "--ready", "--admin-addr", strings.TrimPrefix(url, "http://")); code != exitOK {
		t.Error(msg)
	}
	http.DefaultClient.CloseIdleConnections()
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d after a requested shutdown, want %d", code, exitOK)
	}
}

// compareServiceWithCommand searches a file in the service at url and by the propose command.
func compareServiceWithCommand(t *testing.T, url, file, opts string) {
	args := []string{"propose"}
	for opt := range strings.SplitSeq(opts, "&") {
		args = append(args, "--"+opt)
	}
	want, msg, code := call(t, nil, append(args, file)...)
	if code != exitOK {
		t.Fatal(msg)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(url+"/v1/proposals?"+opts, "image/jpeg", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v, %s", err, body)
	}
	got := strings.Replace(timeless(string(body)), `"file":""`, `"file":"`+file+`"`, 1)
	if got != timeless(want) {
		t.Errorf("the service responds\n%.200s\nthe command prints\n%.200s", got, timeless(want))
	}
}

func TestServePortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, msg, code := call(t, nil, "serve", "--admin-addr=", "--addr", ln.Addr().String()); code != exitFailed || !strings.Contains(msg, "--addr \""+ln.Addr().String()+"\": want an address to listen on") {
		t.Errorf("exit code %d, %q", code, msg)
	}
}

// The exit codes are those of sysexits.h, shells and docs/configuration.md, on which job scripts rely.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, 0},
		{"failure", errors.New("disk full"), 1},
		{"failed images", errImagesFailed, 1},
		{"closed pipe", syscall.EPIPE, 1},
		{"usage", usageError{errors.New("--mode: want one")}, 64},
		{"other settings in the output location", &batch.ConfigMismatchError{Location: "out"}, 64},
		{"storage", &batch.StorageError{Location: "out", Err: syscall.ENOSPC}, 1},
		{"interrupted", context.Canceled, 130},
	} {
		t.Run(c.name, func(t *testing.T) {
			var msg bytes.Buffer
			if code := exitCode(streams{err: &msg}, c.err); code != c.want {
				t.Errorf("got exit code %d, want %d: %s", code, c.want, &msg)
			}
		})
	}
}

// A crash has another exit code than a usage error.
func TestCrashExitCode(t *testing.T) {
	c := program(t, "serve", "--addr", "127.0.0.1:0", "--admin-addr", "")
	c.Stderr = nil
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	if !lines.Scan() { // the runtime handles signals since its first line
		t.Error("no log line")
	}
	if err := c.Process.Signal(syscall.SIGSEGV); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, log); err != nil {
		t.Error(err)
	}
	_ = c.Wait() // reports the exit code
	if code := c.ProcessState.ExitCode(); code != 2 {
		t.Errorf("got exit code %d, want 2", code)
	}
}
