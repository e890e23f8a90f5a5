package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestReadme compares the table of values in README.md with the comments of values.yaml.
func TestReadme(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, dir+"/values.yaml")), &root); err != nil {
		t.Fatal(err)
	}
	table := "| value | default | |\n|---|---|---|\n" + rows(t, "", root.Content[0])
	name := dir + "/README.md"
	readme := read(t, name)
	head, got, ok := strings.Cut(readme, "## Values\n\n")
	if !ok {
		t.Fatalf("%s has no section Values", name)
	}
	if *update {
		if err := os.WriteFile(name, []byte(head+"## Values\n\n"+table), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table, got); diff != "" {
		t.Errorf("-values.yaml +%s:\n%s", name, diff)
	}
}

// rows returns the rows of a mapping. A value without a comment must be a mapping of values that have one.
func rows(t *testing.T, prefix string, mapping *yaml.Node) string {
	text := ""
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := prefix + key.Value
		comment, ok := strings.CutPrefix(key.HeadComment, "# -- ")
		switch {
		case ok:
			var v any
			if err := value.Decode(&v); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			text += fmt.Sprintf("| `%s` | `%s` | %s |\n", name, data, strings.ReplaceAll(comment, "\n# ", " "))
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			text += rows(t, name+".", value)
		default:
			t.Errorf("values.yaml: %s has no comment", name)
		}
	}
	return text
}
