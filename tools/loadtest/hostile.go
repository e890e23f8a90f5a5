package main

import (
	"bytes"
	"compress/zlib"
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

var hostileKinds = []kind{
	{"huge image", 5, drawFile([]int{413}, func(*rand.Rand, *workload) []byte {
		return pngFile(50000, 50000, chunk("IDAT", []byte{0x78, 0x9c}))
	})},
	{"bomb", 3, func(r *rand.Rand, w *workload) *request {
		b := pick(r, bombs()...)
		return drawFile(b.want, func(*rand.Rand, *workload) []byte { return b.data })(r, w)
	}},
	{"truncated", 12, drawFile([]int{415, 422}, func(r *rand.Rand, w *workload) []byte {
		img := pick(r, w.corpus.formats...)
		return img.data[:1+r.IntN(len(img.data)*9/10)]
	})},
	{"damaged", 8, drawFile([]int{200, 413, 415, 422}, func(r *rand.Rand, w *workload) []byte {
		data := slices.Clone(pick(r, w.corpus.formats...).data)
		for range 1 + r.IntN(20) {
			data[r.IntN(len(data))] = byte(r.Uint32())
		}
		return data
	})},
	{"wrong type", 6, drawFile([]int{415, 422}, func(r *rand.Rand, _ *workload) []byte {
		return []byte(pick(r, wrongTypes...))
	})},
	{"empty", 3, drawFile([]int{400}, func(*rand.Rand, *workload) []byte { return nil })},
	{"slow", 12, drawSlow},
	{"slow reader", 6, drawSlowReader},
	{"dropped", 8, drawDropped},
	{"bad bytes", 20, drawBadBytes},
	{"malformed", 40, func(r *rand.Rand, w *workload) *request { return pick(r, malformed()...)(w) }},
	{"form mixed", 4, drawMixedForm},
	{"form of 50", 6, func(r *rand.Rand, w *workload) *request {
		parts := make([]part, 50)
		for i := range parts {
			parts[i] = part{"image", "a", w.corpus.jpeg[i%len(w.corpus.jpeg)].data}
		}
		mediaType, body := form(parts...)
		req := post(proposalsPath, mediaType, body)
		req.query = uncached(r, "max=100")
		return req
	}},
	{"failed login", 10, func(r *rand.Rand, _ *workload) *request {
		auth := http.Header{"Authorization": {"Bearer " + strconv.FormatUint(r.Uint64(), 36)}}
		return &request{method: http.MethodGet, path: "/v1/modes", header: auth, want: []int{200, 401}}
	}},
	{"forged chunk", 6, drawFile([]int{200, 415, 422}, func(r *rand.Rand, _ *workload) []byte {
		bad := chunk(pick(r, "a\n{\"", "\r\nab", "\x1b[2J"), []byte(`{"level":"ERROR","msg":"forged"}`))
		bad[len(bad)-1]++ // the checksum
		return pngFile(64, 64, bad, chunk("IDAT", zeros(65*64)), bad)
	})},
	{"large result", 3, func(*rand.Rand, *workload) *request {
		req := propose(search{&testImage{"large", largeImage(), 5000, 2400}, "tree=1&masks=rle&evidence=1&max=0&min-size=1&k=1"}, "")
		req.want, req.etagKey, req.images = []int{400, 413, 422}, "", 0
		return req
	}},
}

// chunk returns a chunk of a PNG file.
func chunk(name string, data []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	c = append(append(c, name...), data...)
	return binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
}

// pngFile returns a PNG file with the header of a gray image and the chunks.
func pngFile(width, height uint32, chunks ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	head = append(head, 8, 0, 0, 0, 0)
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", head), bytes.Join(chunks, nil), chunk("IEND", nil))
}

// largeImage is a file of 5000 × 2400 random samples.
var largeImage = sync.OnceValue(func() []byte {
	r := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, 5001*2400)
	for i := range data {
		if i%5001 != 0 { // the filter of the row
			data[i] = byte(r.Uint32())
		}
	}
	var buf bytes.Buffer
	w, _ := zlib.NewWriterLevel(&buf, zlib.NoCompression) // a valid level
	_, _ = w.Write(data)                                  // a bytes.Buffer does not fail
	_ = w.Close()
	return pngFile(5000, 2400, chunk("IDAT", buf.Bytes()))
})

// manyNames returns a JSON object with n unknown names.
func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"n%d":1`, i)
	}
	return "{" + b.String()[1:] + "}"
}

// zeros returns n compressed zero bytes.
func zeros(n int) []byte {
	var buf bytes.Buffer
	w, _ := zlib.NewWriterLevel(&buf, zlib.BestCompression) // a valid level
	block := make([]byte, 1<<16)
	for ; n > 0; n -= len(block) {
		_, _ = w.Write(block[:min(n, len(block))]) // a bytes.Buffer does not fail
	}
	_ = w.Close()
	return buf.Bytes()
}

// A bomb is a small file that is large once decompressed. Within the limits it is an image like others.
type bomb struct {
	data []byte
	want []int
}

var bombs = sync.OnceValue(func() []bomb {
	flood := zeros(200 << 20)
	text := func(name, prefix string) []byte { // an image with a large ancillary chunk
		return pngFile(16, 16, chunk(name, append([]byte(prefix), flood...)), chunk("IDAT", zeros(17*16)))
	}
	return []bomb{
		{pngFile(2000, 1500, chunk("IDAT", zeros(2001*1500))), []int{200, 413}},
		{pngFile(16, 16, chunk("IDAT", flood)), []int{200, 422}},
		{text("zTXt", "Comment\x00\x00"), []int{200, 422}},
		{text("iCCP", "icc\x00\x00"), []int{200, 422}},
		{pngFile(7000, 7000, chunk("IDAT", []byte{0x78, 0x9c})), []int{413, 422}},
	}
})

var wrongTypes = []string{
	"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
	"PK\x03\x04\x14\x00\x00\x00\x08\x00", "<!doctype html><script>alert(1)</script>", "\x7fELF\x02\x01\x01\x00", "%PDF-1.7\n",
	"<svg xmlns='http://www.w3.org/2000/svg'/>", "P6 1 1 255 abc", "\x00\x00\x00\x0cjP  \r\n\x87\n", "#?RADIANCE\n", "v/1\x01",
	"II+\x00\x08\x00\x00\x00", "\x00", "\xff\xd8", "BM", "RIFF\x00\x00\x00\x00WAVE",
	"push graphic-context\nviewbox 0 0 1 1\nfill 'url(https://127.0.0.1/)'\npop graphic-context",
	"file:///etc/passwd", "http://169.254.169.254/latest/meta-data/",
}

// drawFile sends a file as an image in one of the ways that the service takes images.
func drawFile(want []int, file func(*rand.Rand, *workload) []byte) func(*rand.Rand, *workload) *request {
	return func(r *rand.Rand, w *workload) *request {
		data := file(r, w)
		var req *request
		switch r.IntN(5) {
		case 0:
			mediaType, body := form(part{"image", "a.png", data})
			req = post(proposalsPath, mediaType, body)
		case 1:
			req = post(inferencePath, "application/octet-stream", data)
			req.header.Set(openinference.HeaderLength, "0")
		default:
			req = post(proposalsPath, pick(r, "image/png", "image/jpeg", "text/html", ""), data)
			req.query = pick(r, "", "mode=single", "masks=rle&mode=single")
		}
		req.want = want
		return req
	}
}

// rawRequest returns a request on a connection of its own. The service may close the connection without
// a response, as it does to clients that send too much.
func rawRequest(c rawConn, want ...int) *request {
	return &request{method: http.MethodPost, path: proposalsPath, raw: &c, want: want, mayClose: true}
}

// head returns the header of a raw request with the lines that the service requires.
func (w *workload) head(method, target, proto string, lines ...string) []byte {
	all := append([]string{method + " " + target + " " + proto, "Host: loadtest"}, lines...)
	if w.hostileToken != "" {
		all = append(all, "Authorization: Bearer "+w.hostileToken)
	}
	return []byte(strings.Join(all, "\r\n") + "\r\n\r\n")
}

func (w *workload) postHead(lines ...string) []byte {
	return w.head(http.MethodPost, proposalsPath+"?mode=single", "HTTP/1.1", lines...)
}

func contentLength(n int) string { return "Content-Length: " + strconv.Itoa(n) }

const chunked = "Transfer-Encoding: chunked"

// drawSlow sends a header or a body byte by byte and never ends.
func drawSlow(r *rand.Rand, w *workload) *request {
	img := w.corpus.png[0].data
	c := rawConn{responses: 1, pause: time.Duration(100+r.IntN(300)) * time.Millisecond, repeat: []byte("a")}
	switch r.IntN(8) {
	case 0: // a header
		c.send = [][]byte{[]byte("POST /v1/proposals HTTP/1.1\r\nHost: loadtest\r\n")}
		c.repeat = []byte("X-A: b\r\n")
	case 1: // empty lines before the header
		c.repeat = []byte("\r\n")
		return rawRequest(c, http.StatusRequestTimeout, http.StatusBadRequest)
	case 2: // a part of a form
		c.send = [][]byte{
			w.postHead(contentLength(1<<20), `Content-Type: multipart/form-data; boundary=b`),
			[]byte("--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n"),
		}
	case 3: // a body in chunks of one byte
		c.send = [][]byte{w.postHead(chunked)}
		c.repeat = []byte("1\r\na\r\n")
	case 4: // nothing after the request for a go-ahead
		c.send = [][]byte{w.postHead(contentLength(len(img)), "Expect: 100-continue")}
		c.repeat = nil
	case 5, 6: // nearly nothing of a body
		c.send = [][]byte{w.postHead(contentLength(10 << 20)), []byte("abc")}
		c.repeat = nil
	default: // the second half of a body
		c.send = [][]byte{w.postHead(contentLength(len(img))), img[:len(img)/2]}
		c.repeat = img[len(img)/2:][:1]
	}
	return rawRequest(c, http.StatusRequestTimeout)
}

// drawSlowReader requests large responses and does not read them for a while.
func drawSlowReader(r *rand.Rand, w *workload) *request {
	mediaType, body := form(slices.Repeat([]part{{"image", "a", pick(r, w.corpus.png...).data}}, 20)...)
	head := w.head(http.MethodPost, proposalsPath+"?max=0&masks=rle&evidence=1&tree=1", "HTTP/1.1",
		contentLength(len(body)), "Content-Type: "+mediaType)
	return rawRequest(rawConn{send: [][]byte{head, body}, stall: time.Duration(20+r.IntN(20)) * time.Second, reset: true})
}

// drawDropped drops the connection in the body, during the search or in the response.
func drawDropped(r *rand.Rand, w *workload) *request {
	img := pick(r, w.corpus.jpeg...).data
	c := rawConn{reset: r.IntN(2) == 0}
	length := contentLength(len(img))
	switch r.IntN(3) {
	case 0:
		c.send = [][]byte{w.postHead(length), img[:r.IntN(len(img))]}
	case 1:
		c.send = [][]byte{w.postHead(length), img}
	default:
		query := "?max=0&masks=rle&seed=" + strconv.FormatUint(r.Uint64(), 10)
		c.send = [][]byte{w.head(http.MethodPost, proposalsPath+query, "HTTP/1.1", length), img}
		c.dropAfter = 1 + r.IntN(4096)
	}
	return rawRequest(c)
}

// drawBadBytes sends what is not HTTP, or not valid HTTP.
func drawBadBytes(r *rand.Rand, w *workload) *request {
	img := w.corpus.png[r.IntN(2)].data
	length := contentLength(len(img))
	large := append([]byte("100000\r\n"), append(make([]byte, 1<<20), "\r\n"...)...)
	one := append(w.postHead(length), img...)
	trailer := strings.Repeat("X-T: "+strings.Repeat("y", 100)+"\r\n", 1000)
	chunks := func(body string) [][]byte { return [][]byte{w.postHead(chunked), []byte(body)} }
	post := func(lines ...string) [][]byte { return [][]byte{w.postHead(lines...), img} }
	line := func(method, target, proto string) [][]byte { return [][]byte{w.head(method, target, proto)} }
	text := func(text string) [][]byte { return [][]byte{[]byte(text)} }

	c := pick(r, []struct {
		send [][]byte
		half bool // close the sending side: the service may take the client for gone
		want []int
	}{
		{post("Content-Length: 1000000000000")[:1], false, []int{413}},
		{post("Content-Length: -1"), false, []int{400}},
		{post("Content-Length: 99999999999999999999999"), false, []int{400}},
		{post(length, "Content-Length: 7"), false, []int{400}},
		{[][]byte{w.postHead(length, chunked), []byte("0\r\n\r\n")}, false, []int{200, 400}},
		{post(contentLength(len(img) + 1000)), true, []int{400, statusClientClosed}},
		{post(contentLength(len(img) / 2)), true, []int{400, 422}},
		{chunks("400\r\nabc"), true, []int{400, statusClientClosed}},
		{chunks("zz\r\nabc\r\n0\r\n\r\n"), false, []int{400}},
		{chunks("ffffffffffffffffff\r\nabc\r\n"), false, []int{400}},
		{chunks("3;" + strings.Repeat("x", 1<<16) + "\r\nabc\r\n0\r\n\r\n"), false, []int{400}},
		{chunks("3\r\nabc\r\n0\r\n" + trailer + "\r\n"), false, []int{400, 415}},
		{[][]byte{w.postHead("Transfer-Encoding: gzip"), []byte("abc")}, false, []int{400, 501}},
		{post(length, "X-Bad: a\x01b"), false, []int{400}},
		{post(length, "X-Bad: a\x00b"), false, []int{400}},
		{post(length, "no colon"), false, []int{400}},
		{post(length, "X Y: z"), false, []int{400}},
		{post(length, "X-Fold: a\r\n b"), false, []int{200, 400}},
		{post(length, "Host: other"), false, []int{400}},
		{text("POST /v1/proposals HTTP/1.1\r\n\r\n"), false, []int{400}},
		{post(length, "X-Huge: "+strings.Repeat("h", 1<<20)), false, []int{431}},
		{post(slices.Repeat([]string{"X-Many: y"}, 20000)...)[:1], false, []int{431}},
		{line("POST", "/"+strings.Repeat("p", 1<<20), "HTTP/1.1"), false, []int{431, 414}},
		{line("POST", proposalsPath, "HTTP/3.0"), false, []int{400, 505}},
		{line("POST", proposalsPath, "HTTP/0.9"), false, []int{400, 505}},
		{line("POST", proposalsPath, "FTP/1.1"), false, []int{400}},
		{text("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 512) + "\r\n\r\n"), false, []int{400}},
		{text("GET\r\n\r\n"), true, []int{400}},
		{post(length, "Expect: a-banana")[:1], false, []int{417}},
		{[][]byte{w.head("POST", proposalsPath+"?mode=single", "HTTP/1.0", length), img}, false, []int{200}},
		{[][]byte{w.head("POST", "http://example.org"+proposalsPath+"?mode=single", "HTTP/1.1", length), img}, false, []int{200}},
		{append(chunks(""), slices.Repeat([][]byte{large}, 70)...), false, []int{413, 408}}, // more than an image may have
		// Not to the described path.
		{text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), false, []int{400, 404}},
		{line("CONNECT", "example.com:443", "HTTP/1.1"), false, []int{400, 404, 405}},
		{line("OPTIONS", "*", "HTTP/1.1"), false, []int{200, 400, 404, 405}},
		{[][]byte{slices.Concat(one, one, w.head("GET", "/healthz", "HTTP/1.1"), one, one)}, false, nil}, // pipelined
	}...)
	req := rawRequest(rawConn{send: c.send, halfClose: c.half, responses: 1}, c.want...)
	if !bytes.Contains(c.send[0], []byte(proposalsPath)) {
		req.path = ""
	}
	if c.want == nil {
		req.raw.responses, req.mayClose, req.path = 5, false, ""
	}
	return req
}

// malformed returns requests that are valid HTTP but not valid requests to the service. They were chosen for
// what they cost to parse; the service's own tests have the others.
var malformed = sync.OnceValue(func() []func(w *workload) *request {
	nested := strings.Repeat("[", 100_000)
	closed := nested + strings.Repeat("]", 100_000)
	body := func(path, mediaType, body string, want ...int) func(*workload) *request {
		return func(*workload) *request {
			req := post(path, mediaType, []byte(body))
			req.want = want
			return req
		}
	}
	// fields sends a form with an image and the fields.
	fields := func(path string, fields []part, want ...int) func(*workload) *request {
		return func(w *workload) *request {
			mediaType, body := form(append([]part{{"image", "a.png", w.corpus.png[0].data}}, fields...)...)
			req := post(path, mediaType, body)
			req.want = want
			return req
		}
	}
	field := func(name, value string, want ...int) func(*workload) *request {
		path := map[string]string{"options": proposalsPath, "truth": "/v1/rois"}[name]
		return fields(path, []part{{name, "", []byte(value)}}, want...)
	}
	query := func(query string, want ...int) func(*workload) *request {
		return func(w *workload) *request {
			req := propose(search{w.corpus.png[0], query}, "")
			req.want, req.etagKey, req.images = want, "", 0
			return req
		}
	}
	header := func(name, value string, want ...int) func(*workload) *request {
		return func(w *workload) *request {
			req := query("mode=single", want...)(w)
			req.header.Set(name, value)
			return req
		}
	}
	// tensor sends an inference request whose image is replaced.
	tensor := func(shape, data, more string, want ...int) func(*workload) *request {
		input := `{"name":"image","datatype":"BYTES","shape":[` + shape + `],"data":["` + data + `"]}`
		return body(inferencePath, "application/json", `{"inputs":[`+input+`]`+more+`}`, want...)
	}

	return []func(*workload) *request{
		body(proposalsPath, "multipart/form-data", "--b\r\n", 400),
		body(proposalsPath, "multipart/form-data; boundary="+strings.Repeat("b", 1000), "--b\r\n", 400),
		fields(proposalsPath, slices.Repeat([]part{{"x", "", []byte("y")}}, 5000), 400),
		fields(proposalsPath, slices.Repeat([]part{{"image", "a", []byte("y")}}, 5000), 413, 415),
		fields(proposalsPath, slices.Repeat([]part{{"image", "a", []byte("y")}}, 100), 413),
		body(proposalsPath, "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=options\r\n\r\n"+manyNames(50_000)+"\r\n--b--", 400, 413),
		field("options", `{"mode":"`+strings.Repeat("m", 2<<20)+`"}`, 400, 413),
		field("options", nested, 400, 413),
		field("options", `{"a":`+closed+`}`, 400, 413),
		field("options", `{"max":1e999999999}`, 400),
		field("truth", `{"boxes":`+nested, 400),
		field("truth", `{"boxes":[`+strings.Repeat("[0,0,9,9],", 50_000)+`[0,0,9,9]]}`, 400),
		field("truth", `{"boxes":[[0,0,1e308,1e308]]}`, 400),
		query("sigma=16&mode=single", 200),
		query("sigma=1e300", 400),
		query("k=1e-30", 200, 400, 422),
		query("k=0.001&min-size=1", 200, 400, 422),
		query("max-side=1&mode=single&masks=rle&tree=1&evidence=1", 200, 400, 422),
		query("resize-width=1048576&mode=single", 413),
		query("resize-width=1&mode=single&masks=rle&tree=1&evidence=1", 200, 400, 422),
		query("max-aspect=1&max-area=1e-300&mode=single", 200),
		query("min-area=NaN", 400),
		query("colors="+strings.Repeat("HSV,", 1000)+"HSV", 400),
		query("measures="+strings.Repeat("C", 2000), 400),
		query(strings.Repeat("x&", 4000), 400),
		query("%zz", 400),
		header("Accept", strings.Repeat("text/x;q=0.1,", 900), 406),
		header("Accept", strings.Repeat(",", 8000), 200, 406),
		header("If-None-Match", strings.Repeat(`"a",`, 2000), 200),
		header("Range", "bytes="+strings.Repeat("0-,", 2000), 200),
		header("Authorization", "Bearer "+strings.Repeat("t", 8000), 200, 401),
		header("Cookie", strings.Repeat("a=b; ", 1000), 200),
		header("X-Request-Id", strings.Repeat("i", 4096), 200),
		body(inferencePath, "application/json", strings.Repeat(`{"a":`, 100_000), 400),
		body(inferencePath, "application/json", `{"inputs":`+closed+`}`, 400),
		body(inferencePath, "application/json", `{"`+strings.Repeat(`a":1,"`, 50_000)+`b":1}`, 400),
		tensor("1", strings.Repeat("AAAA", 2<<20), "", 415), // 6 MiB that are not an image
		tensor("1e9", "AAAA", "", 400),
		tensor("1", "AAAA", `,"outputs":[`+strings.Repeat(`{"name":"boxes"},`, 10_000)+`{"name":"boxes"}]`, 400),
		tensor("1", "AAAA", `,"parameters":{"mode":"`+strings.Repeat("m", 100_000)+`"}`, 400),
	}
})

// drawMixedForm sends valid and invalid images in one form.
func drawMixedForm(_ *rand.Rand, w *workload) *request {
	img := w.corpus.png[0]
	mediaType, body := form(
		part{"image", "a", img.data}, part{"image", "b", []byte("GIF89a")}, part{"image", "c", img.data[:len(img.data)/2]},
	)
	req := post(proposalsPath, mediaType, body)
	req.check = checkLines("", []string{"a", "b", "c"}, []*testImage{img, nil, nil})
	return req
}
