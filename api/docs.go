package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"

	"github.com/yuin/goldmark"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openapi []byte

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS string

// docs is the readable page that is made of openapi.yaml, and may be shown by browsers.
type docs struct {
	page   []byte
	policy string
}

// apiDocs are those of all servers: to make them takes some milliseconds.
var apiDocs = sync.OnceValues(newDocs)

func newDocs() (*docs, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(openapi, &root); err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	d := openAPI{yamlNode{root.Content[0]}}
	t, err := template.New("docs").Funcs(template.FuncMap{
		"markdown": markdown,
		"css":      func() template.CSS { return template.CSS(docsCSS) },
	}).Parse(docsHTML)
	if err != nil {
		return nil, fmt.Errorf("api: docs.html: %w", err)
	}
	var page bytes.Buffer
	if err := t.Execute(&page, d); err != nil {
		return nil, fmt.Errorf("api: docs.html: %w", err)
	}
	sum := sha256.Sum256([]byte(docsCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return &docs{page.Bytes(), policy}, nil
}

func (d *docs) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", d.policy)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(d.page) // nobody to tell
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(openapi) // nobody to tell
}

// markdown is the text of a description as HTML. It is ours, but raw HTML in it is left out
// all the same.
func markdown(text string) (template.HTML, error) {
	var buf bytes.Buffer
	err := goldmark.Convert([]byte(text), &buf)
	return template.HTML(buf.String()), err
}

// yamlNode is a part of a YAML file, in the order of the file. A part that is not there is empty.
type yamlNode struct{ *yaml.Node }

// yamlEntry is a named part.
type yamlEntry struct {
	Name string
	Part yamlNode
}

// Entries are the parts of a mapping.
func (n yamlNode) Entries() []yamlEntry {
	if n.Node == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	all := make([]yamlEntry, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		all = append(all, yamlEntry{n.Content[i].Value, yamlNode{n.Content[i+1]}})
	}
	return all
}

// Items are the parts of a list.
func (n yamlNode) Items() []yamlNode {
	if n.Node == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]yamlNode, len(n.Content))
	for i, c := range n.Content {
		all[i] = yamlNode{c}
	}
	return all
}

// At is the part with a name.
func (n yamlNode) At(name string) yamlNode {
	for _, e := range n.Entries() {
		if e.Name == name {
			return e.Part
		}
	}
	return yamlNode{}
}

// Text is a scalar.
func (n yamlNode) Text() string {
	if n.Node == nil {
		return ""
	}
	return n.Value
}

// openAPI is openapi.yaml.
type openAPI struct{ yamlNode }

// operation is a method of a path.
type operation struct {
	Method, Path, ID string
	Parameters       []yamlNode
	yamlNode
}

// Operations are those with a tag.
func (d openAPI) Operations(tag string) []operation {
	var all []operation
	for _, path := range d.At("paths").Entries() {
		for _, method := range path.Part.Entries() {
			tags := method.Part.At("tags").Items()
			if len(tags) == 0 || tags[0].Text() != tag {
				continue
			}
			var parameters []yamlNode
			for _, p := range append(path.Part.At("parameters").Items(), method.Part.At("parameters").Items()...) {
				parameters = append(parameters, d.Resolve(p))
			}
			all = append(all, operation{strings.ToUpper(method.Name), path.Name, method.Part.At("operationId").Text(), parameters, method.Part})
		}
	}
	return all
}

// Resolve is what a part with a $ref stands for, or the part itself.
func (d openAPI) Resolve(n yamlNode) yamlNode {
	path, ok := strings.CutPrefix(n.At("$ref").Text(), "#/")
	if !ok {
		return n
	}
	found := d.yamlNode
	for name := range strings.SplitSeq(path, "/") {
		found = found.At(name)
	}
	return found
}

// Type says of what type a schema is, in a few words.
func (d openAPI) Type(schema yamlNode) string {
	if ref := schema.At("$ref").Text(); ref != "" {
		return ref[strings.LastIndex(ref, "/")+1:]
	}
	var values []string
	for _, v := range schema.At("enum").Items() {
		values = append(values, v.Text())
	}
	kind := schema.At("type").Text()
	switch {
	case len(values) > 0:
		kind = strings.Join(values, " | ")
	case kind == "array":
		kind = "list of " + d.Type(schema.At("items"))
	case schema.At("format").Text() == "binary":
		kind = "bytes"
	}
	if schema.At("nullable").Text() == "true" {
		kind += " | null"
	}
	return kind
}
