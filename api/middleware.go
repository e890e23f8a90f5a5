package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

const requestIDHeader = "X-Request-Id"

// requestRecord is what the handlers tell the log of their request.
type requestRecord struct {
	problem *problem
	token   string // the name of the client's token
	attrs   []slog.Attr
}

type recordKey struct{}

func recordOf(r *http.Request) *requestRecord {
	return r.Context().Value(recordKey{}).(*requestRecord)
}

// fail answers with a problem and records it.
func fail(w http.ResponseWriter, r *http.Request, p *problem) {
	recordOf(r).problem = p
	p.write(w, r)
}

// instrument logs and counts every request, names it, and turns a panic into a problem.
func (s *Server) instrument(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()

		id := r.Header.Get(requestIDHeader)
		if !validRequestID(id) {
			id = rand.Text()
		}
		h := w.Header()
		h.Set(requestIDHeader, id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if s.draining.Load() {
			h.Set("Connection", "close") // the next request is another one's
		}
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}

		rec := &requestRecord{}
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			abort := false
			if v := recover(); v != nil {
				abort = handlePanic(ww, r, rec, v)
			}
			s.logRequest(ww, r, rec, id, time.Since(start))
			if abort {
				panic(http.ErrAbortHandler) // net/http then cuts the connection
			}
		}()
		next.ServeHTTP(ww, r.WithContext(context.WithValue(r.Context(), recordKey{}, rec)))
	})
}

// handlePanic answers for a handler that panicked. It reports whether the answer
// had begun, so that the connection must be cut to show that it is not whole.
func handlePanic(w middleware.WrapResponseWriter, r *http.Request, rec *requestRecord, v any) bool {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	p := panicProblem(v)
	rec.problem = p
	if w.Status() != 0 {
		return true
	}
	p.write(w, r)
	return false
}

// panicProblem is that of a panic, where it is recovered.
func panicProblem(v any) *problem {
	p := newProblem(http.StatusInternalServerError, "internal", "the service failed: its log says why")
	p.cause = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	return p
}

func (s *Server) logRequest(w middleware.WrapResponseWriter, r *http.Request, rec *requestRecord, id string, d time.Duration) {
	status := w.Status()
	if status == 0 {
		status = http.StatusOK
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("id", id),
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.String("remote", r.RemoteAddr),
		slog.Float64("seconds", d.Seconds()),
		slog.Int("bytes", w.BytesWritten()),
	}
	if p := rec.problem; p != nil {
		status = p.Status
		s.metrics.rejected.WithLabelValues(p.kind).Inc()
		attrs = append(attrs, slog.String("problem", p.kind))
		if p.cause != nil {
			attrs = append(attrs, slog.String("error", p.cause.Error()))
		} else {
			attrs = append(attrs, slog.String("error", p.Detail))
		}
		if p.Status == http.StatusInternalServerError {
			level = slog.LevelError
		}
	} else if isProbe(r.URL.Path) {
		level = slog.LevelDebug
	}
	if rec.token != "" {
		attrs = append(attrs, slog.String("token", rec.token))
	}
	s.metrics.observeRequest(routePattern(r), status, d)
	attrs = append(attrs, slog.Int("status", status))
	s.cfg.Logger.LogAttrs(context.WithoutCancel(r.Context()), level, "request", append(attrs, rec.attrs...)...)
}

// isProbe tells the requests that come every few seconds and say nothing.
func isProbe(path string) bool {
	return path == "/healthz" || path == "/readyz" || strings.HasPrefix(path, "/v2/health/")
}

// routePattern is the pattern that took the request: few values, whatever strangers ask for.
func routePattern(r *http.Request) string {
	if rc := chi.RouteContext(r.Context()); rc != nil && rc.RoutePattern() != "" {
		return rc.RoutePattern()
	}
	return "none"
}

// validRequestID keeps a client's request id short and out of trouble in logs.
func validRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
