package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"golang.org/x/sync/semaphore"

	"github.com/proposer/proposer/imageio"
	"github.com/proposer/proposer/pipeline"
)

// Server is the service. It is an http.Handler, safe for concurrent use.
type Server struct {
	cfg     Config
	mux     *chi.Mux
	metrics *metrics

	places   *semaphore.Weighted // held by every request from its body to its answer
	work     *semaphore.Weighted // held by those that decode and search
	draining atomic.Bool

	// run is pipeline.Run, but for tests that must know when a search is at work.
	run func(context.Context, []byte, pipeline.Options) (*pipeline.Result, error)
}

// New makes a server. It registers its metrics, so a registry serves one server.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Limits.MaxBytes == 0 {
		cfg.Limits.MaxBytes = imageio.DefaultLimits().MaxBytes
	}
	m, err := newMetrics(cfg.Registry, cfg.Version)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:     cfg,
		mux:     chi.NewRouter(),
		metrics: m,
		places:  semaphore.NewWeighted(int64(cfg.Workers + cfg.Queue)),
		work:    semaphore.NewWeighted(int64(cfg.Workers)),
		run:     pipeline.Run,
	}
	s.mux.Use(s.observe, middleware.GetHead)
	s.mux.NotFound(notFound)
	s.mux.MethodNotAllowed(s.methodNotAllowed)
	s.mux.Get("/", index)
	s.mux.Post("/v1/proposals", s.propose)
	s.mux.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, "alive\n") })
	s.mux.Get("/readyz", s.ready)
	s.mux.Method(http.MethodGet, "/metrics", m.handler)
	return s, nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve takes connections from ln until the context ends. Then it drains: it
// turns new requests away (503, also on /readyz) but goes on listening until all
// that were admitted are answered, then closes. It returns nil if that was done
// within Config.Grace, else an error, with what was left cut off.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	hs := s.cfg.httpServer(s)
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(ln) }()
	s.cfg.Logger.Info("listening", "addr", ln.Addr().String())
	select {
	case err := <-ended:
		return fmt.Errorf("api: %w", err)
	case <-ctx.Done():
	}

	s.draining.Store(true)
	s.cfg.Logger.Info("draining", "grace_seconds", s.cfg.Grace.Seconds())
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Grace)
	defer cancel()
	all := int64(s.cfg.Workers + s.cfg.Queue)
	err := s.places.Acquire(grace, all)
	if err == nil {
		s.places.Release(all)
		err = hs.Shutdown(grace) // the last answers may still be on their way
	}
	if err != nil {
		err = fmt.Errorf("api: requests were not answered within %v and are cut off", s.cfg.Grace)
		err = errors.Join(err, hs.Close())
	}
	<-ended
	return err
}

func text(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(s)) // nobody to tell
}

func index(w http.ResponseWriter, _ *http.Request) {
	text(w, `proposer: boxes that may hold objects, best first

POST /v1/proposals   a picture (JPEG, PNG, WebP, BMP, TIFF) as the body or as the form field image
                     ?`+strings.Join(options, "= &")+`=
GET  /healthz        alive
GET  /readyz         takes requests
GET  /metrics        for Prometheus

curl --data-binary @photo.jpg 'http://HOST/v1/proposals?mode=fast&max=100'
`)
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		fail(w, r, drainingProblem())
		return
	}
	text(w, "ready\n")
}

func drainingProblem() *problem {
	return newProblem(http.StatusServiceUnavailable, "draining", "the service is about to stop: ask another one")
}

func notFound(w http.ResponseWriter, r *http.Request) {
	fail(w, r, newProblem(http.StatusNotFound, "path", "there is nothing at this path: GET / tells what there is",
		field{"path", r.URL.Path, "/v1/proposals, /healthz, /readyz or /metrics"}))
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		if s.mux.Match(chi.NewRouteContext(), m, r.URL.Path) {
			allowed = append(allowed, m)
			if m == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
	}
	if allowed == nil { // a method that chi does not know, at a path that there is not
		notFound(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	fail(w, r, newProblem(http.StatusMethodNotAllowed, "method", "this path has other methods",
		field{"method", r.Method, strings.Join(allowed, " or ")}))
}
