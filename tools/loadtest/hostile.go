package main

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/proposer/proposer/api/openinference"
)

// chunk is one of a PNG file.
func chunk(name string, data []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	c = append(append(c, name...), data...)
	return binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
}

// pngOf is a grey picture by its header, with these chunks.
func pngOf(width, height uint32, chunks ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	data := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(head, 8, 0, 0, 0, 0))...)
	return append(append(data, bytes.Join(chunks, nil)...), chunk("IEND", nil)...)
}

// zeros is so many bytes, deflated.
func zeros(n int) []byte {
	var buf bytes.Buffer
	w, _ := zlib.NewWriterLevel(&buf, zlib.BestCompression) // a level that there is
	step := make([]byte, 1<<16)
	for ; n > 0; n -= len(step) {
		_, _ = w.Write(step[:min(n, len(step))]) // memory takes all
	}
	_ = w.Close()
	return buf.Bytes()
}

// bombs are small files that are large once unpacked, and what they may get: a large picture
// within the limits is one like others.
var bombs = sync.OnceValue(func() []struct {
	data []byte
	want []int
} {
	const much = 200 << 20
	flood := zeros(much)
	return []struct {
		data []byte
		want []int
	}{
		{pngOf(2000, 1500, chunk("IDAT", zeros(2001*1500))), []int{200}},
		{pngOf(16, 16, chunk("IDAT", flood)), []int{200, 422}},
		{pngOf(16, 16, chunk("zTXt", append([]byte("Comment\x00\x00"), flood...)), chunk("IDAT", zeros(17*16))), []int{200, 422}},
		{pngOf(16, 16, chunk("iCCP", append([]byte("icc\x00\x00"), flood...)), chunk("IDAT", zeros(17*16))), []int{200, 422}},
		{pngOf(7000, 7000, chunk("IDAT", []byte{0x78, 0x9c})), []int{422}},
	}
})

// broken draws requests that bring a file as a picture.
func broken(want []int, data func(*rand.Rand, *mix) []byte) func(*rand.Rand, *mix) *ask {
	return func(r *rand.Rand, m *mix) *ask {
		file := data(r, m)
		var a *ask
		switch r.IntN(5) {
		case 0:
			media, body := form(part{"image", "a.png", file})
			a = post(proposalsPath, media, body)
		case 1:
			a = post(inferPath, "application/octet-stream", file)
			a.header.Set(openinference.HeaderLength, "0")
			a.route = inferRoute
		default:
			a = post(proposalsPath, pick(r, "image/png", "image/jpeg", "text/html", ""), file)
			a.query = pick(r, "", "mode=single", "masks=rle&mode=single")
		}
		a.want = want
		return a
	}
}

func unwanted(path, media, body string, want ...int) *ask {
	a := post(path, media, []byte(body))
	a.want = want
	if path == inferPath {
		a.route = inferRoute
	}
	return a
}

// talking draws requests on a connection of their own.
func talking(w wire, want ...int) *ask {
	if w.answers == 0 && w.dropped == 0 {
		w.answers = 1
	}
	return &ask{method: http.MethodPost, path: proposalsPath, route: proposalsPath, wire: &w, want: want, protocol: true, mayCut: true}
}

// head is a request's header, with all that it must have. Lines end in CRLF.
func (m *mix) head(method, target, proto string, lines ...string) []byte {
	all := append([]string{method + " " + target + " " + proto, "Host: load"}, lines...)
	if m.token != "" {
		all = append(all, "Authorization: Bearer "+m.token)
	}
	return []byte(strings.Join(all, "\r\n") + "\r\n\r\n")
}

func (m *mix) postHead(lines ...string) []byte {
	return m.head(http.MethodPost, proposalsPath+"?mode=single", "HTTP/1.1", lines...)
}

func lengthOf(n int) string { return "Content-Length: " + strconv.Itoa(n) }

// drawSlow dribbles.
func drawSlow(r *rand.Rand, m *mix) *ask {
	p := m.album.png[0]
	w := wire{pause: time.Duration(100+r.IntN(300)) * time.Millisecond, endless: []byte("a")}
	switch r.IntN(5) {
	case 0: // a header that never ends
		w.send, w.endless = [][]byte{[]byte("POST /v1/proposals HTTP/1.1\r\nHost: load\r\n")}, []byte("X-A: b\r\n")
		return talking(w, http.StatusRequestTimeout)
	case 1: // nothing at all
		w.endless = []byte("\r\n")
		return talking(w, http.StatusRequestTimeout, http.StatusBadRequest)
	case 2: // a form's part that never ends
		w.send = [][]byte{m.postHead(lengthOf(1<<20), `Content-Type: multipart/form-data; boundary=b`), []byte("--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n")}
	case 3: // a body in chunks of a byte
		w.send, w.endless = [][]byte{m.postHead("Transfer-Encoding: chunked")}, []byte("1\r\na\r\n")
	default:
		w.send = [][]byte{m.postHead(lengthOf(len(p.data))), p.data[:len(p.data)/2]}
		w.endless = p.data[len(p.data)/2:][:1]
	}
	return talking(w, http.StatusRequestTimeout)
}

// drawDropped hangs up somewhere.
func drawDropped(r *rand.Rand, m *mix) *ask {
	p := pick(r, m.album.jpeg...)
	w := wire{reset: r.IntN(2) == 0}
	switch r.IntN(3) {
	case 0: // in the body
		w.send = [][]byte{m.postHead(lengthOf(len(p.data))), p.data[:r.IntN(len(p.data))]}
	case 1: // while it is searched
		w.send = [][]byte{m.postHead(lengthOf(len(p.data))), p.data}
	default: // in the answer
		head := m.head(http.MethodPost, proposalsPath+"?max=0&masks=rle&seed="+strconv.FormatUint(r.Uint64(), 10), "HTTP/1.1", lengthOf(len(p.data)))
		w.send, w.dropped = [][]byte{head, p.data}, 1+r.IntN(4096)
	}
	a := talking(w)
	if w.dropped == 0 {
		w.answers = 0
		a.wire = &w
	}
	return a
}

// drawBadWire says what is no HTTP, or no sane one.
func drawBadWire(r *rand.Rand, m *mix) *ask {
	p := m.album.png[r.IntN(2)]
	send := func(want []int, pieces ...[]byte) *ask { return talking(wire{send: pieces}, want...) }
	ended := func(want []int, pieces ...[]byte) *ask { return talking(wire{send: pieces, half: true}, want...) }
	elsewhere := func(head []byte, want ...int) *ask {
		a := send(want, head)
		a.route = ""
		return a
	}
	// Who ends its side in the middle of a body is taken for gone, and may yet be listening.
	bad, wellOrBad, gone := []int{400}, []int{200, 400}, []int{400, statusGone}
	length := lengthOf(len(p.data))
	all := []func() *ask{
		func() *ask { return send([]int{413}, m.postHead("Content-Length: 1000000000000")) },
		func() *ask { return send(bad, m.postHead("Content-Length: -1"), p.data) },
		func() *ask { return send(bad, m.postHead("Content-Length: 99999999999999999999999"), p.data) },
		func() *ask { return send(bad, m.postHead(length, "Content-Length: 7"), p.data) },
		func() *ask {
			return send(wellOrBad, m.postHead(length, "Transfer-Encoding: chunked"), []byte("0\r\n\r\n"))
		},
		func() *ask { return ended(gone, m.postHead(lengthOf(len(p.data)+1000)), p.data) },
		func() *ask { return ended([]int{400, 422}, m.postHead(lengthOf(len(p.data)/2)), p.data) },
		func() *ask { return ended(gone, m.postHead("Transfer-Encoding: chunked"), []byte("400\r\nabc")) },
		func() *ask {
			return send(bad, m.postHead("Transfer-Encoding: chunked"), []byte("zz\r\nabc\r\n0\r\n\r\n"))
		},
		func() *ask {
			return send(bad, m.postHead("Transfer-Encoding: chunked"), []byte("ffffffffffffffffff\r\nabc\r\n"))
		},
		func() *ask {
			return send(bad, m.postHead("Transfer-Encoding: chunked"), []byte("3;"+strings.Repeat("x", 1<<16)+"\r\nabc\r\n0\r\n\r\n"))
		},
		func() *ask {
			trailer := strings.Repeat("X-T: "+strings.Repeat("y", 100)+"\r\n", 1000)
			return send([]int{400, 415}, m.postHead("Transfer-Encoding: chunked"), []byte("3\r\nabc\r\n0\r\n"+trailer+"\r\n"))
		},
		func() *ask { return send([]int{400, 501}, m.postHead("Transfer-Encoding: gzip"), []byte("abc")) },
		func() *ask { return send(bad, m.postHead(length, "X-Bad: a\x01b"), p.data) },
		func() *ask { return send(bad, m.postHead(length, "X-Bad: a\x00b"), p.data) },
		func() *ask { return send(bad, m.postHead(length, "no colon"), p.data) },
		func() *ask { return send(bad, m.postHead(length, "X Y: z"), p.data) },
		func() *ask { return send(wellOrBad, m.postHead(length, "X-Fold: a\r\n b"), p.data) },
		func() *ask { return send(bad, m.postHead(length, "Host: other"), p.data) },
		func() *ask { return send(bad, []byte("POST /v1/proposals HTTP/1.1\r\n\r\n")) },
		func() *ask {
			return send([]int{431}, m.postHead(length, "X-Huge: "+strings.Repeat("h", 1<<20)), p.data)
		},
		func() *ask { return send([]int{431}, m.postHead(slices.Repeat([]string{"X-Many: y"}, 20000)...)) },
		func() *ask { return send([]int{431, 414}, m.head("POST", "/"+strings.Repeat("p", 1<<20), "HTTP/1.1")) },
		func() *ask { return send([]int{400, 505}, m.head("POST", proposalsPath, "HTTP/3.0")) },
		func() *ask { return send([]int{400, 505}, m.head("POST", proposalsPath, "HTTP/0.9")) },
		func() *ask { return send(bad, m.head("POST", proposalsPath, "FTP/1.1")) },
		func() *ask {
			return send(bad, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+strings.Repeat("\x00", 512)+"\r\n\r\n"))
		},
		func() *ask { return ended(bad, []byte("GET\r\n\r\n")) },
		func() *ask { return elsewhere([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400, 404) },
		func() *ask { return send([]int{417}, m.postHead(length, "Expect: a-banana")) },
		func() *ask {
			return send([]int{200}, m.head("POST", proposalsPath+"?mode=single", "HTTP/1.0", length), p.data)
		},
		func() *ask {
			return send([]int{200}, m.head("POST", "http://elsewhere.example"+proposalsPath+"?mode=single", "HTTP/1.1", length), p.data)
		},
		func() *ask { return elsewhere(m.head("CONNECT", "example.com:443", "HTTP/1.1"), 400, 404, 405) },
		func() *ask { return elsewhere(m.head("OPTIONS", "*", "HTTP/1.1"), 200, 400, 404, 405) },
		func() *ask { // 2 GiB are said to come; what is sent is more than a picture may have
			w := wire{send: append([][]byte{m.postHead("Transfer-Encoding: chunked")}, slices.Repeat([][]byte{append([]byte("100000\r\n"), append(make([]byte, 1<<20), "\r\n"...)...)}, 70)...)}
			return talking(w, 413, 408)
		},
		func() *ask { // several at once
			one := append(m.postHead(length), p.data...)
			w := wire{send: [][]byte{slices.Concat(one, one, m.head("GET", "/healthz", "HTTP/1.1"), one, one)}, answers: 5}
			a := talking(w, 200)
			a.mayCut, a.protocol, a.route = false, false, ""
			return a
		},
		func() *ask { // "Expect: 100-continue", and nothing comes
			return talking(wire{send: [][]byte{m.postHead(length, "Expect: 100-continue")}, pause: time.Second}, http.StatusRequestTimeout)
		},
	}
	return all[r.IntN(len(all))]()
}

// drawBadForm brings a form that is none, or not one of ours.
func drawBadForm(r *rand.Rand, m *mix) *ask {
	p := m.album.png[r.IntN(2)]
	image := part{"image", "a.png", p.data}
	with := func(want []int, parts ...part) *ask {
		media, body := form(parts...)
		return unwanted(proposalsPath, media, string(body), want...)
	}
	options := func(text string) *ask { return with([]int{400}, image, part{"options", "", []byte(text)}) }
	bad := []int{400}
	all := []func() *ask{
		func() *ask { return unwanted(proposalsPath, "multipart/form-data", "--b\r\n", 400) },
		func() *ask { return unwanted(proposalsPath, "multipart/form-data; boundary=", "----\r\n", 400) },
		func() *ask {
			return unwanted(proposalsPath, "multipart/form-data; boundary="+strings.Repeat("b", 1000), "--b\r\n", 400)
		},
		func() *ask {
			return unwanted(proposalsPath, "multipart/form-data; boundary=other", string(p.data), 400)
		},
		func() *ask {
			_, body := form(image)
			return unwanted(proposalsPath, "multipart/form-data; boundary=load-7MA4YWxkTrZu0gW", string(body[:len(body)-20]), 400)
		},
		func() *ask { return with(bad, slices.Repeat([]part{{"x", "", []byte("y")}}, 5000)...) },
		func() *ask { return with([]int{413, 415}, slices.Repeat([]part{{"image", "a", []byte("y")}}, 5000)...) },
		func() *ask { return with([]int{413}, slices.Repeat([]part{{"image", "a", []byte("y")}}, 101)...) },
		func() *ask { return with(bad, part{"image", "a", nil}) },
		func() *ask { return with(bad) },
		func() *ask { return with(bad, part{"options", "", []byte(`{}`)}) },
		func() *ask {
			return with([]int{400, 413}, image, part{"options", "", []byte(`{"mode":"` + strings.Repeat("m", 2<<20) + `"}`)})
		},
		func() *ask {
			return with(bad, image, part{"options", "", []byte(`{}`)}, part{"options", "", []byte(`{}`)})
		},
		func() *ask { return options(strings.Repeat("[", 100_000)) },
		func() *ask {
			return options(`{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`)
		},
		func() *ask { return options(`{"sigma":NaN}`) },
		func() *ask { return options(`{"max":1e999999999}`) },
		func() *ask { return options(`{"max":null}`) },
		func() *ask { return options(`{"mode":{"a":1}}`) },
		func() *ask { return options("{\"mode\":\"\xff\xfe\"}") },
		func() *ask { return options(`null null`) },
		func() *ask { return options(`{"max":1,"max":2,"Max":3}`) },
		func() *ask {
			a := with(bad, image, part{"options", "", []byte(`{"max":5}`)})
			a.query = "max=5"
			return a
		},
		func() *ask { // a part's header of a MiB
			body := "--b\r\nContent-Disposition: form-data; name=\"image\"\r\nX-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n" + string(p.data) + "\r\n--b--\r\n"
			return unwanted(proposalsPath, "multipart/form-data; boundary=b", body, 200, 400)
		},
		func() *ask { // names that would be paths, or end the line of an answer
			a := with([]int{200}, part{"image", "../../etc/passwd", p.data}, part{"image", "a\"\\\r\n\x00\xff", p.data})
			a.check = func(_ *judge, got *answer) error {
				if n := bytes.Count(got.body, []byte("\n")); n != 2 {
					return fmt.Errorf("%d lines for two pictures", n)
				}
				return nil
			}
			return a
		},
		func() *ask { // good and bad ones
			a := with([]int{200}, image, part{"image", "b", []byte("GIF89a")}, image, part{"image", "c", p.data[:len(p.data)/2]})
			a.check = checkLines("", []string{"a.png", "b", "a.png", "c"}, []*picture{p, nil, p, nil})
			return a
		},
		func() *ask {
			a := with([]int{406}, image, image)
			a.header.Set("Accept", pick(r, "text/csv", "image/png", "application/x-npy"))
			return a
		},
		func() *ask { return unwanted("/v1/rois", "image/png", string(p.data), 400) },
		func() *ask {
			truth := pick(r, `{"boxes":[[0,0,1e308,1e308]]}`, `{"boxes":[[5,5,1,1]]}`, `{"boxes":[[NaN,0,1,1]]}`, `{"boxes":[[0,0,1]]}`, `[]`, ``,
				`{"boxes":`+strings.Repeat("[", 100_000), `{"boxes":[`+strings.Repeat("[0,0,9,9],", 50_000)+`[0,0,9,9]]}`,
				`{"boxes":[[0,0,9,9]],"classes":[-1]}`, `{"boxes":[[0,0,9,9]],"classes":[1,2]}`, `{"boxes":[[0,0,9,9]],"boxes":[[1,1,9,9]]}`)
			media, body := form(image, part{"truth", "", []byte(truth)})
			return unwanted("/v1/rois", media, string(body), 400)
		},
	}
	return all[r.IntN(len(all))]()
}

// drawBadQuery has options that are absurd, or huge.
func drawBadQuery(r *rand.Rand, m *mix) *ask {
	p := m.album.png[r.IntN(2)]
	queries := []struct {
		query string
		want  []int
	}{
		{"mode=..%2f..%2fetc", []int{400}},
		{"max=-1", []int{400}},
		{"max=1e99", []int{400}},
		{"max=99999999999999999999", []int{400}},
		{"max=1&max=2", []int{400}},
		{"threads=64", []int{400}},
		{"k=NaN", []int{400}},
		{"k=Inf", []int{400}},
		{"k=-5", []int{400}},
		{"k=1e-30", []int{200, 400, 422}},
		{"k=1e30", []int{200, 400}},
		{"k=0.001&min-size=1", []int{200, 400, 422}},
		{"sigma=NaN", []int{400}},
		{"sigma=1e300", []int{400}},
		{"sigma=16&mode=single", []int{200}},
		{"nms=0", []int{400}},
		{"nms=NaN", []int{400}},
		{"nms=0.0000001&mode=single", []int{200, 400}},
		{"min-size=2147483647&mode=single", []int{200, 400}},
		{"min-side=2147483647&mode=single", []int{200, 400}},
		{"max-side=1&mode=single", []int{200, 400, 422}},
		{"max-side=1&mode=single&masks=rle&tree=1&evidence=1", []int{200, 400, 422}},
		{"max-side=9&mode=single&masks=rle&tree=1&evidence=1", []int{200}},
		{"seed=18446744073709551615&order=paper&mode=single", []int{200}},
		{"seed=18446744073709551616", []int{400}},
		{"strategy=99999&tree=1", []int{400}},
		{"tree=1&strategy=-1", []int{400}},
		{"colors=" + strings.Repeat("HSV,", 1000) + "HSV", []int{400}},
		{"k=" + strings.Repeat("1,", 2000) + "1", []int{400}},
		{"measures=C0.5TS" + strings.Repeat("9", 500), []int{200, 400}},
		{"measures=" + strings.Repeat("C", 2000), []int{400}},
		{"%zz", []int{400}},
		{"a;b", []int{400}},
		{"max=%00", []int{400}},
		{"%ff%fe=1", []int{400}},
		{"x=" + strings.Repeat("y", 10_000), []int{400}},
		{strings.Repeat("x&", 4000), []int{400}},
		{"mode=single&masks=yes", []int{400}},
		{"mode=single&orientation=up", []int{400}},
	}
	q := queries[r.IntN(len(queries))]
	a := propose(p, q.query, "")
	a.want, a.tag, a.pictures = q.want, "", 0
	return a
}

// drawBadHeader has headers that HTTP allows.
func drawBadHeader(r *rand.Rand, m *mix) *ask {
	p := m.album.png[r.IntN(2)]
	headers := []struct {
		name, value string
		want        []int
	}{
		{"Accept", "application/xml", []int{406}},
		{"Accept", "*/*;q=0", []int{406}},
		{"Accept", strings.Repeat("text/x;q=0.1,", 900), []int{406}},
		{"Accept", strings.Repeat(",", 8000), []int{200, 406}},
		{"Accept", "application/json;q=NaN", []int{200, 406}},
		{"Accept", "\xff\xfe/*", []int{406}},
		{"If-None-Match", `W/"` + strings.Repeat("e", 8<<10) + `"`, []int{200}},
		{"If-None-Match", strings.Repeat(`"a",`, 2000), []int{200}},
		{"If-None-Match", "*", []int{200, 304}},
		{"Range", "bytes=0-10,5-,-3", []int{200}},
		{"Range", "bytes=" + strings.Repeat("0-,", 2000), []int{200}},
		{"If-Modified-Since", "yesterday", []int{200}},
		{"X-Request-Id", "a\tb{{7*7}}${jndi:ldap://x}", []int{200}},
		{"X-Request-Id", strings.Repeat("i", 4096), []int{200}},
		{"Content-Encoding", "gzip", []int{200, 415}},
		{"Content-Type", "multipart/mixed; boundary=b", []int{200}},
		{"Content-Type", strings.Repeat("a/b;", 2000), []int{200}},
		{"Content-Type", `image/png; charset="`, []int{200}},
		{"Upgrade", "h2c", []int{200}},
		{"Origin", "null", []int{200}},
		{"X-Forwarded-For", strings.Repeat("1.2.3.4, ", 800), []int{200}},
		{"X-Http-Method-Override", "DELETE", []int{200}},
		{"Authorization", "Bearer " + strings.Repeat("t", 8000), []int{200, 401}},
		{"Cookie", strings.Repeat("a=b; ", 1000), []int{200}},
	}
	h := headers[r.IntN(len(headers))]
	a := propose(p, "mode=single", "")
	a.header.Set(h.name, h.value)
	a.want, a.tag, a.pictures = h.want, "", 0
	a.check = func(_ *judge, got *answer) error {
		if h.name == "X-Request-Id" && got.header.Get(h.name) == h.value {
			return fmt.Errorf("the request's id is ours: %.80q", h.value)
		}
		return nil
	}
	return a
}

// drawBadPath asks where there is nothing, or with methods that there are not.
func drawBadPath(r *rand.Rand, m *mix) *ask {
	paths := []string{
		"/../../etc/passwd", "/v1/proposals/../../admin", "/%2e%2e/%2e%2e/etc/passwd", "//v1//proposals", "/v1/proposals/", "/v1/proposals%00",
		"/assets/../server.go", "/assets/%2e%2e/web.go", "/assets/", "/assets", "/metrics", "/debug/pprof/", "/debug/pprof/heap", "/V1/PROPOSALS", "/v1", "/v3",
		"/v2/models/selective_search/versions/2", "/v2/models/..%2f..", "/v2/models/" + strings.Repeat("m", 4000), "/v2/models/selective_search/infer/x", "/\xff\xfe",
		"/openapi.json", "/.git/config", "/wp-login.php",
	}
	methods := []string{"BREW", "TRACE", "DELETE", "PUT", "PATCH", "OPTIONS", "post", "GET\x00"}
	path, method := pick(r, paths...), pick(r, http.MethodGet, http.MethodPost, http.MethodHead)
	if r.IntN(3) == 0 {
		path, method = pick(r, proposalsPath, "/v1/rois", "/v1/modes", inferPath, "/v2", "/healthz", "/docs", "/", "/nothing"), pick(r, methods...)
	}
	a := talking(wire{send: [][]byte{m.head(method, path, "HTTP/1.1", "Content-Length: 0")}}, 400, 404, 405)
	a.path, a.route = path, ""
	if method == http.MethodHead {
		a = talking(wire{send: [][]byte{m.head(method, path, "HTTP/1.1", "Connection: close")}}) // its answer has no body
		a.wire.answers, a.wire.dropped = 0, 1<<16
	}
	return a
}

// drawBadTensor is wrong in the inference protocol's ways.
func drawBadTensor(r *rand.Rand, m *mix) *ask {
	p := m.album.png[r.IntN(2)]
	data := base64.StdEncoding.EncodeToString(p.data)
	input := `{"name":"image","datatype":"BYTES","shape":[1],"data":["` + data + `"]}`
	bodies := []string{
		"", "null", "{}", "[]", "\xff", `{"inputs":[]}`, strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000),
		`{"inputs":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
		`{"inputs":[` + input + `],"inputs":[` + input + `]}`,
		`{"inputs":[` + input + `,` + input + `]}`,
		`{"inputs":[` + strings.Replace(input, "[1]", "[1e9]", 1) + `]}`,
		`{"inputs":[` + strings.Replace(input, "[1]", "[-1]", 1) + `]}`,
		`{"inputs":[` + strings.Replace(input, "BYTES", "FP64", 1) + `]}`,
		`{"inputs":[` + strings.Replace(input, data, "%%%not base64%%%", 1) + `]}`,
		`{"inputs":[` + strings.Replace(input, data, "", 1) + `]}`,
		`{"inputs":[` + input + `],"parameters":{"max":NaN}}`,
		`{"inputs":[` + input + `],"parameters":{"max":-1}}`,
		`{"inputs":[` + input + `],"parameters":{"mode":"` + strings.Repeat("m", 100_000) + `"}}`,
		`{"inputs":[` + input + `],"parameters":{"nothing":1}}`,
		`{"inputs":[` + input + `],"outputs":[{"name":"secrets"}]}`,
		`{"inputs":[` + input + `],"outputs":[` + strings.Repeat(`{"name":"boxes"},`, 10_000) + `{"name":"boxes"}]}`,
		`{"inputs":[` + input + `],"id":` + strings.Repeat("9", 1000) + `}`,
		`{"inputs":[` + input + `]} trailing`,
		`{"` + strings.Repeat(`a":1,"`, 50_000) + `b":1}`,
	}
	lengths := []string{"-1", "1", "7", "99999999999", "18446744073709551616", "0x10", "seven", "", "1,2"}
	switch r.IntN(4) {
	case 0:
		a := unwanted(inferPath, "application/json", `{"inputs":[`+input+`]}`, 400)
		a.header.Set(openinference.HeaderLength, pick(r, lengths...))
		return a
	case 1: // much base64, of no picture
		return unwanted(inferPath, "application/json", `{"inputs":[`+strings.Replace(input, data, strings.Repeat("AAAA", 2<<20), 1)+`]}`, 415)
	}
	return unwanted(inferPath, "application/json", pick(r, bodies...), 400)
}

var wrongTypes = []string{
	"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
	"PK\x03\x04\x14\x00\x00\x00\x08\x00", "<!doctype html><script>alert(1)</script>", "\x7fELF\x02\x01\x01\x00", "%PDF-1.7\n", "<svg xmlns='http://www.w3.org/2000/svg'/>",
	"P6 1 1 255 abc", "\x00\x00\x00\x0cjP  \r\n\x87\n", "#?RADIANCE\n", "v/1\x01", "II+\x00\x08\x00\x00\x00", "\x00", "\xff\xd8", "BM", "RIFF\x00\x00\x00\x00WAVE",
	"push graphic-context\nviewbox 0 0 1 1\nfill 'url(https://127.0.0.1/)'\npop graphic-context", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data/",
}

var hostileKinds = []kind{
	{"huge header", 5, broken([]int{413}, func(*rand.Rand, *mix) []byte { return pngOf(50000, 50000, chunk("IDAT", []byte{0x78, 0x9c})) })},
	{"bomb", 3, func(r *rand.Rand, m *mix) *ask {
		b := pick(r, bombs()...)
		return broken(b.want, func(*rand.Rand, *mix) []byte { return b.data })(r, m)
	}},
	{"truncated", 12, broken([]int{415, 422}, func(r *rand.Rand, m *mix) []byte {
		p := pick(r, m.album.whole...)
		return p.data[:1+r.IntN(len(p.data)*9/10)]
	})},
	{"damaged", 8, broken([]int{200, 413, 415, 422}, func(r *rand.Rand, m *mix) []byte {
		data := slices.Clone(pick(r, m.album.whole...).data)
		for range 1 + r.IntN(20) {
			data[r.IntN(len(data))] = byte(r.Uint32())
		}
		return data
	})},
	{"wrong type", 6, broken([]int{415, 422}, func(r *rand.Rand, _ *mix) []byte { return []byte(pick(r, wrongTypes...)) })},
	{"empty", 3, broken([]int{400}, func(*rand.Rand, *mix) []byte { return nil })},
	{"slow", 4, drawSlow},
	{"dropped", 8, drawDropped},
	{"bad wire", 20, drawBadWire},
	{"bad form", 12, drawBadForm},
	{"bad query", 12, drawBadQuery},
	{"bad header", 8, drawBadHeader},
	{"bad path", 8, drawBadPath},
	{"bad tensor", 10, drawBadTensor},
}
