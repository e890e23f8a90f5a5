// Package web serves the interactive page of the service: it shows an image with its boxes, the
// regions and merge trees behind them, and the evidence for each box.
//
// The page consists of plain HTML, CSS and JavaScript modules embedded in the program. It makes
// no requests to other hosts, and to the service only /v1/modes and /v1/proposals, by relative
// URLs, so that it also works behind a path prefix.
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

// Policy is the Content-Security-Policy of the page: scripts, styles and requests of its own
// origin only, nothing inline, no framing. A dropped image is a blob.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// types are the media types by extension, independent of the machine's MIME tables.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".jpg":  "image/jpeg",
}

// Mount adds GET routes for the page, at /, and its files, at /assets/NAME. HEAD requests need
// middleware.GetHead. Clients revalidate each file by the ETag of its content, so that a page
// never runs with the scripts of another version.
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
		panic(err) // the files are embedded
	}
}

func serve(name string, content []byte) http.HandlerFunc {
	kind, known := types[path.Ext(name)]
	if !known {
		panic(fmt.Sprintf("web: %s: unknown extension", name))
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
