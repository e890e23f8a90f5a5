package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// wire is what is done with a connection that net/http's client would not do.
type wire struct {
	send [][]byte
	// endless, unless nil, is sent again and again, with a pause before each, until the
	// service answers or hangs up.
	endless []byte
	pause   time.Duration
	// half ends our side once all is sent.
	half bool
	// answers is how many are wanted; dropped instead reads so many bytes and hangs up, with
	// a reset every other time.
	answers int
	dropped int
	reset   bool
}

// slow tells that it takes long, and stands in nobody's way.
func (w *wire) slow() bool { return w.endless != nil || w.pause > 0 }

// errCut says that the service hung up without an answer, or a whole one: where it has not read all
// that was sent, the rest of what it said may be lost.
var errCut = errors.New("the service hung up")

// dial opens a connection to the service.
func dial(ctx context.Context, to *url.URL) (net.Conn, error) {
	host := to.Host
	if to.Port() == "" {
		host = net.JoinHostPort(to.Hostname(), map[string]string{"http": "80", "https": "443"}[to.Scheme])
	}
	if to.Scheme == "https" {
		return (&tls.Dialer{Config: &tls.Config{NextProtos: []string{"http/1.1"}}}).DialContext(ctx, "tcp", host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", host)
}

// talk does it. It returns the answers, and errCut if there were fewer than wanted. The
// context cuts it off.
func (w *wire) talk(ctx context.Context, to *url.URL, patience time.Duration) (all []*answer, err error) {
	start := time.Now()
	conn, err := dial(ctx, to)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // also ends what is written
	if err := conn.SetDeadline(start.Add(patience)); err != nil {
		return nil, err
	}
	if w.answers == 0 {
		w.write(conn, nil)
		_, _ = io.CopyN(io.Discard, conn, int64(w.dropped)) // or fewer
		if tcp, ok := conn.(*net.TCPConn); ok && w.reset {
			_ = tcp.SetLinger(0)
		}
		return nil, nil
	}
	read, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		w.write(conn, read)
	}()
	defer func() {
		close(read)
		_ = conn.Close()
		<-written
	}()
	r := bufio.NewReader(conn)
	for len(all) < w.answers {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return all, fmt.Errorf("neither answered nor cut off in %v", patience)
			}
			return all, errCut
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return all, fmt.Errorf("%w: its body: %w", errCut, err)
		}
		if res.StatusCode < 200 { // 100 Continue
			continue
		}
		all = append(all, &answer{res.StatusCode, res.Header, body, time.Since(start)})
	}
	return all, nil
}

// write sends all, until it cannot or what comes back has been read.
func (w *wire) write(conn net.Conn, read <-chan struct{}) {
	for _, piece := range w.send {
		if _, err := conn.Write(piece); err != nil {
			return // the reader sees why
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok && w.half {
		_ = tcp.CloseWrite()
	}
	for w.endless != nil {
		select {
		case <-read:
			return
		case <-time.After(w.pause):
		}
		if _, err := conn.Write(w.endless); err != nil {
			return
		}
	}
}
