package api

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/cors"

	"github.com/proposer/proposer/api/openinference"
)

const requestIDHeader = "X-Request-Id"

// requestRecord collects what the handlers add to the log line of their request.
type requestRecord struct {
	id      string
	problem *problem
	token   string // name of the client's token
	client  string // its token, or without one its address; see clientAddress
	memory  *reservation
	attrs   []slog.Attr
	rpc     bool // the request is a call of gRPC
}

// addTimes adds the times of a job.
func (r *requestRecord) addTimes(decode, search time.Duration) {
	r.attrs = append(r.attrs, slog.Float64("decode_seconds", decode.Seconds()), slog.Float64("search_seconds", search.Seconds()))
}

type recordKey struct{}

func recordOf(r *http.Request) *requestRecord {
	return r.Context().Value(recordKey{}).(*requestRecord)
}

// fail responds with a problem and records it.
func fail(w http.ResponseWriter, r *http.Request, p *problem) {
	recordOf(r).fail(w, r, p)
}

func (r *requestRecord) fail(w http.ResponseWriter, req *http.Request, p *problem) {
	r.problem = p
	if r.rpc {
		p.writeStatus(w)
		return
	}
	p.write(w, req)
}

// instrument logs and counts every request, assigns its ID, and turns panics into problems.
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
		if s.draining.Load() {
			h.Set("Connection", "close") // the next request should go to another instance
		}

		rec := &requestRecord{id: id, client: clientAddress(r.RemoteAddr)}
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			abort := false
			if v := recover(); v != nil {
				abort = handlePanic(ww, r, rec, v)
			}
			s.logRequest(ww, r, rec, time.Since(start))
			if abort {
				panic(http.ErrAbortHandler) // closes the connection
			}
		}()
		next.ServeHTTP(ww, r.WithContext(context.WithValue(r.Context(), recordKey{}, rec)))
	})
}

// restrictBrowsers sets headers that limit what browsers do with a response.
func restrictBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// handlePanic responds for a handler that panicked. It reports whether the response had already
// begun, in which case the connection must be closed so that the client notices the truncation.
func handlePanic(w middleware.WrapResponseWriter, r *http.Request, rec *requestRecord, v any) bool {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	p := panicProblem(v)
	if w.Status() != 0 {
		rec.problem = p
		return true
	}
	rec.fail(w, r, p)
	return false
}

// panicProblem returns the problem of a recovered panic. It must be called while recovering.
func panicProblem(v any) *problem {
	p := newProblem(http.StatusInternalServerError, "internal", "internal error; the log of the service has the details")
	p.cause = panicError(v)
	return p
}

// logRequest counts a finished request and logs it.
func (s *Server) logRequest(w middleware.WrapResponseWriter, r *http.Request, rec *requestRecord, d time.Duration) {
	status := w.Status()
	if status == 0 {
		status = http.StatusOK
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("id", rec.id),
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

// isProbe reports whether the path is one that orchestrators poll.
func isProbe(path string) bool {
	path = strings.TrimSuffix(path, "/")
	switch path {
	case "/healthz", "/readyz", healthCheck, inferenceService + "ServerLive", inferenceService + "ServerReady":
		return true
	}
	return strings.HasPrefix(path, "/v2/health/")
}

// routePattern returns the pattern that matched the request. Unlike the path, it has few values.
func routePattern(r *http.Request) string {
	if rc := chi.RouteContext(r.Context()); rc != nil && rc.RoutePattern() != "" {
		return rc.RoutePattern()
	}
	return "none"
}

// validRequestID reports whether a client's request ID is short and safe to log.
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

// admit rejects requests while the service drains, and makes Serve wait for all others.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admission.inFlight.TryAcquire(1) {
			fail(w, r, drainingProblem())
			return
		}
		defer s.admission.inFlight.Release(1)
		if s.draining.Load() { // checked while in flight, so that drain waits for this request
			fail(w, r, drainingProblem())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxOriginBytes is the maximum length of the origin and the headers that a browser asks for. They need
// a few hundred bytes.
const maxOriginBytes = 2 << 10

// crossOrigin allows pages of the configured origins to call the service.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	if len(s.cfg.CORSOrigins) == 0 {
		return next
	}
	allow := cors.Handler(cors.Options{
		AllowedOrigins: s.cfg.CORSOrigins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders: []string{
			"Accept", "Authorization", "Content-Type", "If-None-Match", requestIDHeader, openinference.HeaderLength,
		},
		ExposedHeaders: []string{"ETag", "Retry-After", "X-Cache", warningHeader, requestIDHeader, openinference.HeaderLength},
		MaxAge:         600,
	})(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The response repeats them.
		if len(r.Header.Get("Origin"))+len(r.Header.Get("Access-Control-Request-Headers")) > maxOriginBytes {
			next.ServeHTTP(w, r)
			return
		}
		allow.ServeHTTP(w, r)
	})
}
