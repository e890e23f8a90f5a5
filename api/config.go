// Package api is the HTTP service: a picture in, ranked boxes out. openapi.yaml describes
// it, and is what GET /docs shows; a test holds every answer to it.
//
//	POST /v1/proposals  boxes of a picture, or of several, in the form that Accept wishes
//	POST /v1/rois       sampled and labelled proposals for the training of a detector
//	GET  /v1/modes      what can be asked
//	     /v2/...        the Open Inference Protocol, see package oip
//	GET  /healthz       200 while the process lives
//	GET  /readyz        200 while it takes requests, 503 while it drains
//
// Operators have a handler of their own, [Server.Admin]: metrics, profiles, health.
//
// Boxes are as package export writes them: a JSON answer is byte for byte what the command
// line prints. Options are those of pipeline.ParseOptions but threads, which is the
// operator's to say. Errors are RFC 9457 problems (application/problem+json), below /v2 the
// protocol's, that name what is wrong and what would be right; see the table in problem.go.
//
// # Overload
//
// A request is refused as early as it can be, and in this order: for its token, its rate,
// its options, the memory for its body, its picture's header, its place in the queue. Bodies
// take memory as they come in, from Config.BodyMemory in all. Whatever is not known yet is
// searched, if one of Workers + Queue places is free, else 429. Of those who have a place
// as many are at work as fit Workers and WorkPixels, first come, first served: that bounds
// the memory of searches. A client that goes away gives all of that back at once.
package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/selective"
)

// DefaultMax is the most boxes of an answer where a request does not say: detectors take
// 2,000, and all boxes are many more. 0 asks for all.
const DefaultMax = 2000

// An Authenticator maps bearer tokens to client names. Its method must be safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the name of the client that owns the token, and whether there is one.
	// The name appears in the log and in the metrics, so it must not be secret.
	Authenticate(token string) (client string, ok bool)
}

// Config says how to serve. Begin with [DefaultConfig].
type Config struct {
	// MaxImageBytes is the largest accepted image file, in bytes. 0 means the default.
	MaxImageBytes int64
	// MaxImagePixels is the largest accepted image, in pixels. 0 means the default.
	MaxImagePixels int64
	// MaxImageSide is the longest accepted side of an image, in pixels. 0 means the default.
	MaxImageSide int
	// MaxBoxes is the most boxes in the response for one image. 0 means no limit.
	MaxBoxes int
	// MaxImages is the most images in one request, at least 1.
	MaxImages int
	// Workers is how many pictures are decoded and searched at once.
	Workers int
	// Queue is how many requests beside those may wait for their turn.
	Queue int
	// WorkPixels bounds the pixels that are decoded and searched at once, to which the first
	// regions that they may make count as 80 each: a large picture takes the place of
	// several. One that is larger than all of it is worked on alone.
	WorkPixels int64
	// BodyMemory bounds the bytes of all bodies that are read or wait.
	BodyMemory int64
	// MaxConnections bounds the open connections of the service's listener.
	MaxConnections int
	// Ranker is that of the order objectness, if not the one of package objectness.
	Ranker selective.Ranker
	// RankerName is what the service calls it, and part of every ETag; empty: the one that
	// comes with the program.
	RankerName string
	// Threads is how many threads one search uses; 0: as many as GOMAXPROCS.
	Threads int
	// CacheBytes bounds the answers that are kept for the next who asks the same; 0 keeps none.
	CacheBytes int64
	// RateLimit is how many requests a minute each token, or without tokens each address, may
	// make; 0: any number.
	RateLimit int
	// Authenticator checks the bearer token of each request. Nil disables authentication.
	Authenticator Authenticator
	// TLSConfig makes Serve use TLS. It must provide a certificate, and it is not modified.
	// Nil means plain HTTP.
	TLSConfig *tls.Config
	// CertificateExpiry returns the expiry time of the current TLS certificate, which is
	// exported as a metric. It may be called concurrently. Nil leaves the metric out.
	CertificateExpiry func() time.Time
	// CORSOrigins are the origins whose pages may ask; none: no other than the service's own.
	CORSOrigins []string
	// Timeout bounds a request from the end of its body to its answer.
	Timeout time.Duration
	// HeaderTimeout bounds the reading of a request's header, BodyTimeout that of the whole
	// request, WriteTimeout the sending of its answer.
	HeaderTimeout, BodyTimeout, WriteTimeout time.Duration
	// Grace bounds how long Serve waits for admitted requests once told to stop.
	ShutdownTimeout time.Duration
	// Version is told in the metrics, and is part of every ETag.
	Version string
	// Logger takes one line a request.
	Logger *slog.Logger
	// Registry takes the service's metrics and is what the admin handler shows.
	Registry *prometheus.Registry
}

// DefaultConfig serves as many pictures at once as there are processors, lets half as many
// wait, and everybody in. It has a registry of its own.
func DefaultConfig() Config {
	workers := runtime.GOMAXPROCS(0)
	limits := imageio.DefaultLimits()
	return Config{
		MaxImageBytes:   limits.MaxBytes,
		MaxImagePixels:  limits.MaxPixels,
		MaxImageSide:    limits.MaxSide,
		MaxImages:       100,
		Workers:         workers,
		Queue:           DefaultQueue(workers),
		WorkPixels:      limits.MaxPixels,
		BodyMemory:      512 << 20,
		MaxConnections:  1024,
		CacheBytes:      64 << 20,
		Timeout:         60 * time.Second,
		HeaderTimeout:   10 * time.Second,
		BodyTimeout:     30 * time.Second,
		WriteTimeout:    30 * time.Second,
		ShutdownTimeout: 30 * time.Second,
		Version:         "unknown",
		Logger:          slog.Default(),
		Registry:        prometheus.NewRegistry(),
	}
}

// DefaultQueue is how many requests may wait for so many workers: half as many, one at least.
// Whoever is let in is then served in three times the time that a search takes alone; more
// would wait longer, and no more be served.
func DefaultQueue(workers int) int { return max(workers/2, 1) }

// Validate reports every setting that cannot be served with, by the names of the flags.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s %v: want %s", name, value, want))
		}
	}
	check(c.MaxImageBytes >= 0, "max-bytes", c.MaxImageBytes, "0 for the default, or more")
	check(c.MaxImagePixels >= 0, "max-pixels", c.MaxImagePixels, "0 for the default, or more")
	check(c.MaxImageSide >= 0, "max-picture-side", c.MaxImageSide, "0 for the default, or more")
	check(c.MaxBoxes >= 0, "max-boxes", c.MaxBoxes, "0 or more")
	check(c.MaxImages > 0, "max-pictures", c.MaxImages, "1 or more")
	check(c.Workers > 0, "workers", c.Workers, "1 or more")
	check(c.Queue >= 0, "queue", c.Queue, "0 or more")
	check(c.Threads >= 0, "threads", c.Threads, "0 or more")
	check(c.WorkPixels > 0, "work-pixels", c.WorkPixels, "1 or more")
	check(c.BodyMemory > 0, "body-memory", c.BodyMemory, "1 or more")
	check(c.MaxConnections > 0, "max-connections", c.MaxConnections, "1 or more")
	check(c.CacheBytes >= 0, "cache", c.CacheBytes, "0 or more")
	check(c.RateLimit >= 0, "rate-limit", c.RateLimit, "0 or more")
	check(c.Timeout > 0, "timeout", c.Timeout, "more than 0")
	check(c.HeaderTimeout > 0, "header-timeout", c.HeaderTimeout, "more than 0")
	check(c.BodyTimeout > 0, "body-timeout", c.BodyTimeout, "more than 0")
	check(c.WriteTimeout > 0, "write-timeout", c.WriteTimeout, "more than 0")
	check(c.ShutdownTimeout >= 0, "grace", c.ShutdownTimeout, "0 or more")
	check(c.Logger != nil, "logger", c.Logger, "one")
	check(c.Registry != nil, "registry", c.Registry, "one")
	if len(errs) > 0 {
		return fmt.Errorf("api: %w", errors.Join(errs...))
	}
	return nil
}

// limits returns the bounds of one image.
func (c Config) limits() imageio.Limits {
	return imageio.Limits{MaxBytes: c.MaxImageBytes, MaxPixels: c.MaxImagePixels, MaxSide: c.MaxImageSide}
}

// httpServer bounds what a connection may take beside the bodies.
func (c Config) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: c.HeaderTimeout,
		ReadTimeout:       c.BodyTimeout,
		WriteTimeout:      c.BodyTimeout + c.Timeout + c.WriteTimeout,
		IdleTimeout:       30 * time.Second, // each is one of MaxConnections
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn),
	}
}
