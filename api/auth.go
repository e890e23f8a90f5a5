package api

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/cors"
	"github.com/go-chi/httprate"

	"github.com/proposer/proposer/api/openinference"
)

// authenticate lets those in who bring a token that is known.
func (s *Server) authenticate(next http.Handler) http.Handler {
	if s.cfg.Authenticator == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		name, ok := s.cfg.Authenticator.Authenticate(strings.TrimSpace(token))
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="proposer"`)
			fail(w, r, newProblem(http.StatusUnauthorized, "token", "this service wants a token that it knows",
				fieldError{"Authorization", scheme, "Bearer and a token"}))
			return
		}
		recordOf(r).token = name
		s.metrics.tokens.WithLabelValues(name).Inc()
		next.ServeHTTP(w, r)
	})
}

// limitRate bounds the requests of each token, or without tokens of each address. It
// believes no header about the address: whoever may write it could write any.
func (s *Server) limitRate() func(http.Handler) http.Handler {
	if s.cfg.RateLimit == 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	return httprate.LimitBy(s.cfg.RateLimit, time.Minute,
		func(r *http.Request) (string, error) {
			if name := recordOf(r).token; name != "" {
				return "token " + name, nil
			}
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				host = r.RemoteAddr
			}
			return host, nil
		},
		httprate.WithLimitHandler(func(w http.ResponseWriter, r *http.Request) {
			fail(w, r, newProblem(http.StatusTooManyRequests, "rate", "too many requests of one client in a minute: try again after Retry-After seconds"))
		}))
}

// admit lets a request in unless the service is about to stop, and Serve wait for its answer.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admission.inFlight.TryAcquire(1) {
			fail(w, r, drainingProblem())
			return
		}
		defer s.admission.inFlight.Release(1)
		if s.draining.Load() { // looked at once admitted: Serve waits for all who are
			fail(w, r, drainingProblem())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// crossOrigin lets pages of other origins ask, if any may.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	if len(s.cfg.CORSOrigins) == 0 {
		return next
	}
	return cors.Handler(cors.Options{
		AllowedOrigins: s.cfg.CORSOrigins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders: []string{"Accept", "Authorization", "Content-Type", "If-None-Match", requestIDHeader, openinference.HeaderLength},
		ExposedHeaders: []string{"ETag", "Retry-After", "X-Cache", requestIDHeader, openinference.HeaderLength},
		MaxAge:         600,
	})(next)
}
