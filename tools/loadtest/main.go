// Command load puts a running service under load and judges every answer: that its status
// is one that the service's own description has, that what is in it agrees with itself and
// with the picture, and that equal requests get equal boxes. A share of the requests is
// hostile: broken, lying, slow or endless. It tells how many pictures a second there were, how
// long they took, and, where it may read the metrics, what the service held before, during
// and after.
//
// What request number n asks depends on the seed and n alone. It exits with 1 if there is
// anything to complain of.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type settings struct {
	url, admin, pictures, mix, query, token, out string
	clients                                      int
	rate, hostile                                float64
	duration, baseline, patience, quiet          time.Duration
	seed                                         uint64
}

// errComplaints says that the service did not do as it should.
var errComplaints = errors.New("there are complaints")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second ctrl-C ends everything at once
	if err := load(ctx, parse()); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func parse() settings {
	var s settings
	flag.StringVar(&s.url, "url", "http://127.0.0.1:8080", "`address` of the service")
	flag.StringVar(&s.admin, "admin", "", "`address` of its metrics, as http://127.0.0.1:9090; none without it")
	flag.StringVar(&s.pictures, "pictures", "", "`folder` of JPEG and PNG pictures; without one, scenes are drawn")
	flag.StringVar(&s.mix, "mix", "mixed", "what to ask: mixed, or plain for pictures to /v1/proposals alone")
	mode := flag.String("mode", "", "mode of plain requests, as in -query mode=")
	flag.StringVar(&s.query, "query", "", "options of plain requests, as in max=100&nms=0.8")
	flag.IntVar(&s.clients, "clients", 4, "how many ask, each as soon as it has its answer")
	flag.Float64Var(&s.rate, "rate", 0, "arrivals a `second` instead, whether or not there are answers")
	flag.DurationVar(&s.duration, "duration", 30*time.Second, "how long to ask")
	flag.DurationVar(&s.baseline, "baseline", 0, "how long one client asks alone before that")
	flag.DurationVar(&s.patience, "patience", 45*time.Second, "how long the service may bear with a slow client")
	flag.DurationVar(&s.quiet, "quiet", 10*time.Second, "how long it may take to be as before, once nobody asks")
	flag.Float64Var(&s.hostile, "hostile", 0.1, "share of hostile requests in the mix")
	flag.StringVar(&s.token, "token", "", "the bearer `token`")
	flag.Uint64Var(&s.seed, "seed", 1, "of the mix")
	flag.StringVar(&s.out, "out", "", "`file` to write the summary to, as JSON")
	flag.Parse()
	if *mode != "" {
		s.query = "mode=" + url.QueryEscape(*mode) + "&" + s.query
	}
	if err := s.check(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "load: unexpected %q: want flags only\n", flag.Arg(0))
		os.Exit(2)
	}
	return s
}

func (s settings) check() error {
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("-%s %v: want %s", name, value, want))
		}
	}
	for name, text := range map[string]string{"url": s.url, "admin": s.admin} {
		u, err := url.Parse(text)
		ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Path == ""
		check(ok || name == "admin" && text == "", name, text, "an address without a path, as http://127.0.0.1:8080")
	}
	_, err := url.ParseQuery(s.query)
	check(err == nil, "query", s.query, "name=value pairs, separated by &")
	check(s.mix == "mixed" || s.mix == "plain", "mix", s.mix, "mixed or plain")
	check(s.clients > 0 && s.clients <= 4096, "clients", s.clients, "1 to 4096")
	check(s.rate >= 0 && s.rate <= 1e5, "rate", s.rate, "0 to 100000")
	check(s.hostile >= 0 && s.hostile <= 1, "hostile", s.hostile, "0 to 1")
	check(s.duration > 0 && s.baseline >= 0 && s.patience > 0 && s.quiet > 0, "duration", s.duration, "times above 0")
	return errors.Join(errs...)
}

func load(ctx context.Context, s settings) error {
	sum, err := run(ctx, s, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Print(sum)
	if s.out != "" {
		text, err := json.MarshalIndent(sum, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.out, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if sum.Complaints > 0 {
		return fmt.Errorf("%w: %d", errComplaints, sum.Complaints)
	}
	return nil
}
