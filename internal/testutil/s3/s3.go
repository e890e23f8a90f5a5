// Package s3 is a server of the protocol of Amazon S3 for tests.
package s3

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bucket is the server of a bucket named "bucket". It speaks as much of S3 as the program does: PUT, GET, HEAD, DELETE,
// uploads in parts and list-type=2, with path-style addresses, for the access key "id".
type Bucket struct {
	// OnGet, if not nil, is called before an object is read.
	OnGet func(key string)

	mu      sync.Mutex
	objects map[string][]byte
	parts   map[string][]byte // by key and number
}

// New returns a bucket with objects.
func New(objects map[string][]byte) *Bucket {
	b := &Bucket{objects: map[string][]byte{}, parts: map[string][]byte{}}
	maps.Copy(b.objects, objects)
	return b
}

// Objects returns the objects.
func (b *Bucket) Objects() map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.objects)
}

// ServeHTTP answers a request.
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code string) {
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as asked for</Message></Error>", code)
		}
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/bucket")
	if !ok {
		fail(http.StatusNotFound, "NoSuchBucket")
		return
	}
	key = strings.TrimPrefix(key, "/")
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=id/") {
		fail(http.StatusForbidden, "AccessDenied")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the writer gave up
	}
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		if body, err = unchunk(body); err != nil {
			fail(http.StatusBadRequest, "IncompleteBody")
			return
		}
	}
	if b.OnGet != nil && r.Method == http.MethodGet && key != "" {
		b.OnGet(key)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q := r.URL.Query()
	taken := func() bool {
		_, ok := b.objects[key]
		if ok = ok && r.Header.Get("If-None-Match") == "*"; ok {
			fail(http.StatusPreconditionFailed, "PreconditionFailed")
		}
		return ok
	}
	part := func(number string) string { return key + "\x00" + number }
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
	case r.Method == http.MethodPut && q.Has("partNumber"):
		b.parts[part(q.Get("partNumber"))] = body
		w.Header().Set("ETag", `"x"`)
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		maps.DeleteFunc(b.parts, func(name string, _ []byte) bool { return strings.HasPrefix(name, part("")) })
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost && q.Has("uploadId"):
		var wanted struct {
			Part []struct{ PartNumber string }
		}
		if err := xml.Unmarshal(body, &wanted); err != nil {
			fail(http.StatusBadRequest, "MalformedXML")
			return
		}
		var whole []byte
		for _, p := range wanted.Part {
			whole = append(whole, b.parts[part(p.PartNumber)]...)
			delete(b.parts, part(p.PartNumber))
		}
		if taken() {
			return
		}
		b.objects[key] = whole
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
	case key == "" && q.Get("list-type") == "2":
		b.list(w, r)
	case r.Method == http.MethodPut:
		if taken() {
			return
		}
		b.objects[key] = body
		w.Header().Set("ETag", `"x"`)
	case r.Method == http.MethodDelete:
		delete(b.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		data, ok := b.objects[key]
		if !ok {
			fail(http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), bytes.NewReader(data))
	}
}

// list answers three keys at a time, so that there are pages.
func (b *Bucket) list(w http.ResponseWriter, r *http.Request) {
	type object struct {
		Key          string
		LastModified string
		ETag         string
		Size         int
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []object
	}
	q := r.URL.Query()
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= q.Get("continuation-token") {
			continue
		}
		if len(page.Contents) == 3 {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[2].Key
			break
		}
		page.Contents = append(page.Contents, object{key, "2026-01-01T00:00:00.000Z", `"x"`, len(b.objects[key])})
	}
	_ = xml.NewEncoder(w).Encode(page) // the client gave up
}

// unchunk takes aws-chunked apart: chunks as "SIZE[;…]\r\n…\r\n", then trailers.
func unchunk(body []byte) (data []byte, err error) {
	for {
		head, rest, _ := strings.Cut(string(body), "\r\n")
		size, _, _ := strings.Cut(head, ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil || int(n)+2 > len(rest) {
			return nil, fmt.Errorf("chunk %q: %w", head, err)
		}
		if n == 0 {
			return data, nil
		}
		data, body = append(data, rest[:n]...), []byte(rest[n+2:])
	}
}
