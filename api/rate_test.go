package api

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestRateLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRateLimiter(6)
		want := func(client string, wait time.Duration) {
			t.Helper()
			if got := l.take(client); got.Round(time.Millisecond) != wait {
				t.Errorf("%s has to wait for %v, want %v", client, got, wait)
			}
		}
		for range 6 {
			want("a", 0)
		}
		want("a", 10*time.Second)
		want("b", 0)
		time.Sleep(10 * time.Second)
		want("a", 0)
		want("a", 10*time.Second)
		l.charge("a", 50)
		want("a", 510*time.Second)
		time.Sleep(511 * time.Second)
		want("a", 0)
		want("a", 9*time.Second)
	})
}

// The memory of a limiter does not grow with the number of clients, and clients that have all left are
// forgotten before others.
func TestRateLimiterMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRateLimiter(1)
		for i := range maxRateClients / 4 {
			l.take(fmt.Sprint("early ", i))
		}
		time.Sleep(2 * time.Minute)
		l.take("a")
		for i := range maxRateClients {
			l.take(fmt.Sprint(i))
			if i == maxRateClients*3/4 && l.take("a") == 0 {
				t.Error("a client was forgotten though others have all left")
			}
			if len(l.clients) > maxRateClients {
				t.Fatalf("%d clients", len(l.clients))
			}
		}
	})
}
