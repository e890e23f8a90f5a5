package api

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxFailedLogins is the number of requests per minute of a remote address that are answered with 401.
const maxFailedLogins = 10

// authenticate requires a valid bearer token, unless authentication is off. Requests without one are
// limited by address. A valid token is accepted even then, as clients may share an address.
func (s *Server) authenticate(next http.Handler) http.Handler {
	if s.cfg.Authenticator == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		name, ok := s.cfg.Authenticator.Authenticate(strings.TrimSpace(token))
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			if wait := s.failedLogins.take(recordOf(r).client); wait > 0 {
				failRate(w, r, wait, "too many requests without a valid bearer token; retry after the delay in Retry-After")
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="proposer"`)
			fail(w, r, newProblem(http.StatusUnauthorized, "token", "a valid bearer token is required",
				fieldError{"Authorization", scheme, "Bearer and a valid token"}))
			return
		}
		rec := recordOf(r)
		rec.token, rec.client = name, "token "+name // no name is an address
		rec.memory.setClient(rec.client)
		s.metrics.tokens.WithLabelValues(name).Inc()
		next.ServeHTTP(w, r)
	})
}

// limitRate limits the images per minute of each client: of each token, or without authentication of
// each remote address. A request counts as one image; the others of a form are counted once it has been
// read. It ignores X-Forwarded-For and the like, which clients can forge.
func (s *Server) limitRate(next http.Handler) http.Handler {
	if s.cfg.RateLimit == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait := s.rates.take(recordOf(r).client); wait > 0 {
			failRate(w, r, wait, "the client exceeded its images per minute; retry after the delay in Retry-After")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// failRate responds to a client that has exceeded a rate and may retry after a delay.
func failRate(w http.ResponseWriter, r *http.Request, wait time.Duration, detail string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	fail(w, r, newProblem(http.StatusTooManyRequests, "rate", detail))
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
