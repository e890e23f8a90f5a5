package examples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/proposer/proposer/internal/testutil/scene"
)

// The Go program in README.md compiles in a module of its own, without cgo, and prints the boxes
// of a PNG.
func TestReadmeProgram(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README.md contains no Go program")
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go .*$`).Find(mod)
	sum, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	const module = "github.com/proposer/proposer"
	for name, content := range map[string]string{
		"main.go": string(block[1]),
		"go.mod":  "module example\n\n" + string(version) + "\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n",
		"go.sum":  string(sum),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "-mod=mod", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdin = bytes.NewReader(scene.Render(1, 160, 120, 4).PNG())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) < 50 {
		t.Fatalf("printed %d lines, want at least 50 boxes:\n%s", len(lines), out)
	}
	line := regexp.MustCompile(`^\[\d+ \d+ \d+ \d+\] [\d.e-]+$`)
	for _, l := range lines {
		if !line.Match(l) {
			t.Fatalf("printed %q, want a box and a score", l)
		}
	}
}
