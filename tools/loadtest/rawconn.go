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

// A rawConn describes an exchange of bytes that net/http's client would not send.
type rawConn struct {
	send [][]byte
	// repeat, unless nil, is sent again and again, each time after the pause, until the service answers
	// or closes the connection.
	repeat []byte
	pause  time.Duration
	// halfClose closes the sending side after everything is sent.
	halfClose bool
	// responses is the number of responses to read. If it is 0, the connection is dropped after
	// dropAfter bytes have been read, after a stall, with a TCP reset if reset is set.
	responses int
	stall     time.Duration
	dropAfter int
	reset     bool
}

// errClosed reports that the service closed the connection before a complete response. If it had not read
// everything that was sent, its response may have been lost.
var errClosed = errors.New("the service closed the connection")

func dial(ctx context.Context, target *url.URL) (net.Conn, error) {
	host := target.Host
	if target.Port() == "" {
		host = net.JoinHostPort(target.Hostname(), map[string]string{"http": "80", "https": "443"}[target.Scheme])
	}
	if target.Scheme == "https" {
		return (&tls.Dialer{Config: &tls.Config{NextProtos: []string{"http/1.1"}}}).DialContext(ctx, "tcp", host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", host)
}

// exchange sends the bytes and returns the responses, with an error if there are fewer than wanted.
// The end of the context closes the connection.
func (c *rawConn) exchange(ctx context.Context, target *url.URL, patience time.Duration) ([]*response, error) {
	start := time.Now()
	conn, err := dial(ctx, target)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(start.Add(patience)); err != nil {
		return nil, err
	}
	if c.responses == 0 {
		c.write(conn, nil)
		select {
		case <-ctx.Done():
		case <-time.After(c.stall):
		}
		_, _ = io.CopyN(io.Discard, conn, int64(c.dropAfter)) // fewer if the service closes first
		if tcp, ok := conn.(*net.TCPConn); ok && c.reset {
			_ = tcp.SetLinger(0)
		}
		return nil, nil
	}

	done, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		c.write(conn, done)
	}()
	defer func() {
		close(done)
		_ = conn.Close()
		<-written
	}()

	var responses []*response
	r := bufio.NewReader(conn)
	for len(responses) < c.responses {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return responses, fmt.Errorf("neither answered nor closed in %v", patience)
			}
			return responses, errClosed
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			return responses, fmt.Errorf("%w: body: %w", errClosed, err)
		}
		if res.StatusCode < 200 { // 100 Continue
			continue
		}
		responses = append(responses, &response{res.StatusCode, res.Header, body, time.Since(start)})
	}
	return responses, nil
}

// write sends everything until an error or until done is closed.
func (c *rawConn) write(conn net.Conn, done <-chan struct{}) {
	for _, data := range c.send {
		if _, err := conn.Write(data); err != nil {
			return // the reader sees why
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok && c.halfClose {
		_ = tcp.CloseWrite()
	}
	for c.repeat != nil {
		select {
		case <-done:
			return
		case <-time.After(c.pause):
		}
		if _, err := conn.Write(c.repeat); err != nil {
			return
		}
	}
}
