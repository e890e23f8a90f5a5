package api

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/proposer/proposer/api/docs"
	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/api/web"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

//go:embed openapi.yaml
var openAPISpec []byte

// newDocsPage renders openAPISpec once for all servers, as that takes a few milliseconds.
var newDocsPage = sync.OnceValues(func() (*docs.Page, error) { return docs.New(openAPISpec) })

// Server is the HTTP service. It is an http.Handler, safe for concurrent use. Make one with [New].
type Server struct {
	cfg          Config
	mux, grpc    *chi.Mux
	metrics      *metrics
	admission    *admission
	rates        *rateLimiter // images, if Config.RateLimit is not 0
	failedLogins *rateLimiter
	cache        *responseCache
	capabilities []byte
	draining     atomic.Bool

	// run is propose.Run, except in tests that observe or replace searches.
	run func(context.Context, []byte, propose.Options) (*propose.Result, error)
}

// New returns a server. It registers the metrics in cfg.Registry, which must not be used for another
// server. The error lists every invalid field of cfg.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	limits := imageio.DefaultLimits()
	cfg.MaxImageBytes = cmp.Or(cfg.MaxImageBytes, limits.MaxBytes)
	cfg.MaxImagePixels = cmp.Or(cfg.MaxImagePixels, limits.MaxPixels)
	cfg.MaxImageSide = cmp.Or(cfg.MaxImageSide, limits.MaxSide)
	cfg.Logger = slog.New(clipHandler{cfg.Logger.Handler()})
	m, err := newMetrics(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:       cfg,
		mux:       chi.NewRouter(),
		grpc:      chi.NewRouter(),
		metrics:   m,
		admission: newAdmission(cfg, m),
		rates:     newRateLimiter(cfg.RateLimit),
		run:       propose.Run,

		failedLogins: newRateLimiter(maxFailedLogins),
	}
	if s.cache, err = newResponseCache(cfg, m); err != nil {
		return nil, err
	}
	if s.capabilities, err = s.marshalCapabilities(); err != nil {
		return nil, err
	}
	return s, s.route()
}

func (s *Server) route() error {
	docsPage, err := newDocsPage()
	if err != nil {
		return err
	}
	// A slash at the end of a path is ignored, as clients join paths to base URLs. A redirect would
	// make them drop the body of a POST request.
	s.mux.Use(s.instrument, restrictBrowsers, s.reserve, s.crossOrigin, middleware.StripSlashes, middleware.GetHead)
	s.mux.NotFound(notFound)
	s.mux.MethodNotAllowed(s.methodNotAllowed)
	web.Mount(s.mux)
	s.mux.Get("/docs", docsPage.ServeHTTP)
	s.mux.Get("/openapi.yaml", serveOpenAPI)
	s.mux.Get("/healthz", serveLive)
	s.mux.Get("/readyz", s.whileReady(serveReady))
	s.mux.Get("/v2/health/live", s.serveJSON(openinference.ServerLive{Live: true}))
	s.mux.Get("/v2/health/ready", s.whileReady(s.serveJSON(openinference.ServerReady{Ready: true})))
	access := chi.Middlewares{s.authenticate, s.limitRate}
	s.mux.Group(func(r chi.Router) {
		r.Use(access...)
		r.Get("/v1/modes", s.handleModes)
		r.With(s.admit).Post("/v1/proposals", s.handleProposals)
		r.With(s.admit).Post("/v1/rois", s.handleRoIs)
		r.With(s.admit).Post("/v1/segments", s.handleSegments)
		s.routeInference(r)
	})
	s.routeGRPC(access...)
	return nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Listeners are what [Server.Serve] accepts connections from. All but HTTP may be nil.
type Listeners struct {
	HTTP  net.Listener // the service
	GRPC  net.Listener // the handler of [Server.GRPC], with HTTP/2, and TLS if Config.TLSConfig is set
	Admin net.Listener // the handler of [Server.Admin]
}

// Serve serves clients and operators until ctx ends. Then it drains: it keeps listening but rejects new
// requests, and /readyz, with 503 until all admitted requests have been answered. It closes the
// listeners and returns nil if that takes no longer than Config.ShutdownTimeout; otherwise it closes
// the remaining connections and returns an error.
func (s *Server) Serve(ctx context.Context, l Listeners) error {
	var servers []*http.Server
	ended := make(chan error, 3)
	connections := newConnections(s.cfg, s.admission.memory)
	serve := func(hs *http.Server, ln net.Listener) {
		servers = append(servers, hs)
		ln = connections.serve(hs, ln)
		if c := s.cfg.TLSConfig; c != nil {
			hs.TLSConfig = c.Clone()
			go func() { ended <- hs.ServeTLS(ln, "", "") }()
		} else {
			go func() { ended <- hs.Serve(ln) }()
		}
	}
	serve(s.cfg.httpServer(s), l.HTTP)
	s.cfg.Logger.Info("listening", "addr", l.HTTP.Addr().String(), "tls", s.cfg.TLSConfig != nil, "h2c", s.cfg.UnencryptedHTTP2)
	if l.GRPC != nil {
		serve(s.grpcServer(), l.GRPC)
		s.cfg.Logger.Info("gRPC listening", "addr", l.GRPC.Addr().String(), "tls", s.cfg.TLSConfig != nil)
	}
	services := servers
	if l.Admin != nil {
		operations := s.adminServer()
		servers = append(servers, operations)
		go func() { ended <- operations.Serve(l.Admin) }()
		s.cfg.Logger.Info("admin listening", "addr", l.Admin.Addr().String())
	}
	left := len(servers)
	var err error
	select {
	case err = <-ended:
		left--
		err = fmt.Errorf("api: %w", err)
	case <-ctx.Done():
		err = s.drain(ctx, services)
	}
	for _, hs := range servers {
		_ = hs.Close() // closes what is still open
	}
	for range left {
		<-ended //nolint:errcheck // the first error is returned
	}
	return err
}

// drain waits until all admitted requests have been answered.
func (s *Server) drain(ctx context.Context, services []*http.Server) error {
	s.draining.Store(true)
	s.cfg.Logger.Info("draining", "grace_seconds", s.cfg.ShutdownTimeout.Seconds())
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
	defer cancel()
	err := s.admission.inFlight.Acquire(grace, maxInFlight)
	if err == nil {
		s.admission.inFlight.Release(maxInFlight)
		for _, hs := range services { // the last responses may not be written yet
			err = errors.Join(err, hs.Shutdown(grace))
		}
	}
	if err != nil {
		return fmt.Errorf("api: shutdown: some requests were not answered within %v", s.cfg.ShutdownTimeout)
	}
	return nil
}

// RecordReload counts a reload of the tokens or the certificate, which failed if err is not nil.
func (s *Server) RecordReload(err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	s.metrics.reloads.WithLabelValues(result).Inc()
}

func writeText(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(s)) // the client may have disconnected
}

func serveLive(w http.ResponseWriter, _ *http.Request) { writeText(w, "alive\n") }

func serveReady(w http.ResponseWriter, _ *http.Request) { writeText(w, "ready\n") }

// whileReady calls the handler unless the service drains.
func (s *Server) whileReady(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			fail(w, r, drainingProblem())
			return
		}
		next(w, r)
	}
}

func drainingProblem() *problem {
	return newProblem(http.StatusServiceUnavailable, "draining", "the service is shutting down; retry on another instance")
}

func notFound(w http.ResponseWriter, r *http.Request) {
	detail := "the path does not exist; GET /docs lists the available paths"
	if isInferencePath(r.URL.Path) {
		detail = "the path does not exist; GET /v2 lists the supported extensions of the protocol, GET /docs the available paths"
	}
	fail(w, r, newProblem(http.StatusNotFound, "path", detail,
		fieldError{"path", r.URL.Path, "one of the paths in /openapi.yaml"}))
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	path := cmp.Or(chi.RouteContext(r.Context()).RoutePath, r.URL.Path) // without a slash at the end
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		if s.mux.Match(chi.NewRouteContext(), m, path) {
			allowed = append(allowed, m)
			if m == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	if allowed == nil { // neither the method nor the path is known
		notFound(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	fail(w, r, newProblem(http.StatusMethodNotAllowed, "method", "the path does not support this method",
		fieldError{"method", r.Method, strings.Join(allowed, " or ")}))
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(openAPISpec) // the client may have disconnected
}
