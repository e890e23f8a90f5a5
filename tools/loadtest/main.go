// Command loadtest puts a running service under load and validates every response: its status, its
// conformance to the service's OpenAPI description, and that equal requests get equal boxes in every
// format. A share of the requests is hostile: malformed, truncated, slow or endless. It reports
// throughput and latencies and, if it may read the service's metrics, whether the service
// is back to its baseline after the load.
//
// Request n depends only on the seed and n. The exit code is 1 if any response is invalid.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

type config struct {
	url, admin, images, workload, skip, query, token, hostileToken, out string

	clients, requests                  int
	rate, hostile                      float64
	duration, patience, quiet, timeout time.Duration
	seed                               uint64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the process
	if err := load(ctx, parseFlags()); err != nil {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

func parseFlags() config {
	var c config
	flag.StringVar(&c.url, "url", "http://127.0.0.1:8080", "`address` of the service")
	flag.StringVar(&c.admin, "admin", "",
		"`address` of its metrics, such as http://127.0.0.1:9090; empty: do not read them")
	flag.StringVar(&c.images, "images", "", "`folder` of JPEG and PNG images; empty: rendered scenes")
	flag.StringVar(&c.workload, "mix", mixed,
		"workload: mixed, or plain for single images to /v1/proposals only")
	flag.StringVar(&c.skip, "skip", "",
		"kinds of requests to leave out of the mixed workload, separated by commas")
	mode := flag.String("mode", "", "search mode of the plain workload, short for -query mode=")
	flag.StringVar(&c.query, "query", "", "options of the plain workload, such as max=100&nms=0.8")
	flag.IntVar(&c.clients, "clients", 4, "concurrent clients, each sends its next request after a response")
	flag.Float64Var(&c.rate, "rate", 0,
		"requests per second, whether or not there are responses; 0: as fast as -clients allow")
	flag.DurationVar(&c.duration, "duration", 30*time.Second, "length of the load")
	flag.IntVar(&c.requests, "requests", 0, "end the load after this many requests; 0: after -duration")
	flag.DurationVar(&c.patience, "patience", 45*time.Second,
		"maximum time until the service must have ended a slow connection")
	flag.DurationVar(&c.timeout, "timeout", 3*time.Minute, "maximum time for a response")
	flag.DurationVar(&c.quiet, "quiet", 10*time.Second,
		"maximum time until gauges are back to their baseline after the load")
	flag.Float64Var(&c.hostile, "hostile", 0.1, "share of hostile requests in the mixed workload")
	flag.StringVar(&c.token, "token", "", "bearer `token`")
	flag.StringVar(&c.hostileToken, "hostile-token", "",
		"bearer `token` of hostile requests, so that the others are those of another client; empty: -token")
	flag.Uint64Var(&c.seed, "seed", 1, "seed of the workload")
	flag.StringVar(&c.out, "out", "", "`file` for the report in JSON")
	flag.Parse()
	c.hostileToken = cmp.Or(c.hostileToken, c.token)
	if *mode != "" {
		c.query = "mode=" + url.QueryEscape(*mode) + "&" + c.query
	}
	err := c.validate()
	if flag.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q: want flags only", flag.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(2)
	}
	return c
}

func (c *config) validate() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("-%s %v: want %s", name, value, want))
		}
	}
	isAddress := func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Path == ""
	}
	check(isAddress(c.url), "url", c.url, "an address without a path, such as http://127.0.0.1:8080")
	check(c.admin == "" || isAddress(c.admin), "admin", c.admin, "an address without a path, such as http://127.0.0.1:9090")
	_, err := url.ParseQuery(c.query)
	check(err == nil, "query", c.query, "name=value pairs separated by &")
	check(c.workload == mixed || c.workload == plain, "mix", c.workload, "mixed or plain")
	for name := range strings.SplitSeq(c.skip, ",") {
		isKind := func(k kind) bool { return k.name == name }
		check(name == "" || slices.ContainsFunc(slices.Concat(regularKinds, hostileKinds), isKind), "skip", name, "a kind of the report")
	}
	check(c.clients > 0 && c.clients <= 4096, "clients", c.clients, "1 to 4096")
	check(c.requests >= 0, "requests", c.requests, "0 or more")
	check(c.rate >= 0 && c.rate <= 1e5, "rate", c.rate, "0 to 100000")
	check(c.hostile >= 0 && c.hostile <= 1, "hostile", c.hostile, "0 to 1")
	for name, d := range map[string]time.Duration{
		"duration": c.duration, "patience": c.patience, "quiet": c.quiet, "timeout": c.timeout,
	} {
		check(d > 0, name, d, "more than 0")
	}
	return errors.Join(errs...)
}

func load(ctx context.Context, c config) error {
	rep, err := run(ctx, c, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Print(rep)
	if c.out != "" {
		text, err := json.MarshalIndent(rep, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.out, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if rep.Failures > 0 {
		return fmt.Errorf("%d invalid responses", rep.Failures)
	}
	return nil
}
