package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/proposer/proposer/internal/boundedio"
)

// maxFileBytes is the maximum size of a settings file.
const maxFileBytes = 64 << 10

// File is the type of the flag that names the settings file; "" is none. The file is YAML of the
// simplest kind: lines of the form NAME: VALUE, with the names of flags. The value of a setting
// whose Go type is a slice may be a sequence.
//
// Kong's own ConfigFlag cannot report file and line of a value, and ranks the file above the
// environment.
type File string

// BeforeResolve reads the file. Kong calls it.
func (File) BeforeResolve(ctx *kong.Context, trace *kong.Path, s *Settings) error {
	if s.file != nil || !slices.Contains(ctx.Flags(), trace.Flag) {
		return nil // read already, or the variable is set but the flag is of another command
	}
	name := string(ctx.FlagValue(trace.Flag).(File))
	if name == "" {
		return nil
	}
	data, _, err := boundedio.ReadFile(name, maxFileBytes)
	if err != nil {
		s.file = &file{errs: []error{s.Wrong(trace.Flag.Name, "a readable settings file: "+err.Error())}}
		return nil
	}
	settings := s.fileSettings()
	entries, errs := parseFile(name, data, settings)
	f := &file{entries: map[*kong.Flag]entry{}, errs: errs}
	for _, e := range entries {
		i := slices.IndexFunc(settings, func(flag *kong.Flag) bool { return flag.Name == e.name })
		flag := settings[i]
		if want := check(flag, e.text); want != "" {
			f.errs = append(f.errs, &Error{e.origin, e.name, e.text, want})
			continue
		}
		f.entries[flag] = e
	}
	s.file = f
	ctx.AddResolver(f)
	return nil
}

// check decodes a text and discards the result. It returns what the flag wants if it is invalid.
func check(flag *kong.Flag, text string) (want string) {
	r := flag.Mapper.(*recorder)
	return r.decode(&kong.DecodeContext{Value: flag.Value, Scan: scan(text)}, reflect.New(flag.Target.Type()).Elem())
}

// file is the contents of a settings file. It implements kong.Resolver.
type file struct {
	entries map[*kong.Flag]entry // valid ones
	errs    []error
}

// entry is a setting in a file.
type entry struct {
	name, text string
	origin     Origin
}

// Validate implements kong.Resolver.
func (f *file) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. Kong calls it for flags that are not on the command line.
func (f *file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	e, ok := f.entries[flag]
	if _, set := setEnv(flag); !ok || set {
		return nil, nil
	}
	return e.text, nil
}

// parseFile reads the entries of a file without looking at their values.
func parseFile(name string, data []byte, settings []*kong.Flag) (entries []entry, errs []error) {
	fail := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s:%d: %s", name, line, fmt.Sprintf(format, args...)))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, more yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, []error{syntaxError(name, err)}
	}
	if err := decoder.Decode(&more); err == nil {
		fail(more.Line, "want one document")
	} else if !errors.Is(err, io.EOF) {
		errs = append(errs, syntaxError(name, err))
	}
	root := document.Content[0]
	switch {
	case isNull(root):
		return nil, errs
	case root.Kind != yaml.MappingNode:
		fail(root.Line, "want lines NAME: VALUE")
		return nil, errs
	}

	var names []string
	for _, flag := range settings {
		names = append(names, flag.Name)
	}
	seen := map[string]int{}
	for pair := range slices.Chunk(root.Content, 2) {
		key, value := pair[0], pair[1]
		if key.Kind != yaml.ScalarNode {
			fail(key.Line, "want NAME: VALUE")
			continue
		}
		if message := unknown(key.Value, names); message != "" {
			fail(key.Line, "%s", message)
			continue
		}
		if first, ok := seen[key.Value]; ok {
			fail(key.Line, "%s is already set in line %d: want it once", key.Value, first)
			continue
		}
		seen[key.Value] = key.Line

		list := settings[slices.Index(names, key.Value)].Target.Kind() == reflect.Slice
		text, ok := textOf(value, list)
		switch {
		case ok:
			entries = append(entries, entry{key.Value, text, Origin{file: name, line: key.Line}})
		case list:
			fail(key.Line, "%s: want a value, or a list of values", key.Value)
		default:
			fail(key.Line, "%s: want a value", key.Value)
		}
	}
	return entries, errs
}

// textOf returns the text of a scalar, whatever YAML type it looks like, or of a list with
// commas between the items.
func textOf(n *yaml.Node, list bool) (text string, ok bool) {
	switch {
	case isNull(n):
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

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// syntaxError puts the name of the file before an error of package yaml, which may begin with a
// line number.
func syntaxError(name string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		text = name + ":" + rest
	} else {
		text = name + ": " + text
	}
	return errors.New(text + ": want lines NAME: VALUE")
}
