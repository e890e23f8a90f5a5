// Package api is the HTTP service: it takes images and returns ranked boxes that probably
// contain objects. openapi.yaml describes it and is rendered at GET /docs; the tests validate
// every response against it.
//
//	POST /v1/proposals  boxes of one or more images, in a format chosen by Accept
//	POST /v1/rois       sampled and labeled proposals for training a detector
//	POST /v1/segments   the regions of an image as a label image
//	GET  /v1/modes      modes, options and limits
//	     /v2/...        the Open Inference Protocol, see package openinference; [Server.GRPC] serves
//	                    it over gRPC
//	GET  /healthz       200 while the process runs
//	GET  /readyz        200 while the service accepts requests, 503 while it drains
//
// [New] makes a [Server] from a [Config]. It is an http.Handler; [Server.Serve] also bounds
// connections and drains on shutdown. [Server.Admin] is a separate handler for operators:
// metrics, profiles and health.
//
// A JSON response is byte for byte what the command line prints for the same image and options,
// except for times. The options are those of the command line except for threads, which the
// operator sets. Errors are RFC 9457 problems (application/problem+json), below /v2 errors of
// the protocol, over gRPC statuses; each states what is wrong and what is expected. See the table in
// problem.go.
//
// # Overload
//
// Requests are rejected as early as possible, in this order: memory for the request, token,
// rate, options, memory for the body, image header, size of the response, queue. All memory that clients
// can make the service hold is reserved from Config.BodyMemory before it is taken, that of a body as its
// bytes arrive. Nothing waits for memory: a request without it gets 429, a connection is closed. Responses in the cache need no slot in the queue. Every
// other request takes one of Workers + Queue slots, or is rejected with 429. Of a form one image
// waits at a time, in a single slot. As many images are searched at a time as Workers and WorkPixels
// allow, which bounds the memory of searches. When a client disconnects, its memory and slots are
// released immediately.
//
// Slots and workers are divided fairly between the clients that wait: see package fairqueue. A client is
// a token, or without authentication a remote address, or of IPv6 a network of 64 bits. A client
// with less than its equal share of the slots gets one even if all are taken. While an image waits, at most
// as much work of each other client begins as its own, and one more image.
package api

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/selective"
)

// DefaultMax is the number of boxes in a response if the request has no max option. Two-stage
// detectors train on 2,000 proposals; a search finds many more.
const DefaultMax = 2000

// An Authenticator maps bearer tokens to client names. Its method must be safe for concurrent use.
type Authenticator interface {
	// Authenticate returns the name of the client that owns the token, and whether there is one.
	// The name appears in the log and in the metrics, so it must not be secret.
	Authenticate(token string) (client string, ok bool)
}

// Config configures a [Server]. Start from [DefaultConfig], which has the defaults stated here.
type Config struct {
	// MaxImageBytes is the largest accepted image file, in bytes. 0 means the default, 64 MiB.
	MaxImageBytes int64
	// MaxImagePixels is the largest accepted image, width times height. 0 means the default,
	// 50 million. It limits the initial regions of a search as well: those of a strategy to one for
	// every 150 of these pixels, but at least 16,384 and at most [selective.DefaultMaxRegions]; those of
	// all strategies to one for every four, but at least 524,288.
	MaxImagePixels int64
	// MaxImageSide is the longest accepted side of an image, in pixels. 0 means the default, 65535.
	MaxImageSide int
	// MaxBoxes is the maximum number of boxes per image, 0 or more. 0, the default, means no limit.
	MaxBoxes int
	// MaxImages is the maximum number of images per request, at least 1. The default is 100.
	MaxImages int

	// Workers is the maximum number of images that are searched concurrently, at least 1. The
	// default is GOMAXPROCS.
	Workers int
	// Queue is the maximum number of requests that wait for a worker, 0 or more. Clients below their
	// share may exceed it. The default is [DefaultQueue] of Workers.
	Queue int
	// Threads is the maximum number of goroutines of one search. 0, the default, means GOMAXPROCS.
	Threads int
	// WorkPixels is the maximum number of pixels searched concurrently, at least 1; the default is
	// MaxImagePixels. Each initial region that a search may produce counts as 30 pixels, and as 8 more in
	// the tree of each strategy; each union that is asked for counts as 50. An image that exceeds
	// WorkPixels is searched alone.
	WorkPixels int64
	// BodyMemory is the maximum memory that clients can make the service hold beside the searches and
	// the cache, in bytes: for connections, headers, bodies, requests in flight, decoded parameters and
	// responses. It must be at least four times MaxImageBytes. One client has at most two thirds of it,
	// connections have half. The default is 512 MiB.
	BodyMemory int64
	// MaxConnections is the maximum number of open connections of Serve, at least 1. The default
	// is 1024.
	MaxConnections int

	// Ranker ranks boxes in the order objectness. Nil means the ranker of package objectness.
	Ranker selective.Ranker
	// RankerName identifies Ranker in /v1/modes and in every ETag. Empty means the built-in ranker.
	RankerName string
	// CacheBytes is the maximum memory for cached responses, in bytes, 0 or more. 0 disables the
	// cache. The default is 64 MiB.
	CacheBytes int64

	// RateLimit is the maximum number of images per minute of each client: of each name that
	// Authenticator returns, or of each remote address without one. A request that has no image counts
	// as one. 0, the default, means no limit.
	RateLimit int
	// Authenticator checks the bearer token of each request. Nil, the default, disables
	// authentication.
	Authenticator Authenticator
	// TLSConfig makes Serve use TLS. It must provide a certificate, and it is not modified.
	// Nil, the default, means plain HTTP.
	TLSConfig *tls.Config
	// UnencryptedHTTP2 makes Serve accept HTTP/2 without TLS as well, from clients with prior
	// knowledge (RFC 9113, section 3.3). It cannot be combined with TLSConfig.
	UnencryptedHTTP2 bool
	// CertificateExpiry returns the expiry time of the current TLS certificate, which is
	// exported as a metric. It may be called concurrently. Nil leaves the metric out.
	CertificateExpiry func() time.Time
	// CORSOrigins lists the origins whose pages may call the service, as in https://example.com,
	// https://*.example.com or *. Empty, the default, allows only the service's own pages.
	CORSOrigins []string

	// Timeout limits the time from the end of a request body to the response. It must be positive.
	// The default is 60 seconds.
	Timeout time.Duration
	// HeaderTimeout limits the time to read a request header. It must be positive. The default is
	// 10 seconds.
	HeaderTimeout time.Duration
	// BodyTimeout limits the time to read a whole request. It must be positive. The default is
	// 30 seconds.
	BodyTimeout time.Duration
	// WriteTimeout limits the time to write a response. It must be positive. The default is
	// 30 seconds.
	WriteTimeout time.Duration
	// ShutdownTimeout limits how long Serve waits for admitted requests after its context ends,
	// 0 or more. The default is 30 seconds.
	ShutdownTimeout time.Duration

	// CaptureDecoder captures what the decoder of an image prints on standard error. It is called before
	// the pixels are decoded, and end afterwards, on the same goroutine. end returns the beginning of the
	// text and the number of lines of all of it. The lines are counted, and logged at level debug with the
	// ID of the request. Nil, the default, captures nothing.
	CaptureDecoder func() (end func() (text []byte, lines int))

	// Version is exported as a metric and is part of every ETag. The default is "unknown".
	Version string
	// Logger receives one line per request. It must not be nil. The default is slog.Default().
	Logger *slog.Logger
	// Registry collects the metrics that [Server.Admin] serves. It must not be nil, and it can
	// serve only one Server. The default is a new registry.
	Registry *prometheus.Registry
}

// DefaultConfig returns a Config with the defaults that are documented at its fields.
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

// DefaultQueue returns the default queue length for a number of workers: half of it, at least 16. A few
// clients with several requests each, such as the processes of a data loader, then wait instead of
// being rejected. A longer queue would increase the delay but not the throughput.
func DefaultQueue(workers int) int { return max(workers/2, 16) }

// Validate returns an error that lists every invalid field, by the name of its command-line flag.
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
	minMemory := minBodyMemory(c.MaxImageBytes)
	check(c.BodyMemory >= minMemory, "body-memory", c.BodyMemory, fmt.Sprintf("4 times max-bytes or more: %d", minMemory))
	check(c.MaxConnections > 0, "max-connections", c.MaxConnections, "1 or more")
	check(c.CacheBytes >= 0, "cache", c.CacheBytes, "0 or more")
	check(c.RateLimit >= 0, "rate-limit", c.RateLimit, "0 or more")
	check(c.Timeout > 0, "timeout", c.Timeout, "more than 0")
	check(c.HeaderTimeout > 0, "header-timeout", c.HeaderTimeout, "more than 0")
	check(c.BodyTimeout > 0, "body-timeout", c.BodyTimeout, "more than 0")
	check(c.WriteTimeout > 0, "write-timeout", c.WriteTimeout, "more than 0")
	check(c.ShutdownTimeout >= 0, "grace", c.ShutdownTimeout, "0 or more")
	check(!c.UnencryptedHTTP2 || c.TLSConfig == nil, "h2c", c.UnencryptedHTTP2, "false with TLS")
	check(c.Logger != nil, "logger", c.Logger, "a logger")
	check(c.Registry != nil, "registry", c.Registry, "a registry")
	if len(errs) > 0 {
		return fmt.Errorf("api: %w", errors.Join(errs...))
	}
	return nil
}

// minBodyMemory returns the least BodyMemory for images of so many bytes: one client has two thirds of it,
// and an image in base64 takes two and a third times its size while it is decoded.
func minBodyMemory(maxImageBytes int64) int64 {
	return max(4*cmp.Or(maxImageBytes, imageio.DefaultLimits().MaxBytes), 1)
}

// limitRegions limits the initial regions of a search: of a strategy to one for every 150 pixels of the
// largest image, and of all strategies to one for every four. Without these limits the options k, min-size
// and colors would multiply the memory of a search. With a k of 50, a photograph has one region for
// every few hundred pixels, and noise one for every 155.
func (c Config) limitRegions(search *selective.Options) {
	pixels := cmp.Or(c.MaxImagePixels, imageio.DefaultLimits().MaxPixels)
	search.MaxRegions = int(min(max(pixels/150, 1<<14), selective.DefaultMaxRegions))
	search.MaxTotalRegions = int(min(max(pixels/4, 1<<19), math.MaxInt32))
}

// Memory is a bound of the memory of a [Server], in bytes, by what it is for.
type Memory struct {
	Searches int64 // bounded by MaxImagePixels and WorkPixels
	Clients  int64 // BodyMemory, and what the kernel holds for connections
	Cache    int64 // CacheBytes
	Process  int64 // the program, the model and what is allocated at the start
}

// Total returns the sum.
func (m Memory) Total() int64 { return m.Searches + m.Clients + m.Cache + m.Process }

const (
	// imageBytesPerPixel is the memory of one search for each pixel of its image. It was measured with the
	// options, images and modes that take most memory, and a garbage collector that is short of memory.
	imageBytesPerPixel = 260
	// connectionBuffer is what the kernel holds for a connection, mostly bytes that are not yet received.
	connectionBuffer = 256 << 10
	processMemory    = 100 << 20
)

// Memory returns a bound of the memory that a server with this configuration uses, for clients that
// use all that the limits allow.
func (c Config) Memory() Memory {
	pixels := cmp.Or(c.MaxImagePixels, imageio.DefaultLimits().MaxPixels)
	return Memory{
		Searches: max(pixels*imageBytesPerPixel, c.WorkPixels*propose.BytesPerWorkPixel),
		Clients:  c.BodyMemory + int64(c.MaxConnections)*connectionBuffer,
		Cache:    c.CacheBytes,
		Process:  processMemory,
	}
}

// FittingPixels returns the largest MaxImagePixels and WorkPixels with which Memory is at most total bytes,
// 0 if there are none.
func (c Config) FittingPixels(total int64) (maxImagePixels, workPixels int64) {
	m := c.Memory()
	left := max(total-m.Total()+m.Searches, 0)
	return left / imageBytesPerPixel, left / propose.BytesPerWorkPixel
}

// limits returns the limits of one image.
func (c Config) limits() imageio.Limits {
	return imageio.Limits{MaxBytes: c.MaxImageBytes, MaxPixels: c.MaxImagePixels, MaxSide: c.MaxImageSide}
}

// Limits of a connection.
const (
	maxHeaderBytes = 16 << 10
	maxStreams     = 100
	receiveBuffer  = 128 << 10 // of an HTTP/2 connection, for what has arrived before a handler reads it
	readFrame      = 16 << 10  // a buffer of the size that a frame announces is allocated before it arrives
)

// httpServer returns a server for h with the timeouts and the limits of a connection.
func (c Config) httpServer(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(c.TLSConfig != nil)
	protocols.SetUnencryptedHTTP2(c.UnencryptedHTTP2)
	return &http.Server{
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: receiveBuffer,
			MaxReceiveBufferPerStream:     receiveBuffer,
			MaxReadFrameSize:              readFrame,
			WriteByteTimeout:              c.WriteTimeout,
		},
		Handler:           h,
		ReadHeaderTimeout: c.HeaderTimeout,
		ReadTimeout:       c.BodyTimeout,
		WriteTimeout:      c.BodyTimeout + c.Timeout + c.WriteTimeout,
		IdleTimeout:       30 * time.Second, // idle connections count toward MaxConnections
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn),
	}
}
