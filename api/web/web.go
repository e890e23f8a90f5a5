// Package web is the service's page for people: drop a picture, see its boxes, the
// regions and trees that they come from, and the evidence for each. It is plain
// HTML, CSS and JavaScript modules, held by the program; it asks no other host for
// anything, and the service only for /v1/modes and /v1/proposals, by addresses
// relative to its own, so that it works behind a path prefix, too.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/go-chi/chi/v5"
)

//go:embed index.html assets
var files embed.FS

// Policy is the Content-Security-Policy of the page: scripts, styles and requests of
// its own origin, nothing inline, in no frame. A picture that was dropped is a blob.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// types are the files' by their extensions: what the machine says of them may differ.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".jpg":  "image/jpeg",
}

// Mount serves the page at /, and each of its files at /assets/NAME, to GET; HEAD is
// for middleware.GetHead. Paths and methods that there are not are left to the
// router. Files are to be asked for again each time, by an ETag of their content, so
// that a page never has another version's script.
func Mount(r chi.Router) {
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		at := "/" + name
		if name == "index.html" {
			at = "/"
		}
		r.Get(at, serve(name, content))
		return nil
	})
	if err != nil {
		panic(err) // the files are the program's own
	}
}

func serve(name string, content []byte) http.HandlerFunc {
	kind, known := types[path.Ext(name)]
	if !known {
		panic(fmt.Sprintf("web: %s: no content type is known for its extension", name))
	}
	sum := sha256.Sum256(content)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("ETag", tag)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", Policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}
}
