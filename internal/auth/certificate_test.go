package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proposer/proposer/internal/testutil/certs"
)

// handshake connects to a server that uses the certificate.
func handshake(t *testing.T, c *Certificate, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", c.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // the client says what went wrong
			err = conn.Close()
		}
		ended <- err
	}()
	defer func() {
		<-ended
		ln.Close()
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, client)
	defer conn.Close()
	err = conn.HandshakeContext(t.Context())
	return conn.ConnectionState(), err
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	day := time.Now().Add(24 * time.Hour).Truncate(time.Second).UTC()
	first := certs.WriteSelfSigned(t, certFile, keyFile, "first", day)
	c, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Expires(); !got.Equal(day) {
		t.Errorf("expires %v, want %v", got, day)
	}
	trusts := func(pool *x509.CertPool) *tls.Config {
		return &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{"h2"}}
	}
	state, err := handshake(t, c, trusts(first))
	if err != nil || state.NegotiatedProtocol != "h2" || state.PeerCertificates[0].Subject.CommonName != "first" {
		t.Fatalf("%v, protocol %q", err, state.NegotiatedProtocol)
	}
	old := trusts(first)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := handshake(t, c, old); err == nil {
		t.Error("the server speaks TLS 1.1")
	}

	// Only one of the files is new, as happens briefly whenever both are replaced.
	certs.WriteSelfSigned(t, certFile, filepath.Join(dir, "other.key"), "second", day)
	if err := c.Reload(); err == nil || !strings.Contains(err.Error(), "want a certificate and its key") {
		t.Errorf("a key that does not match: got %v", err)
	}
	if _, err := handshake(t, c, trusts(first)); err != nil {
		t.Errorf("after a reload that failed: %v", err)
	}

	second := certs.WriteSelfSigned(t, certFile, keyFile, "second", day.Add(time.Hour))
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := c.Expires(); !got.Equal(day.Add(time.Hour)) {
		t.Errorf("expires %v", got)
	}
	if state, err := handshake(t, c, trusts(second)); err != nil || state.PeerCertificates[0].Subject.CommonName != "second" {
		t.Errorf("the new certificate: %v", err)
	}
	if _, err := handshake(t, c, trusts(first)); err == nil {
		t.Error("the server still uses the old certificate")
	} else if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Error(err)
	}
}

func TestCertificateErrors(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, junk := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "junk")
	certs.WriteSelfSigned(t, certFile, keyFile, "first", time.Now().Add(time.Hour))
	write(t, junk, "s3cret")
	for _, c := range []struct{ cert, key, want string }{
		{"none", keyFile, "none: no such file"},
		{certFile, "none", "none: no such file"},
		{dir, keyFile, "want a regular file"},
		{junk, keyFile, "want a certificate and its key in PEM"},
		{certFile, junk, "want a certificate and its key in PEM"},
		{keyFile, certFile, "want a certificate and its key in PEM"},
	} {
		if got, err := LoadCertificate(c.cert, c.key); got != nil || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s, %s: %v; want %q", c.cert, c.key, err, c.want)
		}
	}
}
