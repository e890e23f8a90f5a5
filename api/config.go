// Package api is the HTTP service: a picture in, ranked boxes out.
//
//	POST /v1/proposals  the picture as the body, or as the field image of a
//	                    multipart form; options as query parameters
//	GET  /healthz       200 while the process lives
//	GET  /readyz        200 while it takes requests, 503 while it drains
//	GET  /metrics       for Prometheus
//	GET  /              what there is
//
// The answer is the object that package export documents, byte for byte what
// the command line prints. Options are those of pipeline.ParseOptions but
// threads, which is the operator's to say.
//
// Errors are RFC 9457 problems (application/problem+json) that name what is
// wrong and what would be right; see the table in problem.go.
//
// # Overload
//
// A request needs a place before its body is read, and there are Workers + Queue
// of them; without one it is turned away with 503 at once. So bodies take at most
// (Workers + Queue) × Limits.MaxBytes of memory, and decoded pictures and searches
// at most Workers times what the largest picture takes. A client that goes away
// gives its place back at once.
package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/proposer/proposer/imageio"
	"github.com/proposer/proposer/selective"
)

// DefaultMax is the most boxes of an answer where a request does not say: detectors take
// 2,000, and all boxes are many more. 0 asks for all.
const DefaultMax = 2000

// Config says how to serve. Begin with [DefaultConfig].
type Config struct {
	// Limits bounds a picture. Zero fields are imageio's defaults.
	Limits imageio.Limits
	// Workers is how many pictures are decoded and searched at once.
	Workers int
	// Queue is how many requests beside those may send their body or wait.
	Queue int
	// Ranker is that of the order objectness, if not the one of package objectness.
	Ranker selective.Ranker
	// Threads is how many threads one search uses; 0: as many as GOMAXPROCS.
	Threads int
	// Timeout bounds a request from the end of its body to its answer.
	Timeout time.Duration
	// BodyTimeout bounds the reading of a request, WriteTimeout the sending of its answer.
	BodyTimeout, WriteTimeout time.Duration
	// Grace bounds how long Serve waits for admitted requests once told to stop.
	Grace time.Duration
	// Version is told in the metrics.
	Version string
	// Logger takes one line a request.
	Logger *slog.Logger
	// Registry takes the service's metrics and is what /metrics shows.
	Registry *prometheus.Registry
}

// DefaultConfig serves as many pictures at once as there are processors, and
// lets four times as many wait. It has a registry of its own.
func DefaultConfig() Config {
	workers := runtime.GOMAXPROCS(0)
	return Config{
		Limits:       imageio.DefaultLimits(),
		Workers:      workers,
		Queue:        4 * workers,
		Timeout:      60 * time.Second,
		BodyTimeout:  30 * time.Second,
		WriteTimeout: 30 * time.Second,
		Grace:        30 * time.Second,
		Version:      "unknown",
		Logger:       slog.Default(),
		Registry:     prometheus.NewRegistry(),
	}
}

// Validate reports every setting that cannot be served with, by the names of the flags.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s %v: want %s", name, value, want))
		}
	}
	check(c.Limits.MaxBytes >= 0, "max-bytes", c.Limits.MaxBytes, "0 for the default, or more")
	check(c.Limits.MaxPixels >= 0, "max-pixels", c.Limits.MaxPixels, "0 for the default, or more")
	check(c.Limits.MaxSide >= 0, "max-side", c.Limits.MaxSide, "0 for the default, or more")
	check(c.Workers > 0, "workers", c.Workers, "1 or more")
	check(c.Queue >= 0, "queue", c.Queue, "0 or more")
	check(c.Threads >= 0, "threads", c.Threads, "0 or more")
	check(c.Timeout > 0, "timeout", c.Timeout, "more than 0")
	check(c.BodyTimeout > 0, "body-timeout", c.BodyTimeout, "more than 0")
	check(c.WriteTimeout > 0, "write-timeout", c.WriteTimeout, "more than 0")
	check(c.Grace >= 0, "grace", c.Grace, "0 or more")
	check(c.Logger != nil, "logger", c.Logger, "one")
	check(c.Registry != nil, "registry", c.Registry, "one")
	if len(errs) > 0 {
		return fmt.Errorf("api: %w", errors.Join(errs...))
	}
	return nil
}

// httpServer bounds what a connection may take beside the bodies.
func (c Config) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       c.BodyTimeout,
		WriteTimeout:      c.BodyTimeout + c.Timeout + c.WriteTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn),
	}
}
