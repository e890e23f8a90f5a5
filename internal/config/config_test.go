package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"pgregory.net/rapid"
)

// testFlags has a setting of every type.
type testFlags struct {
	Config      File          `env:"PROPOSER_CONFIG"`
	Addr        string        `default:":8080" env:"PROPOSER_ADDR"`
	Workers     int           `default:"auto" auto:"-1" min:"1" max:"1024" env:"PROPOSER_WORKERS"`
	Cache       ByteSize      `default:"64MiB" min:"0" max:"1TiB" env:"PROPOSER_CACHE"`
	BodyTimeout time.Duration `default:"30s" min:"1ms" max:"1h" env:"PROPOSER_BODY_TIMEOUT"`
	LogLevel    string        `default:"info" enum:"debug,info" env:"PROPOSER_LOG_LEVEL"`
	CORSOrigin  xyzList       `name:"cors-origin" env:"PROPOSER_CORS_ORIGIN"`
	Rate        float64       `default:"1"`
	Verbose     bool
}

// xyzList is a list of words of the letters x, y and z, separated by commas.
type xyzList []string

func (l *xyzList) UnmarshalText(text []byte) error {
	*l = nil
	for item := range strings.SplitSeq(string(text), ",") {
		item = strings.TrimSpace(item)
		if item == "" && strings.TrimSpace(string(text)) == "" {
			return nil
		}
		if item == "" || strings.Trim(item, "xyz") != "" {
			return errors.New("names of x, y and z")
		}
		*l = append(*l, item)
	}
	return nil
}

// parse parses the command line with the environment of the process.
func parse(t rapid.TB, args ...string) (*testFlags, *Settings, error) {
	t.Helper()
	var flags testFlags
	s := New()
	parser, err := kong.New(&flags, s.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return &flags, s, errors.Join(s.Err(), err)
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "proposer.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func setenv(t *testing.T, entries []string) {
	t.Helper()
	for _, entry := range entries {
		name, text, _ := strings.Cut(entry, "=")
		t.Setenv(name, text)
	}
}

func TestPrecedence(t *testing.T) {
	file := writeFile(t, "workers: 2\naddr: :2")
	other := writeFile(t, "workers: 5")
	for _, c := range []struct {
		name    string
		args    []string
		env     []string
		workers int
		addr    string
		origin  string // of workers
	}{
		{"default", nil, nil, -1, ":8080", "default"},
		{"file", []string{"--config", file}, nil, 2, ":2", file + ":1"},
		{"file named by the environment", nil, []string{"PROPOSER_CONFIG=" + file}, 2, ":2", file + ":1"},
		{"two files", []string{"--config", file}, []string{"PROPOSER_CONFIG=" + other}, 2, ":2", file + ":1"},
		{"no file", []string{"--config="}, []string{"PROPOSER_CONFIG=" + other}, -1, ":8080", "default"},
		{"environment", nil, []string{"PROPOSER_WORKERS=3"}, 3, ":8080", "PROPOSER_WORKERS"},
		{"environment over file", []string{"--config", file}, []string{"PROPOSER_WORKERS=3"}, 3, ":2", "PROPOSER_WORKERS"},
		{"empty variable", []string{"--config", file}, []string{"PROPOSER_ADDR="}, 2, "", file + ":1"},
		{"flag", []string{"--workers", "4"}, nil, 4, ":8080", "--workers"},
		{"last flag", []string{"--workers=3", "--workers", "4"}, nil, 4, ":8080", "--workers"},
		{
			"flag over all",
			[]string{"--workers", "4", "--config", file},
			[]string{"PROPOSER_WORKERS=3", "WORKERS=7"},
			4, ":2", "--workers",
		},
		{
			"auto over all",
			[]string{"--workers", "auto", "--config", file},
			[]string{"PROPOSER_WORKERS=3"},
			-1, ":2", "--workers",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.env)
			got, settings, err := parse(t, c.args...)
			if warnings := settings.UnknownEnv(c.env); err != nil || len(warnings) > 0 {
				t.Fatalf("got error %v, warnings %q", err, warnings)
			}
			origin := settings.Wrong("workers", "more").Origin.String()
			if got.Workers != c.workers || got.Addr != c.addr || origin != c.origin {
				t.Errorf("got workers %d from %s, addr %q; want %d from %s, %q",
					got.Workers, origin, got.Addr, c.workers, c.origin, c.addr)
			}
		})
	}
}

func TestAllErrorsAreReported(t *testing.T) {
	file := writeFile(t, `addr: :9
wrokers: 2
cache: 1 GiB

workers: 0
workers: 1
log_level: debug
body-timeout: 30
addr: [a, b]
cors-origin: [x, q]
log-level: {a: b}
? [1, 2]
: 3
`)
	setenv(t, []string{
		"PROPOSER_CACHE=-3", "PROPOSER_LOG_LEVEL=", "PROPOSER_ADDR=\xff", "HOME=/", "PROPOSER_CORS_ORIGIN=x, y",
	})
	got, settings, err := parse(t, "--rate=fast", "--body-timeout", "1m\n", "--config", file, "--workers", "x")
	want := []string{
		`--workers "x": want auto, or a whole number from 1 to 1024`,
		`--body-timeout "1m\n": want a duration from 1ms to 1h, such as 500ms or 1m30s`,
		`--rate "fast": want a number`,
		`PROPOSER_ADDR="\xff": want text in UTF-8`,
		`PROPOSER_CACHE="-3": want a number of bytes from 0 to 1TiB, such as 1000000, 500MB or 64MiB`,
		`PROPOSER_LOG_LEVEL="": want one of debug, info`,
		file + `:2: "wrokers" is not a setting: did you mean workers?`,
		file + `:6: workers is already set in line 5: want it once`,
		file + `:7: "log_level" is not a setting: did you mean log-level?`,
		file + `:9: addr is already set in line 1: want it once`,
		file + `:11: log-level: want a value`,
		file + `:12: want NAME: VALUE`,
		file + `:3: cache "1 GiB": want a number of bytes from 0 to 1TiB, such as 1000000, 500MB or 64MiB`,
		file + `:5: workers "0": want auto, or a whole number from 1 to 1024`,
		file + `:8: body-timeout "30": want a duration from 1ms to 1h, such as 500ms or 1m30s`,
		file + `:10: cors-origin "x,q": want names of x, y and z`,
		`added`,
	}
	if err == nil {
		t.Fatal("no error")
	}
	settings.Add(nil)
	settings.Add(errors.New("added"))
	if got := strings.Split(settings.Err().Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// The valid values are there, for further checks.
	if got.Workers != -1 || got.Cache != 64<<20 || !slices.Equal(got.CORSOrigin, []string{"x", "y"}) {
		t.Errorf("got %+v", got)
	}
	for name, want := range map[string]string{
		"cors-origin": `PROPOSER_CORS_ORIGIN="x, y": want less`,
		"workers":     `default: workers "auto": want less`,
	} {
		if got := settings.Wrong(name, "less").Error(); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestUnknownFlag(t *testing.T) {
	_, _, err := parse(t, "--workers=x", "--wrokers=2")
	if err == nil || !strings.Contains(err.Error(), `did you mean "--workers"`) {
		t.Errorf("got %v", err)
	}
}

func TestMissingValue(t *testing.T) {
	for args, want := range map[string]string{
		"--workers":           "--workers: want a value",
		"--workers --verbose": "--workers: want a value before --verbose: if --verbose is the value, write --workers=--verbose",
		"--workers -x":        "--workers: want a value before -x: if -x is the value, write --workers=-x",
	} {
		if _, _, err := parse(t, strings.Fields(args)...); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", args, err, want)
		}
	}
}

// An argument that begins as a negative number does is a value.
func TestNegativeValues(t *testing.T) {
	for _, value := range []string{"-1", "-0.5", "-.5", "-1e9", "-5s", "-Inf", "-99999999999999999999", "-1/3"} {
		_, s, err := parse(t, "--workers", value)
		if err := errors.Join(err, s.Err()); err == nil || !strings.Contains(err.Error(), `--workers "`+value+`": want `) {
			t.Errorf("%s: got %v", value, err)
		}
	}
}

// A variable counts for the command that has the setting, and for no other.
func TestOtherCommandsIgnoreSettings(t *testing.T) {
	setenv(t, []string{"PROPOSER_CONFIG=none.yaml", "PROPOSER_WORKERS=x"})
	var commands struct {
		Serve testFlags `cmd:""`
		Run   struct {
			Workers int
		} `cmd:""`
	}
	for command, wantErr := range map[string]bool{"serve": true, "run": false} {
		s := New()
		parser, err := kong.New(&commands, s.Options()...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = parser.Parse([]string{command}); err != nil || (s.Err() != nil) != wantErr {
			t.Errorf("%s: got %v, %v; want an error: %v", command, err, s.Err(), wantErr)
		}
	}
}

func TestFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       testFlags // fields that are not zero differ from the default
		err        string
	}{
		{"empty", "", testFlags{}, ""},
		{"comment", "# nothing\n", testFlags{}, ""},
		{"empty document", "---\n", testFlags{}, ""},
		{"null document", "null", testFlags{}, ""},
		{"no value", "addr:\n", testFlags{Addr: "none"}, ""},
		{"null value", "addr: ~\ncors-origin: null", testFlags{Addr: "none"}, ""},
		{"quoted null", "addr: 'null'", testFlags{Addr: "null"}, ""},
		{"number as text", "addr: 0x10 # comment", testFlags{Addr: "0x10"}, ""},
		{"bool as text", "addr: yes", testFlags{Addr: "yes"}, ""},
		{"JSON", `{"addr": ":1", "workers": 7, "cache": "1GiB"}`, testFlags{Addr: ":1", Workers: 7, Cache: 1 << 30}, ""},
		{"list as text", "cors-origin: x, y", testFlags{CORSOrigin: xyzList{"x", "y"}}, ""},
		{"list", "cors-origin:\n- x\n- y\n", testFlags{CORSOrigin: xyzList{"x", "y"}}, ""},
		{"empty list", "cors-origin: []", testFlags{}, ""},
		{"anchor", "addr: &a :1\nlog-level: debug", testFlags{Addr: ":1", LogLevel: "debug"}, ""},
		{"alias", "addr: &a :1\nlog-level: *a", testFlags{}, ":2: log-level: want a value"},
		{"nested list", "cors-origin: [[x]]", testFlags{}, ":1: cors-origin: want a value, or a list of values"},
		{"sequence document", "- addr", testFlags{}, ":1: want lines NAME: VALUE"},
		{"scalar document", "8080", testFlags{}, ":1: want lines NAME: VALUE"},
		{"two documents", "addr: :1\n---\naddr: :2", testFlags{}, "want one document"},
		{"tab", "addr: :1\n\tcache: 2", testFlags{}, ":2: "},
		{"open list", "addr: [", testFlags{}, ":1: did not find expected node content: want lines NAME: VALUE"},
		{"NUL", "addr: \x00", testFlags{}, "control characters are not allowed: want lines NAME: VALUE"},
		{"merge key", "<<:\n  addr: x", testFlags{}, `:1: "<<" is not a setting`},
		{"config", "config: other.yaml", testFlags{}, `:1: "config" is not a setting`},
		{"flag without variable", "verbose: true", testFlags{}, `:1: "verbose" is not a setting`},
		{"long name", strings.Repeat("y", 70) + ": 1", testFlags{}, `:1: "` + strings.Repeat("y", 64) + `"… is not a setting`},
		{
			"long value",
			"addr: " + strings.Repeat("é", 300) + "\ncache: " + strings.Repeat("é", 300),
			testFlags{},
			`:2: cache "` + strings.Repeat("é", 50) + `"…: want`,
		},
		{"large", strings.Repeat("#", maxFileBytes+1), testFlags{}, `--config `},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, _, err := parse(t)
			if err != nil {
				t.Fatal(err)
			}
			file := writeFile(t, c.text)
			want.Config = File(file)
			merge(want, c.want)
			got, _, err := parse(t, "--config", file)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), file) {
					t.Errorf("got %v, want %q", err, c.err)
				}
			} else if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Setenv("PROPOSER_CONFIG", "none.yaml")
	_, _, err := parse(t)
	if want := `PROPOSER_CONFIG="none.yaml": want a readable settings file: `; err == nil ||
		!strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "none.yaml: no such file or directory") {
		t.Errorf("got %v, want %s", err, want)
	}
}

// merge copies the fields that are not zero. The address "none" stands for an empty one.
func merge(to *testFlags, from testFlags) {
	for i := range reflect.TypeFor[testFlags]().NumField() {
		if f := reflect.ValueOf(from).Field(i); !f.IsZero() {
			reflect.ValueOf(to).Elem().Field(i).Set(f)
		}
	}
	if from.Addr == "none" {
		to.Addr = ""
	}
}

func TestUnknownEnv(t *testing.T) {
	_, settings, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	got := settings.UnknownEnv([]string{
		"PROPOSER_WORKER=3", "PROPOSER_PORT=8080", "PROPOSER_SECRET_OF_MINE=x", "PROPOSERS=1", "proposer_addr=:1",
		"PROPOSER_CONFIG=", "PROPOSER_WORKERS=3",
		// A Service proposer, and one proposer-admin with a named port.
		"PROPOSER_SERVICE_HOST=10.0.0.1", "PROPOSER_SERVICE_PORT=8080", "PROPOSER_SERVICE_PORT_HTTP=8080",
		"PROPOSER_PORT=tcp://10.0.0.1:8080", "PROPOSER_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"PROPOSER_PORT_8080_TCP_PROTO=tcp", "PROPOSER_PORT_8080_TCP_PORT=8080", "PROPOSER_PORT_8080_TCP_ADDR=10.0.0.1",
		"PROPOSER_ADMIN_SERVICE_HOST=10.0.0.2", "PROPOSER_ADMIN_PORT=udp://10.0.0.2:9090",
		"PROPOSER_ADMIN_PORT_9090_UDP_ADDR=10.0.0.2",
	})
	want := []string{
		`"PROPOSER_WORKER" is not a setting: did you mean PROPOSER_WORKERS?`,
		`"PROPOSER_PORT" is not a setting`,
		`"PROPOSER_SECRET_OF_MINE" is not a setting`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		flag, text string
		want       any // nil: an error
	}{
		{"cache", "0", ByteSize(0)},
		{"cache", "1234", ByteSize(1234)},
		{"cache", "12B", ByteSize(12)},
		{"cache", "3kB", ByteSize(3000)},
		{"cache", "500MB", ByteSize(500e6)},
		{"cache", "64MiB", ByteSize(64 << 20)},
		{"cache", "1GiB", ByteSize(1 << 30)},
		{"cache", "1TiB", ByteSize(1 << 40)},
		{"cache", "1025GiB", nil},
		{"cache", "-9223372036854775807TiB", nil},
		{"cache", "9223372036854775807KiB", nil},
		{"cache", "16777217TiB", nil}, // 2^64 bytes and one TiB
		{"cache", "1.5GiB", nil},
		{"cache", "64Mib", nil},
		{"cache", "64 MiB", nil},
		{"cache", "MiB", nil},
		{"cache", "", nil},
		{"workers", "1", 1},
		{"workers", "1024", 1024},
		{"workers", "1025", nil},
		{"workers", "99999999999999999999", nil},
		{"workers", "2.0", nil},
		{"workers", "Auto", nil},
		{"body-timeout", "1m30s", 90 * time.Second},
		{"body-timeout", "0", nil},
		{"body-timeout", "2h", nil},
		{"body-timeout", "10", nil},
		{"log-level", "debug", "debug"},
		{"log-level", "INFO", nil},
		{"cors-origin", " x ,zy", xyzList{"x", "zy"}},
		{"cors-origin", " ", xyzList(nil)},
		{"cors-origin", "x,", nil},
		{"rate", "1e-3", 1e-3},
		{"rate", "1,5", nil},
	} {
		t.Run(c.flag+" "+c.text, func(t *testing.T) {
			got, _, err := parse(t, "--"+c.flag+"="+c.text)
			value := map[string]any{
				"cache": got.Cache, "workers": got.Workers, "body-timeout": got.BodyTimeout,
				"log-level": got.LogLevel, "cors-origin": got.CORSOrigin, "rate": got.Rate,
			}[c.flag]
			if (err == nil) != (c.want != nil) || err == nil && !reflect.DeepEqual(value, c.want) {
				t.Errorf("got %v, %v; want %v", value, err, c.want)
			}
		})
	}
}

func TestByteSizeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := ByteSize(rapid.Int64Range(0, 1<<50).Draw(t, "n") &^ rapid.Int64Range(0, 1<<20).Draw(t, "holes"))
		if got, err := parseByteSize(want.String()); err != nil || got != want {
			t.Errorf("%d is written %s and read %d, %v", int64(want), want, int64(got), err)
		}
	})
}

// The printed file stands for the same settings.
func TestPrintRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "printed.yaml")
	rapid.Check(t, func(t *rapid.T) {
		var args []string
		draw := func(name string, texts *rapid.Generator[string]) {
			if rapid.Bool().Draw(t, name+" is given") {
				args = append(args, "--"+name+"="+texts.Draw(t, name))
			}
		}
		draw("addr", rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"", "null", "~", "NULL", "yes", "0x1", "a: b", "a #b", "- a", "é\u2028\x7f\u0085\ufeff\U0001f600",
		})))
		draw("workers", rapid.SampledFrom([]string{"auto", "7"}))
		draw("cache", rapid.SampledFrom([]string{"0", "+7MB", "1GiB"}))
		draw("body-timeout", rapid.SampledFrom([]string{"1m", "+.5s"}))
		draw("log-level", rapid.SampledFrom([]string{"debug"}))
		draw("cors-origin", rapid.SampledFrom([]string{"", "x", " x,y , z"}))
		want, settings, err := parse(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := settings.Print(&text, map[string]string{"workers": "2 here\n"}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, again, err := parse(t, "--config", file)
		got.Config = ""
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v\n%s", got, err, want, &text)
		}
		for _, flag := range settings.fileSettings() {
			if got, want := again.Text(flag.Name), settings.Text(flag.Name); got != want {
				t.Errorf("%s: got %q, want %q", flag.Name, got, want)
			}
		}
	})
}

func TestPrint(t *testing.T) {
	file := writeFile(t, "cache: 0\ncors-origin: [x, y]")
	t.Setenv("PROPOSER_BODY_TIMEOUT", "10s")
	_, settings, err := parse(t, "--config", file, "--addr", ":1")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := settings.Print(&got, map[string]string{"workers": "2 here"}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`addr: ":1"  # --addr
workers: auto  # default; 2 here
cache: 0  # %s:1
body-timeout: 10s  # PROPOSER_BODY_TIMEOUT
log-level: info  # default
cors-origin: "x,y"  # %s:2
`, file, file)
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("addr: :1 # here\nworkers: 2\ncors-origin: [x, y]\n"))
	f.Add([]byte("{addr: &a x, log-level: *a, <<: {cache: 1}}\n--- \n- x"))
	f.Add([]byte("? a\n: |\n  b\n!!binary x: !y z\n"))
	_, s, err := parse(f)
	if err != nil {
		f.Fatal(err)
	}
	settings := s.fileSettings()
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, errs := parseFile("f.yaml", data, settings)
		lines := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) +
			2*bytes.Count(data, []byte{0xe2}) + bytes.Count(data, []byte{0xc2})
		seen := map[string]bool{}
		for _, e := range entries {
			if seen[e.name] || e.origin.file != "f.yaml" || e.origin.line < 1 || e.origin.line > lines {
				t.Errorf("got %+v, of %d lines", e, lines)
			}
			seen[e.name] = true
			if !slices.ContainsFunc(settings, func(flag *kong.Flag) bool { return flag.Name == e.name }) {
				t.Errorf("%q is not a setting", e.name)
			}
		}
		for _, err := range errs {
			if !strings.HasPrefix(err.Error(), "f.yaml:") {
				t.Errorf("%q does not name the file", err)
			}
		}
	})
}
