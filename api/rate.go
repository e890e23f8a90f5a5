package api

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxRateClients is the maximum number of clients that a rateLimiter remembers.
const maxRateClients = 1 << 14

// A rateLimiter limits what each client takes per minute. A client can take a minute's worth in advance.
// It is safe for concurrent use, and its memory is constant.
type rateLimiter struct {
	perMinute int

	mu      sync.Mutex
	clients map[string]*rate.Limiter
}

func newRateLimiter(perMinute int) *rateLimiter {
	return &rateLimiter{perMinute: perMinute, clients: map[string]*rate.Limiter{}}
}

// take takes one for a client, or returns the time until there is one.
func (l *rateLimiter) take(client string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	c := l.limiter(client, now)
	if left := c.TokensAt(now); left < 1 {
		return time.Duration((1 - left) / float64(c.Limit()) * float64(time.Second))
	}
	c.AllowN(now, 1)
	return 0
}

// charge takes n, even if there are fewer: the client then has to wait longer.
func (l *rateLimiter) charge(client string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for c := l.limiter(client, now); n > 0; n -= l.perMinute { // the maximum of a reservation
		c.ReserveN(now, min(n, l.perMinute))
	}
}

// limiter returns that of a client.
func (l *rateLimiter) limiter(client string, now time.Time) *rate.Limiter {
	c := l.clients[client]
	if c == nil {
		l.forget(now)
		c = rate.NewLimiter(rate.Limit(l.perMinute)/60, l.perMinute)
		l.clients[client] = c
	}
	return c
}

// forget limits the number of clients. It deletes those that have taken nothing for a minute, which
// changes nothing, or all if few have.
func (l *rateLimiter) forget(now time.Time) {
	if len(l.clients) < maxRateClients {
		return
	}
	maps.DeleteFunc(l.clients, func(_ string, c *rate.Limiter) bool { return c.TokensAt(now) >= float64(l.perMinute) })
	if len(l.clients) > maxRateClients/8*7 {
		clear(l.clients)
	}
}
