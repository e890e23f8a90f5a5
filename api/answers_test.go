package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/propose"
)

// Limits of what a bad request causes, in bytes.
const (
	maxAnswer  = 16 << 10
	maxLogLine = 4 << 10
)

// nasty draws a text whose characters need up to ten bytes when they are written.
func nasty(t *rapid.T, label string) string {
	part := rapid.SampledFrom([]string{
		"x", "\x00", "<", "\xff", `"`, `\`, "é", "\u2028", "\U000e0001", "&a=", ";", ",", "\n", "%zz", "0.", `{"`, "[", " ",
	})
	var b strings.Builder
	for range rapid.IntRange(0, 3).Draw(t, label+" parts") {
		b.WriteString(strings.Repeat(part.Draw(t, label), rapid.SampledFrom([]int{1, 2, 40, 20_000}).Draw(t, label+" times")))
	}
	return b.String()
}

// drawOptions draws options, known and unknown.
func drawOptions(t *rapid.T) map[string]string {
	names := append(append([]string{"", "x"}, searchOptions...), detailOptions...)
	options := map[string]string{}
	for range rapid.IntRange(0, 40).Draw(t, "options") {
		name := rapid.SampledFrom(names).Draw(t, "name")
		if rapid.Bool().Draw(t, "unknown") {
			name += nasty(t, "name")
		}
		value := rapid.SampledFrom([]string{"1", "fast", "x"}).Draw(t, "value")
		if rapid.IntRange(0, 3).Draw(t, "invalid") == 0 {
			value = nasty(t, "value")
		}
		options[name] = value
	}
	return options
}

// drawBody draws a body: a form, a request of the inference protocol, or anything.
func drawBody(t *rapid.T, png []byte) (contentType string, body []byte) {
	image := func() []byte {
		if rapid.Bool().Draw(t, "valid image") {
			return png
		}
		return []byte(nasty(t, "image"))
	}
	switch rapid.IntRange(0, 3).Draw(t, "body") {
	case 0:
		return nasty(t, "Content-Type"), image()
	case 1:
		header, _ := json.Marshal(map[string]any{
			"id": nasty(t, "id"), "parameters": drawOptions(t),
			"inputs": []any{map[string]any{
				"name": rapid.SampledFrom([]string{"image", nasty(t, "input")}).Draw(t, "input"), "shape": []int{1}, "datatype": "BYTES", "data": [][]byte{image()},
			}},
		})
		return "application/json", header
	}
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	part := func(name, file string, data []byte) {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q`, name)}}
		if file != "" {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, name, file))
		}
		p, err := w.CreatePart(h)
		if err == nil {
			_, err = p.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "images") {
		part("image", nasty(t, "file"), image())
	}
	if rapid.Bool().Draw(t, "has options") {
		options, _ := json.Marshal(drawOptions(t))
		if rapid.IntRange(0, 3).Draw(t, "broken") == 0 {
			options = []byte(nasty(t, "options"))
		}
		part("options", "", options)
	}
	if rapid.Bool().Draw(t, "has truth") {
		part("truth", "", []byte(fmt.Sprintf(`{%q:[[0,0,9,"9"]]}`, rapid.SampledFrom([]string{"boxes", nasty(t, "truth")}).Draw(t, "truth"))))
	}
	if rapid.IntRange(0, 4).Draw(t, "other") == 0 {
		part(nasty(t, "field"), nasty(t, "file"), []byte("x"))
	}
	_ = w.Close() // to memory
	return w.FormDataContentType(), buf.Bytes()
}

// drawRequest draws a request that a client could send if there were no limit of headers.
func drawRequest(t *rapid.T, png []byte) *http.Request {
	contentType, body := drawBody(t, png)
	r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
	r.URL.Path = rapid.SampledFrom([]string{
		"/v1/proposals", "/v1/proposals", "/v1/rois", "/v1/segments", "/v1/modes", "/v2/models/" + openinference.ModelName + "/infer", "/v2", "/healthz",
		"/" + nasty(t, "path"), "/v2/models/" + nasty(t, "model") + "/infer",
	}).Draw(t, "path")
	if rapid.IntRange(0, 5).Draw(t, "other method") == 0 {
		r.Method = rapid.SampledFrom([]string{"GET", "OPTIONS", nasty(t, "method")}).Draw(t, "method")
	}
	if rapid.Bool().Draw(t, "has query") {
		var query []string
		for name, value := range drawOptions(t) {
			query = append(query, name+"="+value)
		}
		r.URL.RawQuery = strings.Join(query, "&")
	}
	r.Header.Set("Content-Type", contentType)
	for _, name := range []string{
		"Accept", "Authorization", "Content-Encoding", "Content-Type", "If-None-Match", requestIDHeader, openinference.HeaderLength,
		"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers",
	} {
		if rapid.IntRange(0, 9).Draw(t, "has header") == 0 {
			r.Header.Set(name, rapid.SampledFrom([]string{"application/x-ndjson", "*/*;", "POST", "https://a.example.com"}).Draw(t, name)+nasty(t, name))
		}
	}
	return r
}

// Whatever comes in, the answer to a bad request and the lines of the log stay small.
func TestAnswersStaySmall(t *testing.T) {
	cfg := testConfig(t)
	var jsonLog, textLog bytes.Buffer
	cfg.Logger = slog.New(slog.NewMultiHandler(
		slog.NewJSONHandler(&jsonLog, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewTextHandler(&textLog, &slog.HandlerOptions{Level: slog.LevelDebug}),
	))
	cfg.CORSOrigins = []string{"https://*.example.com"}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	png := small().PNG()
	var failure any // of the search
	s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
		if err, ok := failure.(error); ok {
			return nil, err
		}
		if failure != nil {
			panic(failure)
		}
		return &propose.Result{Width: 1, Height: 1, DecodeTime: 1, SearchTime: 1}, nil
	}
	rapid.Check(t, func(t *rapid.T) {
		text := nasty(t, "failure")
		failure = rapid.SampledFrom([]any{
			nil, text, errors.New(text), &imageio.FormatError{Format: "png", Err: errors.New(text)},
			fmt.Errorf("%w: %s", imageio.ErrUnsupported, text),
		}).Draw(t, "kind of failure")
		jsonLog.Reset()
		textLog.Reset()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, drawRequest(t, png))

		var header bytes.Buffer
		_ = w.Header().Write(&header) // to memory
		if n := header.Len() + w.Body.Len(); w.Code >= 400 && n >= maxAnswer {
			t.Errorf("got %d bytes of status %d: %.300q", n, w.Code, w.Body)
		}
		for line := range bytes.Lines(w.Body.Bytes()) {
			if w.Code >= 400 && !(json.Valid(line) && utf8.Valid(line)) {
				t.Errorf("got status %d and %.300q, want JSON", w.Code, line)
			}
			if bytes.Contains(line, []byte(`"problem":{`)) && len(line) >= maxAnswer {
				t.Errorf("got a line of %d bytes: %.300q", len(line), line)
			}
		}
		if jsonLog.Len() == 0 || bytes.Count(jsonLog.Bytes(), []byte("\n")) != bytes.Count(textLog.Bytes(), []byte("\n")) {
			t.Errorf("got logs %.300q and %.300q, want equal numbers of lines", &jsonLog, &textLog)
		}
		for line := range bytes.Lines(jsonLog.Bytes()) {
			if len(line) >= maxLogLine || !json.Valid(line) || !utf8.Valid(line) {
				t.Errorf("got a line of %d bytes: %.300q", len(line), line)
			}
		}
		for line := range bytes.Lines(textLog.Bytes()) {
			if len(line) >= maxLogLine || !utf8.Valid(line) {
				t.Errorf("got a line of %d bytes: %.300q", len(line), line)
			}
		}
	})
}

// So do the lines of several images.
func TestLinesStaySmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newProblem(http.StatusBadRequest, "option", nasty(t, "detail"))
		for range rapid.IntRange(0, 10).Draw(t, "errors") {
			p.Errors = append(p.Errors, fieldError{nasty(t, "name"), nasty(t, "value"), nasty(t, "want")})
		}
		if line := p.ndjsonLine(100, nasty(t, "file")); len(line) >= maxAnswer || !json.Valid(line) {
			t.Errorf("got a line of %d bytes: %.300q", len(line), line)
		}
	})
}

// An answer describes the first errors and counts the others. A request with very many options is refused
// before they are parsed.
func TestManyInvalidOptions(t *testing.T) {
	s := start(t, nil)
	options := func(n int) (query string, form []byte) {
		names := map[string]string{}
		var parts []string
		for i := range n {
			names[fmt.Sprintf("o%03d", i)] = "1"
			parts = append(parts, fmt.Sprintf("o%03d=1", i))
		}
		form, _ = json.Marshal(names)
		return strings.Join(parts, "&"), form
	}
	post := func(t *testing.T, query string, options []byte) response {
		contentType, body := form(t, [3]string{"options", "", string(options)}, [3]string{"image", "a.png", string(small().PNG())})
		return s.do(t, "POST", "/v1/proposals?"+query, contentType, body)
	}
	for _, n := range []int{1, 10, 11, 60} {
		query, form := options(n)
		for name, r := range map[string]response{"query": post(t, query, []byte("{}")), "form": post(t, "", form)} {
			p := r.problem(t, http.StatusBadRequest, "option")
			if len(p.Errors) != min(n, 10) || p.More != max(n-10, 0) {
				t.Errorf("%s of %d options: got %d errors and %d more", name, n, len(p.Errors), p.More)
			}
			if n > 11 && !strings.HasSuffix(p.Detail, fmt.Sprintf("; and %d more errors", n-10)) {
				t.Errorf("%s of %d options: got %q, want a count", name, n, p.Detail)
			}
			if got := strings.Count(string(r.body), "min-resized-side"); got != 2 { // in detail and errors
				t.Errorf("%s of %d options: got the list of options %d times, want it once: %s", name, n, got, r.body)
			}
		}
	}
	query, form := options(65)
	if p := post(t, query, []byte("{}")).problem(t, http.StatusBadRequest, "request"); p.Errors[0].Want != "at most 64 options" {
		t.Errorf("got %+v", p)
	}
	if p := post(t, "", form).problem(t, http.StatusBadRequest, "request"); !strings.Contains(p.Detail, "more than 64 options") {
		t.Errorf("got %+v", p)
	}
	_, form = options(70_000)
	post(t, "", form).problem(t, http.StatusRequestEntityTooLarge, "size")
}

func TestFormOptionSyntax(t *testing.T) {
	for text, want := range map[string]string{
		``: "", " \n": "", `{}`: "", // browsers and generated clients send empty fields
		` { "a" : "x" , "b" : 1.50, "c":true , "d" : [ "x" , 2 , false ] , "e" : [ ] } `: "a=x&b=1.50&c=true&d=x%2C2%2Cfalse&e=",
		`{"a\u0041":"\"\\"}`:    "aA=%22%5C",
		`{"a":1,"a":2}`:         "a=1&a=2",
		`{"a":"{","b":"[1,2]"}`: "a=%7B&b=%5B1%2C2%5D",
	} {
		values, p := optionValues("", []byte(text))
		if got := values.Encode(); p != nil || got != want {
			t.Errorf("%s: got %s, %+v, want %s", text, got, p, want)
		}
	}
	for _, text := range []string{
		`null`, `1`, `"a"`, `[]`, `{`, `{"a":1,}`, `{"a" 1}`, `{} {}`, `{"a":null}`, `{"a":[[]]}`, `{"a":[null]}`, `{"a":{}}`, strings.Repeat("[", 20_000),
	} {
		if values, p := optionValues("", []byte(text)); p == nil || p.Status != http.StatusBadRequest {
			t.Errorf("%.40s: got %v, want a problem", text, values)
		}
	}
}

// Options are read as encoding/json reads them.
func FuzzFormOptions(f *testing.F) {
	f.Add(`{"mode":"fast","max":100,"colors":["HSV","Lab"],"masks":false}`)
	f.Add(`{"\u0000":[1,"\ud800",true],"":""}`)
	f.Add(`{"a":[1,[2]],"b":{"c":null}} x`)
	f.Fuzz(func(t *testing.T, text string) {
		values, p := optionValues("", []byte(text))
		var object map[string]any
		err := json.Unmarshal([]byte(text), &object)
		if p != nil {
			return // there are limits, and types that are not accepted
		}
		if err != nil || object == nil {
			if strings.TrimSpace(text) == "" {
				return
			}
			t.Fatalf("%q: got %v, want a problem", text, values)
		}
		for name, value := range object {
			if s, ok := value.(string); ok && utf8.ValidString(text) && values[name][len(values[name])-1] != s {
				t.Errorf("%q: %q: got %q, want %q", text, name, values[name], s)
			}
		}
	})
}

// newLogged returns a server and its log.
func newLogged(t testing.TB) (*Server, *bytes.Buffer) {
	t.Helper()
	cfg := testConfig(t)
	log := new(bytes.Buffer)
	cfg.Logger = slog.New(slog.NewJSONHandler(log, nil))
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

// The log has the innermost functions of a panic, also if its value is long.
func TestPanicInLog(t *testing.T) {
	s, log := newLogged(t)
	s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
		panic(strings.Repeat("\x00", 100_000))
	}
	r := httptest.NewRequest("POST", "/v1/proposals?mode=single", bytes.NewReader(small().PNG()))
	s.ServeHTTP(httptest.NewRecorder(), r)
	if log.Len() >= maxLogLine || !strings.Contains(log.String(), "api.TestPanicInLog") || !strings.Contains(log.String(), "answers_test.go:") {
		t.Errorf("got %d bytes: %s", log.Len(), log)
	}
}

// Errors of the HTTP server are log lines of bounded length.
func TestServerErrorLog(t *testing.T) {
	s, log := newLogged(t)
	s.cfg.httpServer(s).ErrorLog.Print(strings.Repeat("<", 100_000))
	if log.Len() >= maxLogLine || !json.Valid(log.Bytes()) {
		t.Errorf("got %d bytes: %.300s", log.Len(), log)
	}
}
