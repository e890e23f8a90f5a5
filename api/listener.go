package api

import (
	"net"
	"sync"
)

// connectionLimit bounds the number of open connections of several listeners. A listener may have one
// more, which waits to be served.
type connectionLimit chan struct{}

// listen returns ln, whose connections count toward the limit.
func (l connectionLimit) listen(ln net.Listener) net.Listener {
	return &limitedListener{Listener: ln, limit: l, closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	limit  connectionLimit
	closed chan struct{}
	once   sync.Once
}

// Accept takes a place only once there is a connection, so that an idle listener takes none.
func (l *limitedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.limit <- struct{}{}:
		return &limitedConn{Conn: conn, limit: l.limit}, nil
	case <-l.closed:
		_ = conn.Close() // not served
		return nil, net.ErrClosed
	}
}

func (l *limitedListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.closed) })
	return err
}

type limitedConn struct {
	net.Conn
	limit connectionLimit
	once  sync.Once
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.limit })
	return err
}
