package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/internal/auth"
	"github.com/proposer/proposer/internal/config"
)

// serveSettings are the settings of the service. A field is a flag, an environment variable, and
// a line in the settings file. A test holds the defaults to those of package api, and
// docs/configuration.md to the help.
type serveSettings struct {
	Config config.File `placeholder:"FILE" env:"PROPOSER_CONFIG" help:"Settings file (YAML), one NAME: VALUE per line. Names are those of the flags."`

	Addr      address         `default:":8080" placeholder:"HOST:PORT" env:"PROPOSER_ADDR" help:"Address to listen on. Without a host: all interfaces."`
	GRPCAddr  optionalAddress `name:"grpc-addr" placeholder:"HOST:PORT" env:"PROPOSER_GRPC_ADDR" help:"Address of the Open Inference Protocol over gRPC, with the limits, tokens and certificate of addr. Empty: none."`
	AdminAddr optionalAddress `default:"127.0.0.1:9090" placeholder:"HOST:PORT" env:"PROPOSER_ADMIN_ADDR" help:"Address of metrics, profiler and health checks, which need no token. Empty: none."`
	Ranker    string          `placeholder:"FILE" env:"PROPOSER_RANKER" help:"Ranking model for order objectness, written by proposer train. If unset, the built-in model is used."`

	MaxBytes       config.ByteSize `default:"64MiB" min:"1" max:"2147483647" placeholder:"SIZE" env:"PROPOSER_MAX_BYTES" help:"Maximum size of an image file."`
	MaxPixels      int64           `default:"50000000" min:"1" max:"268435455" placeholder:"N" env:"PROPOSER_MAX_PIXELS" help:"Maximum number of pixels of an image."`
	MaxPictureSide int             `default:"65535" min:"1" max:"1048576" placeholder:"N" env:"PROPOSER_MAX_PICTURE_SIDE" help:"Maximum width and height of an image, in pixels."`
	MaxBoxes       int             `default:"0" min:"0" max:"2147483647" placeholder:"N" env:"PROPOSER_MAX_BOXES" help:"Maximum number of boxes in a response. 0: no limit."`
	MaxPictures    int             `default:"100" min:"1" max:"100000" placeholder:"N" env:"PROPOSER_MAX_PICTURES" help:"Maximum number of images in a request."`

	Workers        int             `default:"auto" auto:"0" min:"1" max:"1024" placeholder:"N" env:"PROPOSER_WORKERS" help:"Number of images searched concurrently. auto: number of processors."`
	Queue          int             `default:"auto" auto:"-1" min:"0" max:"1048576" placeholder:"N" env:"PROPOSER_QUEUE" help:"Number of requests that can wait for a worker. Further requests are rejected, except of clients below their share. auto: 16, or half the workers if that is more."`
	Threads        int             `default:"0" min:"0" max:"1024" placeholder:"N" env:"PROPOSER_THREADS" help:"Number of threads per search. 0: number of processors."`
	WorkPixels     int64           `default:"auto" auto:"0" min:"1" max:"1099511627776" placeholder:"N" env:"PROPOSER_WORK_PIXELS" help:"Maximum pixels processed concurrently. Each possible initial region counts as 30 pixels and as 8 in each tree, each union as 50. A larger image is processed alone. auto: max-pixels."`
	BodyMemory     config.ByteSize `default:"512MiB" min:"1" max:"1TiB" placeholder:"SIZE" env:"PROPOSER_BODY_MEMORY" help:"Maximum memory that clients can make the service hold, at least 4 times max-bytes. Searches and the cache are not part of it."`
	MaxConnections int             `default:"1024" min:"1" max:"1048576" placeholder:"N" env:"PROPOSER_MAX_CONNECTIONS" help:"Maximum number of open connections."`

	Timeout       time.Duration `default:"1m" min:"1ms" max:"24h" placeholder:"TIME" env:"PROPOSER_TIMEOUT" help:"Time limit from the end of a request's body to its response."`
	HeaderTimeout time.Duration `default:"10s" min:"1ms" max:"24h" placeholder:"TIME" env:"PROPOSER_HEADER_TIMEOUT" help:"Time limit for reading a request's header."`
	BodyTimeout   time.Duration `default:"30s" min:"1ms" max:"24h" placeholder:"TIME" env:"PROPOSER_BODY_TIMEOUT" help:"Time limit for reading a whole request."`
	WriteTimeout  time.Duration `default:"30s" min:"1ms" max:"24h" placeholder:"TIME" env:"PROPOSER_WRITE_TIMEOUT" help:"Time limit for sending a response."`
	Grace         time.Duration `default:"30s" min:"0s" max:"24h" placeholder:"TIME" env:"PROPOSER_GRACE" help:"Time limit for finishing admitted requests on shutdown."`

	Cache      config.ByteSize `default:"64MiB" min:"0" max:"1TiB" placeholder:"SIZE" env:"PROPOSER_CACHE" help:"Memory of the response cache. 0: no cache."`
	RateLimit  int             `default:"0" min:"0" max:"1000000" placeholder:"N" env:"PROPOSER_RATE_LIMIT" help:"Maximum images per minute of each token, or of each address if authentication is off. Other requests count as one image. 0: no limit."`
	Tokens     string          `placeholder:"FILE" env:"PROPOSER_TOKENS" help:"Token file, one NAME TOKEN per line. If unset, authentication is off."`
	TLSCert    string          `name:"tls-cert" placeholder:"FILE" env:"PROPOSER_TLS_CERT" help:"TLS certificate (PEM) with its intermediate certificates. If unset, the service speaks plain HTTP."`
	TLSKey     string          `name:"tls-key" placeholder:"FILE" env:"PROPOSER_TLS_KEY" help:"Private key of the TLS certificate (PEM)."`
	H2C        bool            `name:"h2c" default:"false" env:"PROPOSER_H2C" help:"Also accept HTTP/2 without TLS, from clients that know in advance that the service speaks it."`
	CORSOrigin originList      `name:"cors-origin" placeholder:"LIST" env:"PROPOSER_CORS_ORIGIN" help:"Origins of web pages that can use the service, such as https://example.com,https://*.example.com. *: all."`

	LogFormat string `default:"auto" enum:"auto,text,json" placeholder:"WORD" env:"PROPOSER_LOG_FORMAT" help:"Log format on standard error: text, json, or auto (text on a terminal, else json)."`
	LogLevel  string `default:"info" enum:"debug,info,warn,error" placeholder:"WORD" env:"PROPOSER_LOG_LEVEL" help:"Minimum log level: debug, info, warn or error."`
}

// autoQueue is the value of Queue that stands for auto.
const autoQueue = -1

// load makes c.cfg of the settings and the files that they name. Errors are added to values.
func (c *serveCmd) load(values *config.Settings) {
	cfg := api.DefaultConfig()
	cfg.MaxImageBytes = int64(c.MaxBytes)
	cfg.MaxImagePixels = c.MaxPixels
	cfg.MaxImageSide = c.MaxPictureSide
	cfg.MaxBoxes = c.MaxBoxes
	cfg.MaxImages = c.MaxPictures
	cfg.Workers = cmp.Or(c.Workers, cfg.Workers)
	cfg.Queue = c.Queue
	if c.Queue == autoQueue {
		cfg.Queue = api.DefaultQueue(cfg.Workers)
	}
	cfg.Threads = c.Threads
	cfg.WorkPixels = cmp.Or(c.WorkPixels, c.MaxPixels)
	cfg.BodyMemory = int64(c.BodyMemory)
	cfg.MaxConnections = c.MaxConnections
	cfg.Timeout = c.Timeout
	cfg.HeaderTimeout = c.HeaderTimeout
	cfg.BodyTimeout = c.BodyTimeout
	cfg.WriteTimeout = c.WriteTimeout
	cfg.ShutdownTimeout = c.Grace
	cfg.CacheBytes = int64(c.Cache)
	cfg.RateLimit = c.RateLimit
	cfg.CORSOrigins = c.CORSOrigin
	cfg.UnencryptedHTTP2 = c.H2C
	c.cfg = cfg

	if want := 4 * c.MaxBytes; c.BodyMemory < want {
		values.Add(values.Wrong("body-memory", "4 times max-bytes or more: "+want.String()))
	}
	if c.H2C && c.TLSCert != "" {
		values.Add(values.Wrong("h2c", "false with tls-cert, as HTTP/2 then uses TLS"))
	}
	c.loadFiles(values)
}

// loadFiles reads the ranking model, the tokens and the certificate.
func (c *serveCmd) loadFiles(values *config.Settings) {
	fail := func(name, want string, err error) {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			values.Add(values.Wrong(name, want+": "+line))
		}
	}
	var err error
	if c.Ranker != "" {
		if c.cfg.Ranker, c.cfg.RankerName, err = readRanker(c.Ranker); err != nil {
			fail("ranker", "a ranking model written by proposer train", err)
		}
	}
	if c.Tokens != "" {
		if c.tokens, err = auth.LoadTokens(c.Tokens); err != nil {
			fail("tokens", "a token file", err)
		}
		c.cfg.Authenticator = c.tokens
	}
	switch {
	case c.TLSCert == "" && c.TLSKey != "":
		values.Add(values.Wrong("tls-key", "tls-cert to be set as well"))
	case c.TLSCert != "" && c.TLSKey == "":
		values.Add(values.Wrong("tls-cert", "tls-key to be set as well"))
	case c.TLSCert != "":
		if c.certificate, err = auth.LoadCertificate(c.TLSCert, c.TLSKey); err != nil {
			fail("tls-cert", "a certificate whose key is tls-key", err)
			return
		}
		c.cfg.TLSConfig = c.certificate.TLSConfig()
		c.cfg.CertificateExpiry = c.certificate.Expires
	}
}

// autoNotes describes the settings whose value is auto.
func autoNotes(values *config.Settings, c *api.Config) map[string]string {
	notes := map[string]string{}
	for name, value := range map[string]any{"workers": c.Workers, "queue": c.Queue, "work-pixels": c.WorkPixels} {
		if values.Text(name) == "auto" {
			notes[name] = fmt.Sprintf("%d here", value)
		}
	}
	return notes
}

// address is HOST:PORT or :PORT.
type address string

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		return errors.New("HOST:PORT, or :PORT for all interfaces, with a port from 0 to 65535")
	}
	*a = address(text)
	return nil
}

// optionalAddress is an address, or empty.
type optionalAddress string

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *optionalAddress) UnmarshalText(text []byte) error {
	if len(text) > 0 {
		if err := new(address).UnmarshalText(text); err != nil {
			return fmt.Errorf("nothing, or %w", err)
		}
	}
	*a = optionalAddress(text)
	return nil
}

// originList is a list of origins, separated by commas.
type originList []string

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *originList) UnmarshalText(text []byte) error {
	*l = nil
	if strings.TrimSpace(string(text)) == "" {
		return nil
	}
	for origin := range strings.SplitSeq(string(text), ",") {
		origin = strings.TrimSpace(origin)
		if !validOrigin(origin) {
			return errors.New("origins such as https://example.com, https://*.example.com or *, separated by commas")
		}
		*l = append(*l, origin)
	}
	return nil
}

// validOrigin reports whether text is *, an origin that browsers send, or one with *. before the
// domain.
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
