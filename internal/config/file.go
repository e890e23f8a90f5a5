package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parse reads the text of the file of that name. What is wrong are errors, a line's each; the
// values themselves are not looked at.
func parse(file string, data []byte, table []Setting) (all []said, errs []error) {
	wrong := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s:%d: %s", file, line, fmt.Sprintf(format, args...)))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, more yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, []error{syntax(file, err)}
	}
	if err := decoder.Decode(&more); err == nil {
		wrong(more.Line, "want one document")
	} else if !errors.Is(err, io.EOF) {
		errs = append(errs, syntax(file, err))
	}
	root := document.Content[0]
	switch {
	case null(root):
		return nil, errs
	case root.Kind != yaml.MappingNode:
		wrong(root.Line, "want lines NAME: VALUE")
		return nil, errs
	}
	var names []string
	for _, s := range table {
		names = append(names, s.Name)
	}
	seen := map[string]int{}
	for pairs := range slices.Chunk(root.Content, 2) {
		key, value := pairs[0], pairs[1]
		name := key.Value
		at := slices.Index(names, name)
		switch {
		case key.Kind != yaml.ScalarNode:
			wrong(key.Line, "want NAME: VALUE")
			continue
		case at < 0:
			wrong(key.Line, "%s", unknown(name, names))
			continue
		case seen[name] > 0:
			wrong(key.Line, "%s is in line %d, too: want it once", name, seen[name])
			continue
		}
		seen[name] = key.Line
		text, ok := textOf(value, table[at].List)
		switch {
		case ok:
			all = append(all, said{name, text, Origin{file: file, line: key.Line}})
		case table[at].List:
			wrong(key.Line, "%s: want a value, or a list of values", name)
		default:
			wrong(key.Line, "%s: want a value", name)
		}
	}
	return all, errs
}

// textOf is what stands there, whatever YAML takes it for.
func textOf(n *yaml.Node, list bool) (text string, ok bool) {
	switch {
	case null(n):
		return "", true
	case n.Kind == yaml.ScalarNode:
		return n.Value, true
	case n.Kind != yaml.SequenceNode || !list:
		return "", false
	}
	var texts []string
	for _, item := range n.Content {
		text, ok := textOf(item, false)
		if !ok {
			return "", false
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ","), true
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// syntax is an error of package yaml, which begins with the line where there is one.
func syntax(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		text = rest
		file += ":"
	} else {
		file += ": "
	}
	return errors.New(file + text + ": want lines NAME: VALUE")
}
