package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

type healthCmd struct {
	AdminAddr string        `default:"127.0.0.1:9090" env:"PROPOSER_ADMIN_ADDR" placeholder:"HOST:PORT" help:"Admin address of the service. Without a host: 127.0.0.1."`
	Ready     bool          `help:"Check whether the service accepts requests (/readyz), instead of whether it is alive (/healthz)."`
	Timeout   time.Duration `default:"3s" help:"Time limit for the response."`
}

// Run implements the command.
func (c *healthCmd) Run(ctx context.Context, _ streams) error {
	host, port, err := net.SplitHostPort(c.AdminAddr)
	if err != nil {
		return usageError{fmt.Errorf("--admin-addr %q: want HOST:PORT or :PORT: %w", c.AdminAddr, err)}
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1" // the service listens on all interfaces
	}
	path := "/healthz"
	if c.Ready {
		path = "/readyz"
	}
	url := "http://" + net.JoinHostPort(host, port) + path

	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{fmt.Errorf("--admin-addr %q: %w", c.AdminAddr, err)}
	}
	// Not http.DefaultTransport, which uses a proxy if the environment names one.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 512)) // only for the message
		return fmt.Errorf("%s: %s: %s", url, res.Status, body)
	}
	return nil
}
