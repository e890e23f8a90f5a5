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

	"pgregory.net/rapid"
)

// told is what a table of every kind of setting is told.
type told struct {
	Addr    string
	Workers int
	Cache   int64
	Timeout time.Duration
	Level   string
	Origins []string
}

func table() (*told, []Setting) {
	s := &told{}
	return s, []Setting{
		{Name: "addr", Default: ":8080", Set: Text(&s.Addr)},
		{Name: "workers", Default: "auto", Set: Auto(func() { s.Workers = -1 }, Whole(&s.Workers, 1, 1024))},
		{Name: "cache", Default: "64MiB", Set: Bytes(&s.Cache, 0, 1<<40)},
		{Name: "body-timeout", Default: "30s", Set: Duration(&s.Timeout, time.Millisecond, time.Hour)},
		{Name: "log-level", Default: "info", Set: OneOf(&s.Level, "debug", "info")},
		{Name: "cors-origin", List: true, Set: List(&s.Origins, "names of x, y and z", func(s string) bool { return strings.Trim(s, "xyz") == "" && s != "" })},
	}
}

func write(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "proposer.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPrecedence(t *testing.T) {
	file, other := write(t, "workers: 2\naddr: :2"), write(t, "workers: 5")
	flag := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for pair := range slices.Chunk(pairs, 2) {
			m[pair[0]] = pair[1]
		}
		return m
	}
	for _, c := range []struct {
		flags   map[string]string
		env     []string
		workers int
		addr    string
		origin  string // of workers
	}{
		{nil, nil, -1, ":8080", "default"},
		{flag("config", file), nil, 2, ":2", file + ":1"},
		{nil, []string{"PROPOSER_CONFIG=" + file}, 2, ":2", file + ":1"},
		{flag("config", file), []string{"PROPOSER_CONFIG=" + other}, 2, ":2", file + ":1"},
		{flag("config", ""), []string{"PROPOSER_CONFIG=" + other}, -1, ":8080", "default"},
		{nil, []string{"PROPOSER_WORKERS=3"}, 3, ":8080", "PROPOSER_WORKERS"},
		{flag("config", file), []string{"PROPOSER_WORKERS=3"}, 3, ":2", "PROPOSER_WORKERS"},
		{flag("config", file), []string{"PROPOSER_ADDR="}, 2, "", file + ":1"},
		{flag("workers", "4"), nil, 4, ":8080", "--workers"},
		{flag("workers", "4", "config", file), []string{"PROPOSER_WORKERS=3", "WORKERS=7"}, 4, ":2", "--workers"},
		{flag("workers", "auto", "config", file), []string{"PROPOSER_WORKERS=3"}, -1, ":2", "--workers"},
	} {
		got, table := table()
		values, err := Read(table, c.flags, c.env)
		if err != nil || len(values.Warnings) > 0 {
			t.Errorf("%v, %q: %v, %q", c.flags, c.env, err, values.Warnings)
			continue
		}
		var e *Error
		if got.Workers != c.workers || got.Addr != c.addr || !errors.As(values.Wrong("workers", "more"), &e) || e.Origin.String() != c.origin {
			t.Errorf("%v, %q: %+v, from %v; want %d, %q from %s", c.flags, c.env, got, e.Origin, c.workers, c.addr, c.origin)
		}
	}
}

func TestEverythingWrongAtOnce(t *testing.T) {
	file := write(t, `addr: :9
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
	_, table := table()
	values, err := Read(table, map[string]string{"workers": "x", "body-timeout": "1m\n", "config": file}, []string{
		"PROPOSER_CACHE=-3", "PROPOSER_LOG_LEVEL=", "PROPOSER_ADDR=\xff", "HOME=/", "PROPOSER_CORS_ORIGIN=x, y",
	})
	want := []string{
		`--workers "x": want auto, or a whole number from 1 to 1024`,
		`--body-timeout "1m\n": want a time from 1ms to 1h, as in 500ms or 1m30s`,
		`PROPOSER_ADDR="\xff": want text in UTF-8`,
		`PROPOSER_CACHE="-3": want bytes from 0 to 1TiB, as in 1000000, 500MB or 64MiB`,
		`PROPOSER_LOG_LEVEL="": want one of debug, info`,
		file + `:2: "wrokers" is not a setting: did you mean workers?`,
		file + `:6: workers is in line 5, too: want it once`,
		file + `:7: "log_level" is not a setting: did you mean log-level?`,
		file + `:9: addr is in line 1, too: want it once`,
		file + `:11: log-level: want a value`,
		file + `:12: want NAME: VALUE`,
		file + `:3: cache "1 GiB": want bytes from 0 to 1TiB, as in 1000000, 500MB or 64MiB`,
		file + `:5: workers "0": want auto, or a whole number from 1 to 1024`,
		file + `:8: body-timeout "30": want a time from 1ms to 1h, as in 500ms or 1m30s`,
		file + `:10: cors-origin "x,q": want names of x, y and z`,
	}
	if err == nil || values == nil {
		t.Fatal("no error, or no values")
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// What is right is there, to look at it further.
	if got := values.Wrong("cors-origin", "less").Error(); got != `PROPOSER_CORS_ORIGIN="x, y": want less` {
		t.Error(got)
	}
	if got := values.Wrong("workers", "more").Error(); got != `default: workers "auto": want more` {
		t.Error(got)
	}
}

func TestFiles(t *testing.T) {
	for _, c := range []struct {
		text string
		want told // but for what is the default
		err  string
	}{
		{"", told{}, ""},
		{"# nothing\n", told{}, ""},
		{"---\n", told{}, ""},
		{"null", told{}, ""},
		{"addr:\n", told{Addr: "none"}, ""},
		{"addr: ~\ncors-origin: null", told{Addr: "none"}, ""},
		{"addr: 'null'", told{Addr: "null"}, ""},
		{"addr: 0x10 # as it stands", told{Addr: "0x10"}, ""},
		{"addr: yes", told{Addr: "yes"}, ""},
		{`{"addr": ":1", "workers": 7, "cache": "1GiB"}`, told{Addr: ":1", Workers: 7, Cache: 1 << 30}, ""},
		{"cors-origin: x, y", told{Origins: []string{"x", "y"}}, ""},
		{"cors-origin:\n- x\n- y\n", told{Origins: []string{"x", "y"}}, ""},
		{"cors-origin: []", told{}, ""},
		{"addr: &a :1\nlog-level: debug", told{Addr: ":1", Level: "debug"}, ""},
		{"addr: &a :1\nlog-level: *a", told{}, ":2: log-level: want a value"},
		{"cors-origin: [[x]]", told{}, ":1: cors-origin: want a value, or a list of values"},
		{"- addr", told{}, ":1: want lines NAME: VALUE"},
		{"8080", told{}, ":1: want lines NAME: VALUE"},
		{"addr: :1\n---\naddr: :2", told{}, "want one document"},
		{"addr: :1\n\tcache: 2", told{}, ":2: "},
		{"addr: [", told{}, ":1: did not find expected node content: want lines NAME: VALUE"},
		{"addr: \x00", told{}, "control characters are not allowed: want lines NAME: VALUE"},
		{"<<:\n  addr: x", told{}, `:1: "<<" is not a setting`},
		{"config: other.yaml", told{}, `:1: "config" is not a setting`},
		{strings.Repeat("y", 70) + ": 1", told{}, `:1: "` + strings.Repeat("y", 64) + `"… is not a setting`},
		{"addr: " + strings.Repeat("é", 300) + "\ncache: " + strings.Repeat("é", 300), told{}, `:2: cache "` + strings.Repeat("é", 50) + `"…: want`},
		{strings.Repeat("#", 64<<10+1), told{}, `--config `},
	} {
		want, settings := table()
		if _, err := Read(settings, nil, nil); err != nil {
			t.Fatal(err)
		}
		merge(want, c.want)
		got, settings := table()
		file := write(t, c.text)
		_, err := Read(settings, map[string]string{"config": file}, nil)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), file) {
				t.Errorf("%.60q: %v; want %q", c.text, err, c.err)
			}
		} else if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60q: %+v, %v; want %+v", c.text, got, err, want)
		}
	}
	_, settings := table()
	_, err := Read(settings, nil, []string{"PROPOSER_CONFIG=none.yaml"})
	if want := `PROPOSER_CONFIG="none.yaml": want a file of settings: open none.yaml: no such file or directory`; err == nil || err.Error() != want {
		t.Errorf("%v; want %s", err, want)
	}
}

func merge(to *told, from told) {
	for i := range reflect.TypeFor[told]().NumField() {
		if f := reflect.ValueOf(from).Field(i); !f.IsZero() {
			reflect.ValueOf(to).Elem().Field(i).Set(f)
		}
	}
	if from.Addr == "none" {
		to.Addr = ""
	}
}

func TestWarnings(t *testing.T) {
	_, table := table()
	values, err := Read(table, nil, []string{
		"PROPOSER_WORKER=3", "PROPOSER_PORT=8080", "PROPOSER_SECRET_OF_MINE=x", "PROPOSERS=1", "proposer_addr=:1", "PROPOSER_CONFIG=",
		// A Service proposer, and one proposer-admin with a port that has a name.
		"PROPOSER_SERVICE_HOST=10.0.0.1", "PROPOSER_SERVICE_PORT=8080", "PROPOSER_SERVICE_PORT_HTTP=8080", "PROPOSER_PORT=tcp://10.0.0.1:8080",
		"PROPOSER_PORT_8080_TCP=tcp://10.0.0.1:8080", "PROPOSER_PORT_8080_TCP_PROTO=tcp", "PROPOSER_PORT_8080_TCP_PORT=8080", "PROPOSER_PORT_8080_TCP_ADDR=10.0.0.1",
		"PROPOSER_ADMIN_SERVICE_HOST=10.0.0.2", "PROPOSER_ADMIN_PORT=udp://10.0.0.2:9090", "PROPOSER_ADMIN_PORT_9090_UDP_ADDR=10.0.0.2",
	})
	want := []string{
		`"PROPOSER_WORKER" is not a setting: did you mean PROPOSER_WORKERS?`,
		`"PROPOSER_PORT" is not a setting`,
		`"PROPOSER_SECRET_OF_MINE" is not a setting`,
	}
	if err != nil || !slices.Equal(values.Warnings, want) {
		t.Errorf("%v, %q; want %q", err, values.Warnings, want)
	}
}

func TestParsers(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       any // nil: an error
	}{
		{"cache", "0", int64(0)},
		{"cache", "1234", int64(1234)},
		{"cache", "12B", int64(12)},
		{"cache", "3kB", int64(3000)},
		{"cache", "500MB", int64(500e6)},
		{"cache", "64MiB", int64(64 << 20)},
		{"cache", "1GiB", int64(1 << 30)},
		{"cache", "1TiB", int64(1 << 40)},
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
		{"cors-origin", " x ,zy", []string{"x", "zy"}},
		{"cors-origin", " ", []string(nil)},
		{"cors-origin", "x,", nil},
	} {
		got, table := table()
		fields := map[string]any{"cache": &got.Cache, "workers": &got.Workers, "body-timeout": &got.Timeout, "log-level": &got.Level, "cors-origin": &got.Origins}
		_, err := Read(table, map[string]string{c.name: c.text}, nil)
		value := reflect.ValueOf(fields[c.name]).Elem().Interface()
		if (err == nil) != (c.want != nil) || err == nil && !reflect.DeepEqual(value, c.want) {
			t.Errorf("%s %q: %v, %v; want %v", c.name, c.text, value, err, c.want)
		}
	}
}

func TestBytesAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64Range(0, 1<<50).Draw(t, "n") &^ rapid.Int64Range(0, 1<<20).Draw(t, "holes")
		var got int64
		if wish := Bytes(&got, 0, 1<<50)(FormatBytes(want)); wish != "" || got != want {
			t.Errorf("%d is written %s and read %d, want %s", want, FormatBytes(want), got, wish)
		}
	})
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 10 * time.Second: "10s", time.Minute: "1m", 10 * time.Minute: "10m", 90 * time.Second: "1m30s", time.Hour: "1h",
		time.Hour + time.Minute: "1h1m", time.Hour + time.Second: "1h0m1s", time.Millisecond: "1ms",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
		if got, err := time.ParseDuration(want); err != nil || got != d {
			t.Errorf("%s is %v, %v", want, got, err)
		}
	}
}

// What is printed says the same when it is read.
func TestPrintProperty(t *testing.T) {
	file := filepath.Join(t.TempDir(), "printed.yaml")
	rapid.Check(t, func(t *rapid.T) {
		want, settings := table()
		flags := map[string]string{}
		draw := func(name string, texts *rapid.Generator[string]) {
			if rapid.Bool().Draw(t, name+" is given") {
				flags[name] = texts.Draw(t, name)
			}
		}
		draw("addr", rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "null", "~", "NULL", "yes", "0x1", "a: b", "a #b", "- a", "é\u2028\x7f\u0085\ufeff\U0001f600"})))
		draw("workers", rapid.SampledFrom([]string{"auto", "7"}))
		draw("cache", rapid.SampledFrom([]string{"0", "+7MB", "1GiB"}))
		draw("body-timeout", rapid.SampledFrom([]string{"1m", "+.5s"}))
		draw("log-level", rapid.SampledFrom([]string{"debug"}))
		draw("cors-origin", rapid.SampledFrom([]string{"", "x", " x,y , z"}))
		values, err := Read(settings, flags, nil)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := values.Print(&text, map[string]string{"workers": "2 here\n"}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, settings := table()
		again, err := Read(settings, map[string]string{"config": file}, nil)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v; want %+v\n%s", got, err, want, &text)
		}
		for name, one := range again.said {
			if one.text != values.said[name].text {
				t.Errorf("%s is %q, want %q", name, one.text, values.said[name].text)
			}
		}
	})
}

func TestPrint(t *testing.T) {
	file := write(t, "cache: 0\ncors-origin: [x, y]")
	_, table := table()
	values, err := Read(table, map[string]string{"config": file, "addr": ":1"}, []string{"PROPOSER_BODY_TIMEOUT=10s"})
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := values.Print(&got, map[string]string{"workers": "2 here"}); err != nil {
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

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"queue", "queue", 0}, {"wrokers", "workers", 2}, {"kitten", "sitting", 3}} {
		if got, back := distance(c.a, c.b), distance(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%s, %s: %d and %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("addr: :1 # here\nworkers: 2\ncors-origin: [x, y]\n"))
	f.Add([]byte("{addr: &a x, log-level: *a, <<: {cache: 1}}\n--- \n- x"))
	f.Add([]byte("? a\n: |\n  b\n!!binary x: !y z\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, settings := table()
		all, errs := parse("f.yaml", data, settings)
		lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + 1 + 2*bytes.Count(data, []byte{0xe2}) + bytes.Count(data, []byte{0xc2})
		seen := map[string]bool{}
		for _, one := range all {
			if seen[one.name] || one.origin.file != "f.yaml" || one.origin.line < 1 || one.origin.line > lines {
				t.Errorf("%+v, of %d lines", one, lines)
			}
			seen[one.name] = true
			if !slices.ContainsFunc(settings, func(s Setting) bool { return s.Name == one.name }) {
				t.Errorf("%q is not a setting", one.name)
			}
		}
		for _, err := range errs {
			if !strings.HasPrefix(err.Error(), "f.yaml:") {
				t.Errorf("%q does not name the file", err)
			}
		}
	})
}
