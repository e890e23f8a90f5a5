package api

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-chi/httprate"
)

// authenticate requires a valid bearer token, unless authentication is off.
func (s *Server) authenticate(next http.Handler) http.Handler {
	if s.cfg.Authenticator == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		name, ok := s.cfg.Authenticator.Authenticate(strings.TrimSpace(token))
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="proposer"`)
			fail(w, r, newProblem(http.StatusUnauthorized, "token", "a valid bearer token is required",
				fieldError{"Authorization", scheme, "Bearer and a valid token"}))
			return
		}
		rec := recordOf(r)
		rec.token, rec.client = name, name
		rec.memory.setClient(name)
		s.metrics.tokens.WithLabelValues(name).Inc()
		next.ServeHTTP(w, r)
	})
}

// limitRate limits the requests of each client: of each token, or without authentication of
// each remote address. It ignores X-Forwarded-For and the like, which clients can forge.
func (s *Server) limitRate() func(http.Handler) http.Handler {
	if s.cfg.RateLimit == 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	return httprate.LimitBy(s.cfg.RateLimit, time.Minute,
		func(r *http.Request) (string, error) { return recordOf(r).client, nil },
		httprate.WithLimitHandler(func(w http.ResponseWriter, r *http.Request) {
			fail(w, r, newProblem(http.StatusTooManyRequests, "rate",
				"the client exceeded its requests per minute; retry after the delay in Retry-After"))
		}))
}

// clientAddress returns the address of a client without its port. Of an IPv6 address it returns the
// network of 64 bits, all of whose addresses a single client may have.
func clientAddress(remote string) string {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote // not of a TCP connection
	}
	ip := addr.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
