package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

func get(t *testing.T, method, at, tag string) *http.Response {
	t.Helper()
	r := chi.NewRouter()
	Mount(r)
	request := httptest.NewRequest(method, at, nil)
	if tag != "" {
		request.Header.Set("If-None-Match", tag)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request)
	return w.Result()
}

func TestMount(t *testing.T) {
	tests := []struct {
		method, at string
		status     int
		kind       string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/assets/app.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/assets/style.css", 200, "text/css; charset=utf-8"},
		{"GET", "/assets/icon.svg", 200, "image/svg+xml"},
		{"GET", "/assets/table.jpg", 200, "image/jpeg"},
		{"GET", "/index.html", 404, ""},
		{"GET", "/assets/", 404, ""},
		{"GET", "/assets/none.js", 404, ""},
		{"GET", "/assets/../web.go", 404, ""},
		{"POST", "/", 405, ""},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.at, func(t *testing.T) {
			got := get(t, test.method, test.at, "")
			if got.StatusCode != test.status {
				t.Fatalf("got status %d, want %d", got.StatusCode, test.status)
			}
			if test.kind == "" {
				return
			}
			for name, want := range map[string]string{
				"Content-Type":            test.kind,
				"Cache-Control":           "no-cache",
				"Content-Security-Policy": Policy,
				"X-Content-Type-Options":  "nosniff",
			} {
				if got.Header.Get(name) != want {
					t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
				}
			}
			again := get(t, test.method, test.at, got.Header.Get("ETag"))
			if again.StatusCode != http.StatusNotModified {
				t.Errorf("request with its ETag %s: got status %d, want 304", got.Header.Get("ETag"), again.StatusCode)
			}
		})
	}
	if a, b := get(t, "GET", "/assets/table.jpg", ""), get(t, "GET", "/assets/meadow.jpg", ""); a.Header.Get("ETag") == b.Header.Get("ETag") {
		t.Error("two images have the same ETag")
	}
}

// All files that the page refers to exist, and it refers to no other host.
func TestReferences(t *testing.T) {
	address := regexp.MustCompile(`(?:src|href)="([^"#]*)"|from "([^"]*)"|\burl\("?([^")]*)`)
	foreign := regexp.MustCompile(`https?://[^'" ]*`)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if path.Ext(name) == ".jpg" {
			if len(content) > 80<<10 {
				t.Errorf("%s has %d bytes: want at most 80 KiB", name, len(content))
			}
			return nil
		}
		for _, found := range address.FindAllStringSubmatch(string(content), -1) {
			to := found[1] + found[2] + found[3]
			if strings.HasPrefix(to, "data:") || to == "docs" {
				continue
			}
			if _, err := files.Open(path.Join(path.Dir(name), to)); err != nil {
				t.Errorf("%s names %q: %v", name, to, err)
			}
		}
		for _, to := range foreign.FindAllString(string(content), -1) {
			if to != "http://www.w3.org/2000/svg" {
				t.Errorf("%s names %s: want no other host", name, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
