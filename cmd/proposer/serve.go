package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"os/signal"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/internal/auth"
	"github.com/proposer/proposer/internal/config"
	"github.com/proposer/proposer/internal/imageio"
)

type serveCmd struct {
	Settings    any  `embed:""` // flags of the settings, which read them: here they are texts, nil where not given
	PrintConfig bool `help:"Print the settings as a file for --config, each with the place it is from, and exit."`

	service *service
}

func newServe() serveCmd {
	s := newService()
	return serveCmd{Settings: textFlags(append([]config.Setting{config.File}, s.table...)), service: s}
}

func (*serveCmd) Help() string {
	return `A flag goes before the environment, that before the file, that before the default. SIGHUP reads the tokens and the certificate anew, SIGTERM ends the service once what it has admitted is answered.`
}

// textFlags makes a structure that has kong make a flag of text of each setting.
func textFlags(all []config.Setting) any {
	var fields []reflect.StructField
	for i, s := range all {
		help := strings.TrimSuffix(s.Help, ".") + " ("
		if s.Default != "" {
			help += "default " + s.Default + ", "
		}
		help += s.Env() + ")."
		fields = append(fields, reflect.StructField{
			Name: "Flag" + strconv.Itoa(i), Type: reflect.TypeFor[*string](),
			Tag: reflect.StructTag(fmt.Sprintf("name:%q placeholder:%q help:%q", s.Name, s.Hint, help)),
		})
	}
	return reflect.New(reflect.StructOf(fields)).Interface()
}

// flagTexts are the flags that were given, by their names.
func flagTexts(flags any) map[string]string {
	given := map[string]string{}
	v := reflect.ValueOf(flags).Elem()
	for i := range v.NumField() {
		if text := v.Field(i).Interface().(*string); text != nil {
			given[v.Type().Field(i).Tag.Get("name")] = *text
		}
	}
	return given
}

// service is what serve is told.
type service struct {
	table []config.Setting

	cfg                             api.Config
	addr, admin                     string
	ranker, tokens, tlsCert, tlsKey string
	logFormat, logLevel             string

	loadedTokens *auth.Tokens      // nil without authentication
	certificate  *auth.Certificate // nil without TLS
}

func newService() *service {
	s := &service{cfg: api.DefaultConfig()}
	d, c, most := s.cfg, &s.cfg, imageio.MaxLimits()
	whole := func(n int) string { return strconv.Itoa(n) }
	text, bytes := config.FormatDuration, config.FormatBytes
	const day, tebibyte = 24 * time.Hour, 1 << 40
	s.table = []config.Setting{
		{
			Name: "addr", Hint: "HOST:PORT", Default: ":8080", Set: address(&s.addr, ""),
			Help: "Address of the service; without a host all interfaces.",
		},
		{
			Name: "admin-addr", Hint: "HOST:PORT", Default: "127.0.0.1:9090", Set: address(&s.admin, "nothing, or "),
			Help: "Address of the metrics, the profiler and health, which ask for no token; nothing is none.",
		},
		{
			Name: "ranker", Hint: "FILE", Set: config.Text(&s.ranker),
			Help: "Ranker of the order objectness, as proposer train writes it, instead of the program's own.",
		},
		{
			Name: "max-bytes", Hint: "SIZE", Default: bytes(d.MaxImageBytes), Set: config.Bytes(&c.MaxImageBytes, 1, most.MaxBytes),
			Help: "Largest file of a picture.",
		},
		{
			Name: "max-pixels", Hint: "N", Default: whole(int(d.MaxImagePixels)), Set: config.Whole(&c.MaxImagePixels, 1, most.MaxPixels),
			Help: "Largest picture, in pixels.",
		},
		{
			Name: "max-picture-side", Hint: "N", Default: whole(d.MaxImageSide), Set: config.Whole(&c.MaxImageSide, 1, most.MaxSide),
			Help: "Longest side of a picture, in pixels.",
		},
		{
			Name: "max-boxes", Hint: "N", Default: whole(d.MaxBoxes), Set: config.Whole(&c.MaxBoxes, 0, math.MaxInt32),
			Help: "Most boxes of an answer; 0 is any number.",
		},
		{
			Name: "max-pictures", Hint: "N", Default: whole(d.MaxImages), Set: config.Whole(&c.MaxImages, 1, 100_000),
			Help: "Most pictures of a request.",
		},
		{
			Name: "workers", Hint: "N", Default: "auto", Set: config.Auto(func() { c.Workers = d.Workers }, config.Whole(&c.Workers, 1, 1024)),
			Help: "Pictures to search at once; auto is as many as processors.",
		},
		{
			Name: "queue", Hint: "N", Default: "auto", Set: config.Auto(func() { c.Queue = -1 }, config.Whole(&c.Queue, 0, 1<<20)),
			Help: "Requests that may wait beside those, more are turned away; auto is half the workers.",
		},
		{
			Name: "threads", Hint: "N", Default: whole(d.Threads), Set: config.Whole(&c.Threads, 0, 1024),
			Help: "Threads of one search; 0 is as many as processors.",
		},
		{
			Name: "work-pixels", Hint: "N", Default: "auto", Set: config.Auto(func() { c.WorkPixels = 0 }, config.Whole(&c.WorkPixels, 1, tebibyte)),
			Help: "Most pixels to decode and search at once, 80 more for each first region that they may make, unless by one larger picture alone; auto is max-pixels.",
		},
		{
			Name: "body-memory", Hint: "SIZE", Default: bytes(d.BodyMemory), Set: config.Bytes(&c.BodyMemory, 1, tebibyte),
			Help: "Most memory of all requests' bodies; at least max-bytes.",
		},
		{
			Name: "max-connections", Hint: "N", Default: whole(d.MaxConnections), Set: config.Whole(&c.MaxConnections, 1, 1<<20),
			Help: "Most open connections.",
		},
		{
			Name: "timeout", Hint: "TIME", Default: text(d.Timeout), Set: config.Duration(&c.Timeout, time.Millisecond, day),
			Help: "Longest time from the end of a request's body to its answer.",
		},
		{
			Name: "header-timeout", Hint: "TIME", Default: text(d.HeaderTimeout), Set: config.Duration(&c.HeaderTimeout, time.Millisecond, day),
			Help: "Longest time to read a request's header.",
		},
		{
			Name: "body-timeout", Hint: "TIME", Default: text(d.BodyTimeout), Set: config.Duration(&c.BodyTimeout, time.Millisecond, day),
			Help: "Longest time to read a whole request.",
		},
		{
			Name: "write-timeout", Hint: "TIME", Default: text(d.WriteTimeout), Set: config.Duration(&c.WriteTimeout, time.Millisecond, day),
			Help: "Longest time to send an answer.",
		},
		{
			Name: "grace", Hint: "TIME", Default: text(d.ShutdownTimeout), Set: config.Duration(&c.ShutdownTimeout, 0, day),
			Help: "Longest time to answer what was admitted, once told to stop.",
		},
		{
			Name: "cache", Hint: "SIZE", Default: bytes(d.CacheBytes), Set: config.Bytes(&c.CacheBytes, 0, tebibyte),
			Help: "Memory of answers that are kept for the next who asks the same; 0 keeps none.",
		},
		{
			Name: "rate-limit", Hint: "N", Default: whole(d.RateLimit), Set: config.Whole(&c.RateLimit, 0, 1_000_000),
			Help: "Most requests a minute of each token, or without tokens of each address; 0 is any number.",
		},
		{
			Name: "tokens", Hint: "FILE", Set: config.Text(&s.tokens),
			Help: "File of lines NAME TOKEN: who may enter, everybody without it.",
		},
		{
			Name: "tls-cert", Hint: "FILE", Set: config.Text(&s.tlsCert),
			Help: "Certificate of the service (PEM), with those between it and a root; plain HTTP without it.",
		},
		{
			Name: "tls-key", Hint: "FILE", Set: config.Text(&s.tlsKey),
			Help: "The certificate's key (PEM).",
		},
		{
			Name: "cors-origin", Hint: "LIST", List: true,
			Set:  config.List(&c.CORSOrigins, "origins as https://example.com, https://*.example.com or *, with commas between", validOrigin),
			Help: "Origins whose web pages may ask, as in https://example.com,https://*.example.com; * is all.",
		},
		{
			Name: "log-format", Hint: "WORD", Default: "auto", Set: config.OneOf(&s.logFormat, "auto", "text", "json"),
			Help: "Log lines on standard error: text, json, or auto (text on a terminal).",
		},
		{
			Name: "log-level", Hint: "WORD", Default: "info", Set: config.OneOf(&s.logLevel, "debug", "info", "warn", "error"),
			Help: "Least weight of the lines to log: debug, info, warn or error.",
		},
	}
	return s
}

// address keeps HOST:PORT, or nothing if that may be.
func address(to *string, none string) config.Parser {
	return func(text string) string {
		_, port, err := net.SplitHostPort(text)
		if _, wrong := strconv.ParseUint(port, 10, 16); (err != nil || wrong != nil) && (text != "" || none == "") {
			return none + "HOST:PORT, or :PORT for all interfaces, with a port from 0 to 65535"
		}
		*to = text
		return ""
	}
}

// validOrigin tells whether browsers could send this as an origin, or one for which * stands.
func validOrigin(text string) bool {
	if text == "*" {
		return true
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || text != u.Scheme+"://"+u.Host {
		return false
	}
	host := strings.TrimPrefix(u.Hostname(), "*.")
	return host != "" && !strings.ContainsAny(host, "* ")
}

// read takes the settings in, and the files that they name. All that is wrong is told of.
func (s *service) read(flags map[string]string, environ []string) (*config.Values, error) {
	v, err := config.Read(s.table, flags, environ)
	errs := []error{err}
	wrong := func(name, want string, err error) {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			errs = append(errs, v.Wrong(name, want+": "+line))
		}
	}
	c := &s.cfg
	if c.Queue < 0 {
		c.Queue = api.DefaultQueue(c.Workers)
	}
	if c.WorkPixels == 0 {
		c.WorkPixels = c.MaxImagePixels
	}
	if c.BodyMemory < c.MaxImageBytes {
		errs = append(errs, v.Wrong("body-memory", "max-bytes or more: "+config.FormatBytes(c.MaxImageBytes)))
	}
	if s.ranker != "" {
		if c.Ranker, c.RankerName, err = readRanker(s.ranker); err != nil {
			wrong("ranker", "a ranker as proposer train writes it", err)
		}
	}
	if s.tokens != "" {
		if s.loadedTokens, err = auth.LoadTokens(s.tokens); err != nil {
			wrong("tokens", "a file of tokens", err)
		}
		c.Authenticator = s.loadedTokens
	}
	switch {
	case s.tlsCert == "" && s.tlsKey != "":
		errs = append(errs, v.Wrong("tls-key", "tls-cert beside it"))
	case s.tlsCert != "" && s.tlsKey == "":
		errs = append(errs, v.Wrong("tls-cert", "tls-key beside it"))
	case s.tlsCert != "":
		if s.certificate, err = auth.LoadCertificate(s.tlsCert, s.tlsKey); err != nil {
			wrong("tls-cert", "a certificate, and tls-key its key", err)
			break
		}
		c.TLSConfig = s.certificate.TLSConfig()
		c.CertificateExpiry = s.certificate.Expires
	}
	return v, errors.Join(errs...)
}

// printConfig writes the settings as a file, and what auto is here.
func (s *service) printConfig(v *config.Values, std streams) error {
	notes := map[string]string{}
	for name, value := range map[string]any{"workers": s.cfg.Workers, "queue": s.cfg.Queue, "work-pixels": s.cfg.WorkPixels} {
		if v.Text(name) == "auto" {
			notes[name] = fmt.Sprintf("%d here", value)
		}
	}
	return v.Print(std.out, notes)
}

// Run is the command.
func (c *serveCmd) Run(ctx context.Context, std streams) error {
	s := c.service
	values, err := s.read(flagTexts(c.Settings), os.Environ())
	if err != nil {
		return usageError{err}
	}
	if c.PrintConfig {
		for _, warning := range values.Warnings {
			fmt.Fprintln(std.err, "proposer:", warning)
		}
		return s.printConfig(values, std)
	}
	s.cfg.Version = readBuildInfo().Version
	s.cfg.Logger = s.logger(std)
	for _, warning := range values.Warnings {
		s.cfg.Logger.Warn("environment", "warning", warning)
	}
	s.warnLooseTokens()
	s.limitMemory()
	server, err := api.New(s.cfg)
	if err != nil {
		return err
	}
	defer s.reloadOnHangup(ctx, server.RecordReload)()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return values.Wrong("addr", "an address to listen on: "+err.Error())
	}
	if s.admin == "" {
		return server.Serve(ctx, ln, nil)
	}
	admin, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.admin)
	if err != nil {
		_ = ln.Close() // nothing came of it
		return values.Wrong("admin-addr", "an address to listen on: "+err.Error())
	}
	return server.Serve(ctx, ln, admin)
}

// reloadOnHangup reads the tokens and the certificate anew at every SIGHUP, until the context
// ends, and counts each. What it returns waits for the last time.
func (s *service) reloadOnHangup(ctx context.Context, count func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-hangups:
				s.reload(count)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		signal.Stop(hangups) // last: one that comes while the service drains is not to end it
	}
}

// reload reads the tokens and the certificate anew. One that is bad stays what it was.
func (s *service) reload(count func(error)) {
	log := s.cfg.Logger
	tell := func(what, file string, err error) {
		count(err)
		if err != nil {
			log.Error("not reloaded, the old one stays", "what", what, "file", file, "error", err)
			return
		}
		log.Info("reloaded", "what", what, "file", file)
	}
	if t := s.loadedTokens; t != nil {
		tell("tokens", s.tokens, t.Reload())
		s.warnLooseTokens()
	}
	if c := s.certificate; c != nil {
		tell("certificate", s.tlsCert, c.Reload())
	}
	if s.loadedTokens == nil && s.certificate == nil {
		log.Info("nothing to reload: there are no tokens and no certificate")
	}
}

// limitMemory has the collector run earlier where memory gets short: the container's, or the
// machine's. GOMEMLIMIT says otherwise.
func (s *service) limitMemory() {
	limit, err := memlimit.SetGoMemLimitWithOpts(memlimit.WithProvider(availableMemory))
	if err != nil {
		s.cfg.Logger.Warn("how much memory there is, is not known: set GOMEMLIMIT", "error", err)
		return
	}
	s.cfg.Logger.Debug("memory", "limit_bytes", limit)
}

// availableMemory is how much there is.
var availableMemory = memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)

func (s *service) warnLooseTokens() {
	if t := s.loadedTokens; t != nil && t.WorldReadable() {
		s.cfg.Logger.Warn("every user of this machine may read the tokens: want mode 0640 or less", "file", s.tokens)
	}
}

func (s *service) logger(std streams) *slog.Logger {
	format := s.logFormat
	if format == "auto" {
		format = "json"
		if isTerminal(std.err) {
			format = "text"
		}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		panic(err) // the table has other names
	}
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(slog.NewTextHandler(std.err, opts))
	}
	return slog.New(slog.NewJSONHandler(std.err, opts))
}
