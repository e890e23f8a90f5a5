package auth

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/proposer/proposer/internal/boundedio"
)

// Certificate is a TLS certificate chain and its key, read from two PEM files. All methods are safe
// for concurrent use.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// LoadCertificate reads a certificate chain and its key.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again, for later handshakes. If it fails, as while only one of the files is
// new, the certificate stays the same.
func (c *Certificate) Reload() error {
	cert, _, err := boundedio.ReadFile(c.certFile, maxFileBytes)
	if err != nil {
		return err
	}
	key, _, err := boundedio.ReadFile(c.keyFile, maxFileBytes)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s, %s: want a certificate and its key in PEM: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return nil
}

// Expires returns the end of the certificate's validity.
func (c *Certificate) Expires() time.Time { return c.current.Load().Leaf.NotAfter }

// TLSConfig returns a configuration for servers: TLS 1.2 or later, HTTP/2 or HTTP/1.1, and the
// certificate as of each handshake.
func (c *Certificate) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
