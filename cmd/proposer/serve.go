package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/internal/auth"
	"github.com/proposer/proposer/internal/config"
	"github.com/proposer/proposer/internal/cstderr"
)

// maxDecoderText is the maximum length of what a decoder prints about an image that is kept for the log, in
// bytes.
const maxDecoderText = 4 << 10

type serveCmd struct {
	serveSettings `embed:""`

	PrintConfig bool `help:"Print the effective settings as a file for --config, each with its origin, and exit."`

	cfg         api.Config        // the settings and the contents of their files
	tokens      *auth.Tokens      // nil without authentication
	certificate *auth.Certificate // nil without TLS
}

func (*serveCmd) Help() string {
	return `Precedence: flag, environment, settings file, default. SIGHUP reloads the tokens and the certificate. SIGTERM ends the service after it has answered all admitted requests. See docs/configuration.md.`
}

// AfterApply loads the files that the settings name. Kong calls it.
func (c *serveCmd) AfterApply(values *config.Settings) error {
	c.load(values)
	return nil
}

// Run implements the command.
func (c *serveCmd) Run(ctx context.Context, std streams, values *config.Settings) error {
	warnings := values.UnknownEnv(os.Environ())
	if c.PrintConfig {
		for _, warning := range warnings {
			fmt.Fprintln(std.err, "proposer:", warning)
		}
		return values.Print(std.out, autoNotes(values, &c.cfg))
	}

	c.cfg.Version = readBuildInfo().Version
	c.cfg.Logger = c.logger(std)
	for _, warning := range warnings {
		c.cfg.Logger.Warn("environment", "warning", warning)
	}
	if err := cstderr.Redirect(); err != nil {
		c.cfg.Logger.Warn("what image decoders print is not captured", "error", err)
	}
	c.cfg.CaptureDecoder = func() func() ([]byte, int) { return cstderr.Capture(maxDecoderText) }
	c.warnReadableTokens()
	limitMemory(c.cfg.Logger)
	if available, err := availableMemory(); err == nil {
		c.warnMemory(available)
	}

	server, err := api.New(c.cfg)
	if err != nil {
		return err
	}
	defer c.reloadOnHangup(ctx, server.RecordReload)()
	listeners, err := c.listen(ctx, values)
	if err != nil {
		return err
	}
	return server.Serve(ctx, listeners)
}

// listen listens on the addresses that are set.
func (c *serveCmd) listen(ctx context.Context, values *config.Settings) (api.Listeners, error) {
	var listeners api.Listeners
	var open []net.Listener
	for _, l := range []struct {
		name, addr string
		listener   *net.Listener
	}{
		{"addr", string(c.Addr), &listeners.HTTP},
		{"grpc-addr", string(c.GRPCAddr), &listeners.GRPC},
		{"admin-addr", string(c.AdminAddr), &listeners.Admin},
	} {
		if l.addr == "" {
			continue
		}
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.addr)
		if err != nil {
			for _, unused := range open {
				_ = unused.Close()
			}
			return api.Listeners{}, values.Wrong(l.name, "an address to listen on: "+err.Error())
		}
		open = append(open, ln)
		*l.listener = ln
	}
	return listeners, nil
}

// reloadOnHangup calls reload at every SIGHUP until the context ends. The returned function
// waits for the last reload.
func (c *serveCmd) reloadOnHangup(ctx context.Context, count func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-hangups:
				c.reload(count)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		signal.Stop(hangups) // last, so that a SIGHUP during shutdown does not end the process
	}
}

// reload reads the tokens and the certificate again and passes the result of each to count. If a
// file is invalid, its old contents stay in use.
func (c *serveCmd) reload(count func(error)) {
	log := c.cfg.Logger
	report := func(what, file string, err error) {
		count(err)
		if err != nil {
			log.Error("not reloaded, the old one stays", "what", what, "file", file, "error", err)
			return
		}
		log.Info("reloaded", "what", what, "file", file)
	}
	if c.tokens != nil {
		report("tokens", c.Tokens, c.tokens.Reload())
		c.warnReadableTokens()
	}
	if c.certificate != nil {
		report("certificate", c.TLSCert, c.certificate.Reload())
	}
	if c.tokens == nil && c.certificate == nil {
		log.Info("nothing to reload: there are no tokens and no certificate")
	}
}

func (c *serveCmd) warnReadableTokens() {
	if c.tokens != nil && c.tokens.WorldReadable() {
		c.cfg.Logger.Warn("every user of this machine can read the tokens: want mode 0640 or less", "file", c.Tokens)
	}
}

// warnMemory logs a warning if the limits allow clients to use more than the available memory, in bytes.
func (c *serveCmd) warnMemory(available uint64) {
	need := c.cfg.Memory()
	if uint64(need.Total()) <= available {
		return
	}
	advice := "lower body-memory, max-connections or cache"
	if pixels, work := c.cfg.FittingPixels(int64(available)); pixels > 0 {
		advice = fmt.Sprintf("want a max-pixels of at most %d and work-pixels of at most %d, or more memory", pixels, work)
	}
	c.cfg.Logger.Warn("the limits allow clients to use more memory than there is: the process may be killed",
		"memory_bytes", available, "need_bytes", need.Total(), "searches_bytes", need.Searches,
		"clients_bytes", need.Clients, "cache_bytes", need.Cache, "advice", advice)
}

func (c *serveCmd) logger(std streams) *slog.Logger {
	format := c.LogFormat
	if format == "auto" {
		format = "json"
		if isTerminal(std.err) {
			format = "text"
		}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		panic(err) // the flag's enum has other values
	}
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(slog.NewTextHandler(std.err, opts))
	}
	return slog.New(slog.NewJSONHandler(std.err, opts))
}

// limitMemory sets the garbage collector's memory limit, unless GOMEMLIMIT is set.
func limitMemory(log *slog.Logger) {
	limit, err := memlimit.SetGoMemLimitWithOpts(memlimit.WithProvider(availableMemory))
	if err != nil {
		log.Warn("the amount of memory is unknown: set GOMEMLIMIT", "error", err)
		return
	}
	log.Debug("memory", "limit_bytes", limit)
}

// availableMemory returns the memory of the container, or else of the machine.
var availableMemory = memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)
