package docs

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is a YAML value. Its methods keep the order of the file. The zero value is a missing value.
type node struct{ *yaml.Node }

// member is a named value of a mapping.
type member struct {
	Name  string
	Value node
}

// Entries returns the members of a mapping, or nil if the value is not a mapping.
func (n node) Entries() []member {
	if n.Node == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	members := make([]member, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		members = append(members, member{n.Content[i].Value, node{n.Content[i+1]}})
	}
	return members
}

// Items returns the elements of a sequence, or nil if the value is not a sequence.
func (n node) Items() []node {
	if n.Node == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]node, len(n.Content))
	for i, c := range n.Content {
		items[i] = node{c}
	}
	return items
}

// At returns the value of a mapping's member, or the zero node.
func (n node) At(name string) node {
	for _, m := range n.Entries() {
		if m.Name == name {
			return m.Value
		}
	}
	return node{}
}

// Text returns the text of a scalar.
func (n node) Text() string {
	if n.Node == nil {
		return ""
	}
	return n.Node.Value
}

// document is an OpenAPI description.
type document struct{ node }

// operation is one method of one path.
type operation struct {
	Method, Path, ID string
	Parameters       []node
	node
}

// Operations returns the operations whose first tag is tag.
func (d document) Operations(tag string) []operation {
	var operations []operation
	for _, path := range d.At("paths").Entries() {
		shared := path.Value.At("parameters").Items()
		for _, method := range path.Value.Entries() {
			tags := method.Value.At("tags").Items()
			if len(tags) == 0 || tags[0].Text() != tag {
				continue
			}
			op := operation{
				Method: strings.ToUpper(method.Name),
				Path:   path.Name,
				ID:     method.Value.At("operationId").Text(),
				node:   method.Value,
			}
			for _, p := range shared {
				op.Parameters = append(op.Parameters, d.Resolve(p))
			}
			for _, p := range method.Value.At("parameters").Items() {
				op.Parameters = append(op.Parameters, d.Resolve(p))
			}
			operations = append(operations, op)
		}
	}
	return operations
}

// Resolve follows a $ref. It returns n if there is none.
func (d document) Resolve(n node) node {
	path, ok := strings.CutPrefix(n.At("$ref").Text(), "#/")
	if !ok {
		return n
	}
	found := d.node
	for name := range strings.SplitSeq(path, "/") {
		found = found.At(name)
	}
	return found
}

// Type describes the type of a schema in a few words.
func (d document) Type(schema node) string {
	if ref := schema.At("$ref").Text(); ref != "" {
		return ref[strings.LastIndex(ref, "/")+1:]
	}
	var values []string
	for _, v := range schema.At("enum").Items() {
		values = append(values, v.Text())
	}
	for _, alternative := range schema.At("oneOf").Items() {
		values = append(values, d.Type(alternative))
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
