// Package docs renders an OpenAPI 3.0 description as one HTML page that needs no script and
// loads nothing else.
package docs

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"

	"github.com/yuin/goldmark"
	"go.yaml.in/yaml/v3"
)

//go:embed docs.html
var pageHTML string

//go:embed docs.css
var pageCSS string

// Page is a rendered description. It is an http.Handler, safe for concurrent use.
type Page struct {
	html   []byte
	policy string
}

// New renders an OpenAPI description in YAML. Every operation must have a tag, and every
// $ref must refer to the same document. Rendering takes a few milliseconds.
func New(openAPI []byte) (*Page, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(openAPI, &root); err != nil {
		return nil, fmt.Errorf("docs: OpenAPI description: %w", err)
	}
	if len(root.Content) == 0 {
		return nil, fmt.Errorf("docs: OpenAPI description is empty: want a YAML mapping")
	}

	t, err := template.New("docs").Funcs(template.FuncMap{
		"markdown": markdown,
		"css":      func() template.CSS { return template.CSS(pageCSS) },
	}).Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	var page bytes.Buffer
	if err := t.Execute(&page, document{node{root.Content[0]}}); err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}

	sum := sha256.Sum256([]byte(pageCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return &Page{html: page.Bytes(), policy: policy}, nil
}

// ServeHTTP writes the page, with a content security policy that allows nothing but its own style.
func (p *Page) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(p.html)
}

// markdown renders the Markdown of a description. It drops raw HTML.
func markdown(text string) (template.HTML, error) {
	var buf bytes.Buffer
	err := goldmark.Convert([]byte(text), &buf)
	return template.HTML(buf.String()), err
}
