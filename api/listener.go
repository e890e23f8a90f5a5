package api

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// Memory of a connection, in bytes. Connections have at most half of all memory, so that they leave
// the rest to requests.
const (
	// connectionMemory is reserved for every connection: its buffers and goroutines, and those of TLS.
	connectionMemory = 64 << 10
	// http2Memory is reserved in addition for an HTTP/2 connection, from its first request: what has
	// arrived of bodies before it is read, the tables of HPACK, and the state of its streams.
	http2Memory = receiveBuffer + 128<<10
	// headerFactor is how much memory a byte of an HTTP/1 header takes until the request is handled:
	// a field of four bytes takes more than 100.
	headerFactor = 32
	// sendBuffer is the size of the kernel's buffer of what a client has not read yet. The kernel
	// doubles it.
	sendBuffer = 128 << 10
)

// connections are the open connections of all listeners.
type connections struct {
	memory *memory
	places chan struct{} // a listener may have one more connection, which waits to be served
}

func newConnections(c Config, m *memory) *connections {
	n := min(int64(c.MaxConnections), max(m.total/2/connectionMemory, 1))
	return &connections{memory: m, places: make(chan struct{}, n)}
}

// serve makes the connections of a server and its listener count.
func (cs *connections) serve(hs *http.Server, ln net.Listener) net.Listener {
	hs.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, connectionOf(c))
	}
	hs.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateIdle {
			connectionOf(c).idle()
		}
	}
	return &countingListener{Listener: ln, connections: cs, closed: make(chan struct{})}
}

type connectionKey struct{}

// connectionOf returns the connection that a server knows as c.
func connectionOf(c net.Conn) *connection {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	counted, _ := c.(*connection)
	return counted
}

type countingListener struct {
	net.Listener
	connections *connections
	closed      chan struct{}
	once        sync.Once
}

// Accept takes a place only once there is a connection, so that an idle listener takes none.
func (l *countingListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.connections.places <- struct{}{}:
		case <-l.closed:
			_ = conn.Close() // not served
			return nil, net.ErrClosed
		}
		c := &connection{Conn: conn, connections: l.connections, client: clientAddress(conn.RemoteAddr().String()), inHeader: true}
		if c.reserve(connectionMemory) == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetWriteBuffer(sendBuffer) // else the kernel grows it to megabytes
			}
			return c, nil
		}
		_ = c.Close()
	}
}

func (l *countingListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.closed) })
	return err
}

// A connection reserves the memory of its buffers, and while it reads the header of a request, that of
// the fields. Its methods may be called on nil, which stands for a connection that does not count.
type connection struct {
	net.Conn
	connections *connections
	client      string

	mu       sync.Mutex
	closed   bool
	held     int64
	inHeader bool  // of an HTTP/1 request
	header   int64 // bytes reserved for it
	begun    bool  // a request has been handled
	http2    bool  // http2Memory is reserved
}

// reserve reserves n more bytes.
func (c *connection) reserve(n int64) error {
	if c.closed {
		return net.ErrClosed
	}
	if err := c.connections.memory.reserveConnection(c.client, n); err != nil {
		return err
	}
	c.held += n
	return nil
}

func (c *connection) release(n int64) {
	c.connections.memory.releaseConnection(c.client, n)
	c.held -= n
}

// Read reserves the memory for a header after its bytes have been read, but before they are parsed.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.inHeader || n == 0 {
		return n, err
	}
	const most = headerFactor * (maxHeaderBytes + 4<<10) // net/http reads as much
	if more := min(int64(n)*headerFactor, most-c.header); c.reserve(more) == nil {
		c.header += more
		return n, err
	}
	return 0, &net.OpError{Op: "read", Net: "tcp", Err: errOverloaded} // closes the connection
}

// idle says that the next request may arrive. An HTTP/2 connection is idle before its first request as
// well; its headers have a limit that counts what a field takes.
func (c *connection) idle() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inHeader = c.begun && !c.http2
	c.releaseHeader()
}

func (c *connection) releaseHeader() {
	c.release(c.header)
	c.header = 0
}

// beginRequest says that a request is handled, whose header is counted from now on as that of a
// request. It reserves the memory of an HTTP/2 connection.
func (c *connection) beginRequest(http2 bool) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseHeader()
	c.inHeader, c.begun = false, true
	if http2 && !c.http2 {
		if err := c.reserve(http2Memory); err != nil {
			return err
		}
		c.http2 = true
	}
	return nil
}

func (c *connection) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.release(c.held)
		c.header = 0
		<-c.connections.places
	}
	return err
}
