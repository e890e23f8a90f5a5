package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/internal/config"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/certs"
)

// text writes a new file and returns its name.
func text(t testing.TB, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	write(t, name, []byte(text))
	return name
}

// parseServe parses the command line of serve.
func parseServe(t testing.TB, args ...string) (*serveCmd, error) {
	t.Helper()
	values := config.New()
	parser := newParser(t.Context(), streams{}, values)
	_, err := parser.Parse(append([]string{"serve"}, args...))
	return &parser.Model.Target.Addr().Interface().(*cli).Serve, errors.Join(values.Err(), err)
}

// serveFlags returns the settings of serve.
func serveFlags(t testing.TB) []*kong.Flag {
	t.Helper()
	model := newParser(t.Context(), streams{}, config.New()).Model
	i := slices.IndexFunc(model.Children, func(n *kong.Node) bool { return n.Name == "serve" })
	flags := slices.Clone(model.Children[i].Flags)
	return slices.DeleteFunc(flags, func(f *kong.Flag) bool { return len(f.Envs) == 0 })
}

func TestServeDefaults(t *testing.T) {
	c, err := parseServe(t)
	want := api.DefaultConfig()
	want.Registry, want.Logger = c.cfg.Registry, c.cfg.Logger
	if err != nil || !reflect.DeepEqual(c.cfg, want) {
		t.Errorf("got %+v, %v; want %+v", c.cfg, err, want)
	}
	if c.Addr != ":8080" || c.AdminAddr != "127.0.0.1:9090" || c.GRPCAddr != "" || c.LogFormat != "auto" || c.LogLevel != "info" {
		t.Errorf("got %q, %q, %q, %q", c.Addr, c.AdminAddr, c.LogFormat, c.LogLevel)
	}
}

func TestServeBounds(t *testing.T) {
	limits := imageio.MaxLimits()
	want := map[string]string{
		"max-bytes":        strconv.FormatInt(limits.MaxBytes, 10),
		"max-pixels":       strconv.FormatInt(limits.MaxPixels, 10),
		"max-picture-side": strconv.Itoa(limits.MaxSide),
	}
	for _, flag := range serveFlags(t) {
		if max, ok := want[flag.Name]; ok && flag.Tag.Get("max") != max {
			t.Errorf("--%s: got maximum %s, want %s", flag.Name, flag.Tag.Get("max"), max)
		}
	}
}

// Every setting reaches the field that it is for.
func TestServeSettings(t *testing.T) {
	tokens := text(t, "tokens", "alice 0123456789abcdef")
	cert, key := certificate(t)
	ranker := filepath.Join(t.TempDir(), "ranker.json")
	dir, _ := writeDataset(t, 2)
	if _, msg, code := call(t, nil, "train", "--data", dir, "--out", ranker, "--trees=2", "--epochs=1"); code != exitOK {
		t.Fatal(msg)
	}
	flags := map[string]string{
		"config": "", "addr": ":1", "admin-addr": ":2", "grpc-addr": ":3", "ranker": ranker,
		"max-bytes": "3kB", "max-pixels": "4", "max-picture-side": "5", "max-boxes": "6", "max-pictures": "7",
		"workers": "8", "queue": "auto", "threads": "10", "work-pixels": "auto", "body-memory": "12MiB",
		"max-connections": "13", "timeout": "14s", "header-timeout": "15s", "body-timeout": "16s",
		"write-timeout": "17s", "grace": "18s", "cache": "19", "rate-limit": "20",
		"tokens": tokens, "tls-cert": cert, "tls-key": key, "h2c": "false",
		"cors-origin": "https://a.example,http://localhost:3000", "log-format": "text", "log-level": "debug",
	}
	var args []string
	for _, flag := range serveFlags(t) {
		value, ok := flags[flag.Name]
		if !ok {
			t.Errorf("--%s is not tested", flag.Name)
		}
		args = append(args, "--"+flag.Name+"="+value)
	}
	c, err := parseServe(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	got := c.cfg
	if name, ok := got.Authenticator.Authenticate("0123456789abcdef"); !ok || name != "alice" || c.certificate == nil || got.Ranker == nil {
		t.Errorf("tokens %q, certificate %v, ranker %v", name, c.certificate, got.Ranker)
	}
	if expiry := got.CertificateExpiry(); got.TLSConfig == nil || !expiry.Equal(c.certificate.Expires()) {
		t.Errorf("TLS configuration %v, certificate expiry %v", got.TLSConfig, expiry)
	}
	got.CertificateExpiry = nil // functions are never equal
	want := api.Config{
		MaxBoxes: 6, MaxImages: 7, Workers: 8, Queue: 16, Threads: 10, WorkPixels: 4, BodyMemory: 12 << 20,
		MaxConnections: 13, Timeout: 14 * time.Second, HeaderTimeout: 15 * time.Second, BodyTimeout: 16 * time.Second,
		WriteTimeout: 17 * time.Second, ShutdownTimeout: 18 * time.Second, CacheBytes: 19, RateLimit: 20,
		CORSOrigins: []string{"https://a.example", "http://localhost:3000"},
		Ranker:      got.Ranker, RankerName: got.RankerName, Authenticator: c.tokens, TLSConfig: got.TLSConfig,
		Version: "unknown", Logger: got.Logger, Registry: got.Registry,
	}
	want.MaxImageBytes, want.MaxImagePixels, want.MaxImageSide = 3000, 4, 5
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !strings.HasPrefix(got.RankerName, "ranker.json sha256:") {
		t.Errorf("the ranker is called %q", got.RankerName)
	}
	if c.Addr != ":1" || c.AdminAddr != ":2" || c.GRPCAddr != ":3" || c.LogFormat != "text" || c.LogLevel != "debug" {
		t.Errorf("got %q, %q, %q, %q", c.Addr, c.AdminAddr, c.LogFormat, c.LogLevel)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestServeH2C(t *testing.T) {
	on, off := text(t, "on.yaml", "h2c: true"), text(t, "off.yaml", "h2c: no")
	for _, c := range []struct {
		env, args string
		want      bool
	}{
		{"", "", false},
		{"", "--h2c", true},
		{"", "--h2c=true", true},
		{"", "--h2c=false --config=" + on, false},
		{"true", "", true},
		{"1", "--config=" + off, true},
		{"false", "--config=" + on, false},
		{"", "--config=" + on, true},
		{"", "--config=" + off, false},
		{"", "--h2c --config=" + off, true},
	} {
		t.Run(c.env+" "+c.args, func(t *testing.T) {
			if c.env != "" {
				t.Setenv("PROPOSER_H2C", c.env)
			}
			cmd, err := parseServe(t, strings.Fields(c.args)...)
			if err != nil || cmd.cfg.UnencryptedHTTP2 != c.want {
				t.Errorf("got %t, %v, want %t", cmd.cfg.UnencryptedHTTP2, err, c.want)
			}
		})
	}
}

func TestServeReportsAllErrors(t *testing.T) {
	tokens := text(t, "tokens", "alice short\n0123456789abcdef\n")
	file := text(t, "proposer.yaml", "workers: 0\nqeue: 3\ntls-cert: none.pem\nworkers: 2\nmax-bytes: 1GiB\nadmin-addr: ''\n")
	t.Setenv("PROPOSER_CORS_ORIGIN", "https://a.example/")
	t.Setenv("PROPOSER_ADDR", "8080")
	for _, args := range [][]string{nil, {"--print-config"}} {
		out, msg, code := call(t, nil, append([]string{
			"serve", "--config", file, "--tokens", tokens, "--ranker=none.json", "--log-level=loud", "--max-picture-side=1048577",
		}, args...)...)
		want := []string{
			`--max-picture-side "1048577": want a whole number from 1 to 1048576`,
			`--log-level "loud": want one of debug, info, warn, error`,
			`PROPOSER_ADDR="8080": want HOST:PORT, or :PORT for all interfaces, with a port from 0 to 65535`,
			`PROPOSER_CORS_ORIGIN="https://a.example/": want origins such as https://example.com, https://*.example.com or *, separated by commas`,
			file + `:2: "qeue" is not a setting: did you mean queue?`,
			file + `:4: workers is already set in line 1: want it once`,
			file + `:1: workers "0": want auto, or a whole number from 1 to 1024`,
			`default: body-memory "512MiB": want 4 times max-bytes or more: 4GiB`,
			`--ranker "none.json": want a ranking model written by proposer train: open none.json: no such file or directory`,
			fmt.Sprintf("--tokens %q: want a token file: %s:1: want a token of 16 to 1024 printable ASCII characters", tokens, tokens),
			fmt.Sprintf("--tokens %q: want a token file: %s:2: want NAME TOKEN, or a comment that begins with #", tokens, tokens),
			file + `:3: tls-cert "none.pem": want tls-key to be set as well`,
		}
		for i := range want {
			want[i] = "proposer: " + want[i]
		}
		if got := strings.Split(strings.TrimSuffix(msg, "\n"), "\n"); code != exitUsage || out != "" || !slices.Equal(got, want) {
			t.Errorf("%q: exit code %d, %q, got\n%s\nwant\n%s", args, code, out, msg, strings.Join(want, "\n"))
		}
	}
	for flags, want := range map[string]string{
		"--tls-key=k.pem":                    `--tls-key "k.pem": want tls-cert to be set as well`,
		"--tls-key=k.pem --tls-cert=c.pem":   `--tls-cert "c.pem": want a certificate whose key is tls-key: open c.pem: no such file`,
		"--max-bytes=2MiB --body-memory=1MB": `--body-memory "1MB": want 4 times max-bytes or more: 8MiB`,
		"--config=none.yaml":                 `--config "none.yaml": want a readable settings file: open none.yaml: no such file`,
		"--h2c --tls-key=k.pem --tls-cert=c": `--h2c "true": want false with tls-cert, as HTTP/2 then uses TLS`,
		"--h2c=maybe":                        `--h2c "maybe": want true or false`,
		"--max-bytes=2GiB":                   `--max-bytes "2GiB": want a number of bytes from 1 to 2147483647`,
	} {
		t.Run(flags, func(t *testing.T) {
			_, msg, code := call(t, nil, append([]string{"serve"}, strings.Fields(flags)...)...)
			if code != exitUsage || !strings.Contains(msg, want) {
				t.Errorf("got exit code %d, %q; want %q", code, msg, want)
			}
		})
	}
}

// The printed file stands for the same settings.
func TestPrintConfig(t *testing.T) {
	tokens := text(t, "tokens", "alice 0123456789abcdef")
	file := text(t, "proposer.yaml", "# ours\nworkers: 3\ncache: 1GiB\ncors-origin:\n  - https://a.example\n  - https://*.b.example\nqueue: 9\n")
	t.Setenv("PROPOSER_QUEUE", "8")
	t.Setenv("PROPOSER_CACHE", "7MB")
	t.Setenv("PROPOSER_LOGFORMAT", "json")
	t.Setenv("PROPOSER_SERVICE_HOST", "10.0.0.1")
	out, msg, code := call(t, nil, "serve", "--print-config", "--config", file, "--tokens", tokens, "--admin-addr=", "--cache=0", "--h2c")
	if code != exitOK || msg != "proposer: \"PROPOSER_LOGFORMAT\" is not a setting: did you mean PROPOSER_LOG_FORMAT?\n" {
		t.Fatalf("exit code %d, %q", code, msg)
	}
	for _, line := range []string{
		`addr: ":8080"  # default`,
		`admin-addr: ""  # --admin-addr`,
		`workers: 3  # ` + file + `:2`,
		`queue: 8  # PROPOSER_QUEUE`,
		`cache: 0  # --cache`,
		`h2c: true  # --h2c`,
		`work-pixels: auto  # default; 50000000 here`,
		`tokens: ` + tokens + `  # --tokens`,
		`cors-origin: "https://a.example,https://*.b.example"  # ` + file + `:4`,
	} {
		if !strings.Contains("\n"+out, "\n"+line+"\n") {
			t.Errorf("%q is not in\n%s", line, out)
		}
	}
	if strings.Contains(out, "0123456789abcdef") {
		t.Error("a token is printed")
	}
	for _, name := range []string{"QUEUE", "CACHE", "LOGFORMAT"} {
		os.Unsetenv("PROPOSER_" + name)
	}
	printed := text(t, "printed.yaml", out)
	again, msg, code := call(t, nil, "serve", "--print-config", "--config", printed)
	comments := regexp.MustCompile(`  #.*`)
	if code != exitOK || msg != "" || comments.ReplaceAllString(again, "") != comments.ReplaceAllString(out, "") {
		t.Errorf("exit code %d, %q, got\n%s\nwant\n%s", code, msg, again, out)
	}
}

func TestServeHelp(t *testing.T) {
	out, msg, code := call(t, nil, "serve", "--help")
	if code != exitOK || msg != "" {
		t.Fatalf("exit code %d, %q", code, msg)
	}
	out = strings.Join(strings.Fields(out), " ")
	for _, flag := range serveFlags(t) {
		want := fmt.Sprintf("--%s=%s %s (", flag.Name, flag.PlaceHolder, strings.TrimSuffix(flag.Help, "."))
		if flag.IsBool() {
			want = fmt.Sprintf("--%s %s (", flag.Name, strings.TrimSuffix(flag.Help, "."))
		} else if flag.HasDefault {
			want += "default " + flag.Default + ", "
		}
		if want += flag.Envs[0] + ")."; !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
}

func TestDocumentation(t *testing.T) {
	data, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "| setting | environment | default | |\n|---|---|---|---|\n"
	for _, flag := range serveFlags(t) {
		byDefault := ""
		if flag.HasDefault {
			byDefault = "`" + flag.Default + "`"
		}
		table += fmt.Sprintf("| `%s` | `%s` | %s | %s |\n", flag.Name, flag.Envs[0], byDefault, strings.ReplaceAll(flag.Help, "*", `\*`))
	}
	if !strings.Contains(string(data), "\n"+table+"\n") {
		t.Errorf("docs/configuration.md does not hold\n%s", table)
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		":8080": true, "127.0.0.1:0": true, "[::1]:65535": true, "localhost:80": true,
		"8080": false, ":65536": false, ":http": false, "::1:80": false, "localhost": false, ":": false, ":-1": false,
	} {
		var got address
		if err := got.UnmarshalText([]byte(text)); (err == nil) != want || want && string(got) != text {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if new(address).UnmarshalText(nil) == nil {
		t.Error("an address can be empty")
	}
	if err := new(optionalAddress).UnmarshalText(nil); err != nil {
		t.Errorf("an optional address cannot be empty: %v", err)
	}
	if new(optionalAddress).UnmarshalText([]byte(":")) == nil {
		t.Error("an optional address can be malformed")
	}
}

// An address that is taken is an error that names its setting.
func TestServeListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, name := range []string{"", "addr", "grpc-addr", "admin-addr"} {
		t.Run(name, func(t *testing.T) {
			args := []string{"serve", "--addr=127.0.0.1:0", "--grpc-addr=", "--admin-addr=127.0.0.1:0"}
			if name != "" {
				args = append(args, "--"+name+"="+taken.Addr().String())
			}
			values := config.New()
			parser := newParser(t.Context(), streams{}, values)
			if _, err := parser.Parse(args); err != nil {
				t.Fatal(err)
			}
			listeners, err := parser.Model.Target.Addr().Interface().(*cli).Serve.listen(t.Context(), values)
			if name != "" {
				if err == nil || !strings.Contains(err.Error(), "--"+name+" ") || !strings.Contains(err.Error(), "an address to listen on") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || listeners.HTTP == nil || listeners.GRPC != nil || listeners.Admin == nil {
				t.Fatalf("got %+v, %v", listeners, err)
			}
			listeners.HTTP.Close()
			listeners.Admin.Close()
		})
	}
}

func TestOrigins(t *testing.T) {
	for text, want := range map[string]bool{
		"*": true, "https://example.com": true, "http://localhost:3000": true, "https://*.example.com": true, "http://[::1]:80": true,
		"": false, "example.com": false, "https://": false, "https://example.com/": false, "https://example.com?a": false, "https://u@example.com": false,
		"ftp://example.com": false, "https://*": false, "https://*.": false, "https://a.*.com": false, "https://**.a.com": false, "null": false, "https://a b": false,
	} {
		if got := validOrigin(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// certificate writes a certificate and its key and returns the names of the files.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	certs.WriteSelfSigned(t, cert, key, "proposer", time.Now().Add(time.Hour))
	return cert, key
}

// hangUp sends SIGHUP to this process and waits until the log contains the words a number of times.
func hangUp(t *testing.T, log *logBuffer, words string, times int) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	log.waitFor(t, words, func(log string) bool { return strings.Count(log, words) >= times })
}

func TestHangupReloads(t *testing.T) {
	tokens := text(t, "tokens", "alice hunter2-hunter2-a")
	t.Setenv("PROPOSER_WRITE_TIME", "1s")
	_, log, stop := serve(t, "--tokens", tokens)
	hangUp(t, log, `"msg":"reloaded","what":"tokens"`, 1)
	write(t, tokens, []byte("alice hunter2-hunter2-b"))
	hangUp(t, log, `"msg":"reloaded","what":"tokens"`, 2)
	write(t, tokens, []byte("alice hunter2-hunter2-b\nbob hunter2-hunter2-c"))
	if err := os.Chmod(tokens, 0o644); err != nil {
		t.Fatal(err)
	}
	hangUp(t, log, "every user of this machine can read the tokens", 1)
	write(t, tokens, []byte("bob hunter2"))
	hangUp(t, log, `"level":"ERROR","msg":"not reloaded, the old one stays","what":"tokens"`, 1)
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("a token is logged:\n%s", log)
	}
	if want := `\"PROPOSER_WRITE_TIME\" is not a setting: did you mean PROPOSER_WRITE_TIMEOUT?`; !strings.Contains(log.String(), want) {
		t.Errorf("%s is not logged:\n%s", want, log)
	}

	_, log, stop = serve(t, "--log-level=info")
	hangUp(t, log, "nothing to reload", 1)
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestReloadKeepsValidFiles(t *testing.T) {
	tokens := text(t, "tokens", "alice 0123456789abcdef")
	cert, key := certificate(t)
	s, err := parseServe(t, "--tokens", tokens, "--tls-cert", cert, "--tls-key", key, "--log-format=json")
	if err != nil {
		t.Fatal(err)
	}
	log := newLogBuffer()
	s.cfg.Logger = s.logger(streams{err: log})
	before := s.certificate.Expires()

	write(t, tokens, []byte("bob fedcba9876543210"))
	write(t, cert, []byte("no certificate"))
	s.reload(func(error) {})
	if name, ok := s.cfg.Authenticator.Authenticate("fedcba9876543210"); !ok || name != "bob" {
		t.Errorf("the new token belongs to %q", name)
	}
	if !s.certificate.Expires().Equal(before) {
		t.Error("an invalid certificate replaces the old one")
	}
	if got := log.String(); !strings.Contains(got, `"msg":"reloaded","what":"tokens"`) ||
		!strings.Contains(got, `"level":"ERROR","msg":"not reloaded, the old one stays","what":"certificate"`) {
		t.Error(got)
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		log := newLogBuffer()
		var s serveCmd
		s.LogFormat, s.LogLevel = "auto", level
		l := s.logger(streams{err: log})
		l.Debug("x")
		l.Info("x")
		l.Warn("x")
		l.Error("x")
		if got := strings.Count(log.String(), `"msg":"x"`); got != want {
			t.Errorf("%s: %d lines, want %d", level, got, want)
		}
	}
}

// TestMemoryWarning checks that a service with more memory than its limits allow clients to use does not warn,
// and that the advice of the warning is right.
func TestMemoryWarning(t *testing.T) {
	const gib = 1 << 30
	const tooMany = "want a max-pixels of at most 29279468 and work-pixels of at most 95158272, or more memory"
	for _, c := range []struct {
		name      string
		args      []string
		available uint64
		advice    string // "" for no warning
	}{
		{"defaults", nil, 16 * gib, ""},
		{"defaults in 8 GiB", nil, 8 * gib, tooMany},
		{"as advised", []string{"--max-pixels=29279468"}, 8 * gib, ""},
		{"one pixel more", []string{"--max-pixels=29279469"}, 8 * gib, tooMany},
		{"work-pixels as advised", []string{"--max-pixels=1000000", "--work-pixels=95158272"}, 8 * gib, ""},
		{"one more of work-pixels", []string{"--max-pixels=1000000", "--work-pixels=95158273"}, 8 * gib, tooMany},
		{"docker/kubernetes", []string{"--max-pixels=12000000", "--body-memory=256MiB", "--cache=256MiB"}, 4 * gib, ""},
		{"docker/compose.yml", []string{"--max-pixels=12000000"}, 4 * gib, ""},
		{"no memory", nil, gib / 2, "lower body-memory, max-connections or cache"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parseServe(t, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			log := newLogBuffer()
			s.cfg.Logger = s.logger(streams{err: log})
			s.warnMemory(c.available)
			if got := log.String(); c.advice == "" && got != "" || !strings.Contains(got, c.advice) {
				t.Errorf("got log %q, want advice %q", got, c.advice)
			}
		})
	}
}
