package api

import (
	"net/http"
	"net/http/pprof"
	"time"
)

// Admin returns the handler for operators: metrics, profiles and health. Serve it on a
// separate listener that clients cannot reach: it requires no token, and profiles reveal
// internals and use processor time.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.handler)
	mux.HandleFunc("GET /healthz", serveLive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		writeText(w, "ready\n")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// adminServer speaks HTTP/1, and has no write timeout: a profile may take minutes.
func (s *Server) adminServer() *http.Server {
	hs := s.cfg.httpServer(s.Admin())
	hs.Protocols = nil
	hs.WriteTimeout = 0
	hs.IdleTimeout = time.Minute
	return hs
}
