package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// logLines returns the lines of a JSON log with a message.
func logLines(t *testing.T, log []byte, message string) (lines []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(log) {
		var attrs map[string]any
		if err := json.Unmarshal(line, &attrs); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if attrs["msg"] == message {
			lines = append(lines, attrs)
		}
	}
	return lines
}

func TestDecoderOutput(t *testing.T) {
	for _, c := range []struct {
		printed string
		lines   int
		level   slog.Level
		want    []string // texts in the log
		more    any
	}{
		{"", 0, slog.LevelDebug, nil, nil},
		{"a\n{\"level\":\"ERROR\"}\n\xff\x1b[1m", 3, slog.LevelDebug, []string{"a", `{"level":"ERROR"}`, "\ufffd\x1b[1m"}, nil},
		{"a\n", 1, slog.LevelInfo, nil, nil},
		{strings.Repeat("a\n", 12), 1000, slog.LevelDebug, slices.Repeat([]string{"a"}, 10), 990.},
	} {
		t.Run(fmt.Sprintf("%.10q", c.printed), func(t *testing.T) {
			cfg := testConfig(t)
			var log bytes.Buffer
			cfg.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: c.level}))
			begun, ended := 0, 0
			cfg.CaptureDecoder = func() func() ([]byte, int) {
				begun++
				return func() ([]byte, int) {
					ended++
					return []byte(c.printed), c.lines
				}
			}
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("POST", "/v1/proposals?mode=single", bytes.NewReader(small().PNG()))
			r.Header.Set(requestIDHeader, "request-1")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != http.StatusOK || begun != 1 || ended != 1 {
				t.Errorf("got status %d, %d and %d calls, want 1", w.Code, begun, ended)
			}
			if got := testutil.ToFloat64(s.metrics.decoderLines); got != float64(c.lines) {
				t.Errorf("got %v lines in the metric, want %d", got, c.lines)
			}
			var texts []string
			var more any
			for _, line := range logLines(t, log.Bytes(), "decoder") {
				if line["id"] != "request-1" || line["level"] != "DEBUG" {
					t.Errorf("got %v, want the ID of the request", line)
				}
				if text, ok := line["text"].(string); ok {
					texts = append(texts, text)
				} else {
					more = line["more_lines"]
				}
			}
			if !slices.Equal(texts, c.want) || more != c.more {
				t.Errorf("got texts %q and %v more, want %q and %v", texts, more, c.want, c.more)
			}
			if n := len(logLines(t, log.Bytes(), "request")); n != 1 {
				t.Errorf("got %d lines of requests, want 1", n)
			}
		})
	}
}

// Every image of a form is decoded for its request.
func TestDecoderOutputOfSeveralImages(t *testing.T) {
	var captured int
	s := start(t, func(c *Config) {
		c.CaptureDecoder = func() func() ([]byte, int) { return func() ([]byte, int) { captured++; return []byte("x"), 1 } }
	})
	contentType, body := form(t, [3]string{"image", "a.png", string(small().PNG())}, [3]string{"image", "b.png", string(small().PNG())})
	s.do(t, "POST", "/v1/proposals?mode=single", contentType, body)
	if captured != 2 || testutil.ToFloat64(s.metrics.decoderLines) != 2 {
		t.Errorf("got %d images, want 2", captured)
	}
}
