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
	AdminAddr string        `default:"127.0.0.1:9090" env:"PROPOSER_ADMIN_ADDR" placeholder:"HOST:PORT" help:"Admin address of the service, by default 127.0.0.1:9090; without a host 127.0.0.1."`
	Ready     bool          `help:"Ask whether it takes requests (/readyz), not only whether it lives (/healthz)."`
	Timeout   time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Run is the command.
func (c *healthCmd) Run(ctx context.Context, _ streams) error {
	host, port, err := net.SplitHostPort(c.AdminAddr)
	if err != nil {
		return usageError{fmt.Errorf("--admin-addr %q: want HOST:PORT or :PORT: %w", c.AdminAddr, err)}
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1" // the service listens everywhere, so also here
	}
	url := "http://" + net.JoinHostPort(host, port) + "/healthz"
	if c.Ready {
		url = "http://" + net.JoinHostPort(host, port) + "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{fmt.Errorf("--admin-addr %q: %w", c.AdminAddr, err)}
	}
	// Straight to this machine, whatever proxy the environment names.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 512)) // what there is of it
		return fmt.Errorf("%s: %s: %s", url, res.Status, body)
	}
	return nil
}
