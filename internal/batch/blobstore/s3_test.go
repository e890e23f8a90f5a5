package blobstore

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/proposer/proposer/internal/batch/blobstore/cloud"
)

// fakeS3 is a server that speaks as much of S3 as is spoken here: PUT, GET, HEAD, DELETE,
// uploads in parts and list-type=2, with path-style addresses.
func fakeS3(t *testing.T) string {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none",
	} {
		t.Setenv(name, value)
	}
	server := httptest.NewServer(&s3{objects: map[string][]byte{}, parts: map[string][]byte{}})
	stopS3 = server.Close
	t.Cleanup(server.Close)
	return "s3://bucket/pre/fix?region=us-east-1&use_path_style=true&endpoint=" + server.URL
}

// stopS3 ends the last fakeS3.
var stopS3 func()

type s3 struct {
	mu      sync.Mutex
	objects map[string][]byte
	parts   map[string][]byte // by key and number
}

func (s *s3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	taken := func() bool {
		_, ok := s.objects[key]
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
		s.parts[part(q.Get("partNumber"))] = body
		w.Header().Set("ETag", `"x"`)
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		maps.DeleteFunc(s.parts, func(name string, _ []byte) bool { return strings.HasPrefix(name, part("")) })
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
			whole = append(whole, s.parts[part(p.PartNumber)]...)
			delete(s.parts, part(p.PartNumber))
		}
		if taken() {
			return
		}
		s.objects[key] = whole
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
	case key == "" && q.Get("list-type") == "2":
		s.list(w, r)
	case r.Method == http.MethodPut:
		if taken() {
			return
		}
		s.objects[key] = body
		w.Header().Set("ETag", `"x"`)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		data, ok := s.objects[key]
		if !ok {
			fail(http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), bytes.NewReader(data))
	}
}

// list answers three keys at a time, so that there are pages.
func (s *s3) list(w http.ResponseWriter, r *http.Request) {
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
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= q.Get("continuation-token") {
			continue
		}
		if len(page.Contents) == 3 {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[2].Key
			break
		}
		page.Contents = append(page.Contents, object{key, "2026-01-01T00:00:00.000Z", `"x"`, len(s.objects[key])})
	}
	xml.NewEncoder(w).Encode(page)
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
