// Package examples contains the example clients of the documentation. Its tests run them against
// a real service.
package examples

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/internal/auth"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/scene"
)

const testToken = "a-token-of-the-tests"

// client is a client's command line and the spelling of its flags.
type client struct {
	command                  []string
	options, cache, together string
	forms                    []string // flags for other request formats
}

// clients returns the clients that can run on this machine, by language.
func clients(t *testing.T) map[string]client {
	t.Helper()
	sources, err := filepath.Glob("client-*/*")
	for _, file := range sources { // makes go test's cache depend on the files
		if _, err := os.Stat(file); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil || len(sources) < 3 {
		t.Fatalf("source files %q, %v", sources, err)
	}
	program := filepath.Join(t.TempDir(), "client-go")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./client-go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all := map[string]client{"go": {[]string{program}, "-options=", "-cache=", "-together", nil}}
	const want = "python3, 3.11 or newer, is needed for the client in Python"
	err = exec.CommandContext(t.Context(), "python3", "-c", "import sys; sys.exit(sys.version_info < (3, 11))").Run()
	switch {
	case err == nil:
		all["python"] = client{
			[]string{"python3", "client-python/client.py"},
			"--options=", "--cache=", "--form=together",
			[]string{"--form=binary", "--form=infer"},
		}
	default:
		t.Run("python", func(t *testing.T) { e2e.Missing(t, fmt.Sprintf("%s: %v", want, err)) })
	}
	return all
}

// service is a running service that requires a token, and counts requests.
type service struct {
	url                           string
	requests, refusals, unchanged atomic.Int64
	refuse                        atomic.Int64 // requests to refuse with 429
	retryAfter                    atomic.Int64 // seconds
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func serve(t *testing.T) *service {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("tests "+testToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := api.DefaultConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	if cfg.Authenticator, err = auth.LoadTokens(file); err != nil {
		t.Fatal(err)
	}
	handler, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if s.refuse.Add(-1) >= 0 {
			s.refusals.Add(1)
			w.Header().Set("Retry-After", strconv.FormatInt(s.retryAfter.Load(), 10))
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"type":"urn:proposer:problem:full","title":"Too Many Requests","status":429,"detail":"full"}`)
			return
		}
		sw := &statusWriter{w, http.StatusOK}
		handler.ServeHTTP(sw, r)
		if sw.status == http.StatusNotModified {
			s.unchanged.Add(1)
		}
	}))
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

// run runs a client with the token.
func (c client) run(t *testing.T, token string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	all := append(c.command[1:len(c.command):len(c.command)], args...)
	cmd := exec.CommandContext(t.Context(), c.command[0], all...)
	cmd.Env = append(os.Environ(), "PROPOSER_TOKEN="+token)
	var out, errs bytes.Buffer
	cmd.Stdout = &out
	cmd.Stderr = &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

const maxBoxes = 5

// images renders n images, and returns what the clients must print.
func images(t *testing.T, n int) (files []string, want string) {
	t.Helper()
	folder := t.TempDir()
	opts, err := propose.ParseOptions(map[string]string{"mode": "single", "max": fmt.Sprint(maxBoxes)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		data := scene.Render(uint64(i+1), 160, 120, 4).PNG()
		file := filepath.Join(folder, fmt.Sprintf("scene%d.png", i))
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		result, err := propose.Run(context.Background(), data, opts)
		if err != nil || len(result.Boxes) != maxBoxes {
			t.Fatalf("got %d boxes, %v", len(result.Boxes), err)
		}
		for j, b := range result.Boxes {
			want += fmt.Sprintf("scene%d.png %d %d %d %d %.4f\n", i, b.X0, b.Y0, b.X1, b.Y1, result.Scores[j])
		}
	}
	return files, want
}

func TestClients(t *testing.T) {
	files, want := images(t, 3)
	broken := filepath.Join(filepath.Dir(files[0]), "broken.png")
	data, err := os.ReadFile(files[0])
	if err == nil {
		err = os.WriteFile(broken, data[:len(data)/2], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			options := fmt.Sprintf("%smode=single&max=%d", c.options, maxBoxes)
			s := serve(t)
			all := []string{strings.TrimSuffix(c.options, "options=") + "url=" + s.url, options}
			good := func(t *testing.T, args ...string) {
				t.Helper()
				stdout, stderr, code := c.run(t, testToken, append(append(all, args...), files...)...)
				if stdout != want || stderr != "" || code != 0 {
					t.Errorf("exit code %d\n%s%s\nwant\n%s", code, stdout, stderr, want)
				}
			}
			t.Run("each", func(t *testing.T) { good(t) })
			t.Run("together", func(t *testing.T) {
				before := s.requests.Load()
				if good(t, c.together); s.requests.Load() != before+1 {
					t.Errorf("got %d requests, want 1", s.requests.Load()-before)
				}
			})
			for _, form := range c.forms {
				t.Run(form, func(t *testing.T) { good(t, form) })
			}
			t.Run("retry", func(t *testing.T) {
				s.refuse.Store(1)
				s.retryAfter.Store(1)
				if good(t); s.refusals.Load() != 1 {
					t.Errorf("%d requests refused, want 1", s.refusals.Load())
				}
			})
			t.Run("give up", func(t *testing.T) {
				before := s.requests.Load()
				s.refuse.Store(100)
				s.retryAfter.Store(0)
				stdout, stderr, code := c.run(t, testToken, append(all, files[0])...)
				if n := s.requests.Load() - before; stdout != "" || code != 1 || !strings.Contains(stderr, "429 ") || n != 8 {
					t.Errorf("exit code %d after %d requests, want 8\n%s%s", code, n, stdout, stderr)
				}
				s.refuse.Store(0)
			})
			t.Run("cache", func(t *testing.T) {
				cache := c.cache + t.TempDir()
				if good(t, cache); s.unchanged.Load() != 0 {
					t.Errorf("%d responses revalidated with an empty cache", s.unchanged.Load())
				}
				if good(t, cache); s.unchanged.Load() != int64(len(files)) {
					t.Errorf("%d responses revalidated, want %d", s.unchanged.Load(), len(files))
				}
			})
			for _, form := range append([]string{"each", c.together}, c.forms...) {
				t.Run("broken "+form, func(t *testing.T) {
					args := append(all, form)
					if form == "each" {
						args = all
					}
					stdout, stderr, code := c.run(t, testToken, append(args, files[0], broken)...)
					lines := strings.Join(strings.SplitAfter(want, "\n")[:maxBoxes], "")
					if stdout != lines || code != 1 || !strings.HasPrefix(stderr, "client: "+broken+": 422 ") ||
						!strings.Contains(stderr, "png") || strings.Count(stderr, "\n") != 1 {
						t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
					}
				})
			}
			t.Run("token", func(t *testing.T) {
				stdout, stderr, code := c.run(t, "wrong-and-long-enough", append(all, files[0])...)
				if stdout != "" || code != 1 || !strings.Contains(stderr, "401 ") || !strings.Contains(stderr, "a valid bearer token is required") {
					t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
				}
			})
			t.Run("missing", func(t *testing.T) {
				stdout, stderr, code := c.run(t, testToken, append(all, "nowhere.png")...)
				if stdout != "" || code != 1 || !strings.Contains(stderr, "nowhere.png") || strings.Contains(stderr, "Traceback") {
					t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
				}
			})
		})
	}
}
