package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/proposer/proposer/api"
)

type addrFlag struct {
	Addr string `default:":8080" env:"PROPOSER_ADDR" placeholder:"HOST:PORT" help:"Address of the service, by default :8080: all interfaces."`
}

type serveCmd struct {
	addrFlag   `embed:""`
	rankerFlag `embed:""`
	limitFlags `embed:""`

	Workers   int           `placeholder:"N" help:"Pictures to search at once; by default as many as processors."`
	Queue     int           `placeholder:"N" default:"-1" help:"Requests that may wait beside those; more get 503. By default four times the workers. Bodies take up to (workers + queue) × max-bytes of memory."`
	Threads   int           `placeholder:"N" default:"0" help:"Threads of one search; 0 is as many as processors."`
	Timeout   time.Duration `default:"60s" help:"Longest time from the end of a request's body to its answer."`
	Grace     time.Duration `default:"30s" help:"Longest time to answer what was admitted, once told to stop."`
	LogFormat string        `enum:"auto,text,json" default:"auto" help:"Log lines on standard error: text, json, or auto (text on a terminal)."`
}

// Run is the command.
func (c *serveCmd) Run(ctx context.Context, std streams) error {
	cfg := api.DefaultConfig()
	var err error
	if cfg.Limits, err = c.limits(); err != nil {
		return err
	}
	if err := c.into(&cfg.Ranker); err != nil {
		return err
	}
	if c.Workers != 0 {
		cfg.Workers = c.Workers
		cfg.Queue = 4 * c.Workers
	}
	if c.Queue != -1 {
		cfg.Queue = c.Queue
	}
	cfg.Threads = c.Threads
	cfg.Timeout = c.Timeout
	cfg.Grace = c.Grace
	cfg.Version = thisBuild().Version
	cfg.Logger = c.logger(std)
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	server, err := api.New(cfg)
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("--addr %s: %w", c.Addr, err)
	}
	return server.Serve(ctx, ln)
}

func (c *serveCmd) logger(std streams) *slog.Logger {
	format := c.LogFormat
	if format == "auto" {
		format = "json"
		if terminal(std.err) {
			format = "text"
		}
	}
	if format == "text" {
		return slog.New(slog.NewTextHandler(std.err, nil))
	}
	return slog.New(slog.NewJSONHandler(std.err, nil))
}
