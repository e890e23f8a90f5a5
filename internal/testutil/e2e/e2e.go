// Package e2e lets tests use programs, Python modules and data that not every machine has.
//
// A test whose prerequisite is missing is skipped, with a message that names it. With
// PROPOSER_E2E=1, as make e2e sets it, the test fails instead.
package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Enabled reports whether PROPOSER_E2E=1 is set.
func Enabled() bool { return os.Getenv("PROPOSER_E2E") == "1" }

// Only skips the test unless PROPOSER_E2E=1 is set; reason says why it does not run by default.
func Only(t testing.TB, reason string) {
	t.Helper()
	if !Enabled() {
		t.Skip(reason, " (PROPOSER_E2E=1 runs it)")
	}
}

// Missing ends a test whose prerequisite is missing: it skips the test, or fails it if
// PROPOSER_E2E=1 is set.
func Missing(t testing.TB, prerequisite string) {
	t.Helper()
	if Enabled() {
		t.Fatalf("PROPOSER_E2E=1: %s", prerequisite)
	}
	t.Skip(prerequisite)
}

// Program returns the path of the first of the named programs that is installed.
func Program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, strings.Join(names, " or ")+" is not installed")
	return ""
}

// DataDir is the environment variable that names the folder of test data. Without it the folder is
// ../shared/data beside the module's root.
const DataDir = "PROPOSER_TESTDATA"

// Data returns the path of a file or folder below the folder of test data.
func Data(t testing.TB, elem ...string) string {
	t.Helper()
	dir := os.Getenv(DataDir)
	if dir == "" {
		dir = filepath.Join(moduleRoot(t), "..", "shared", "data")
	}
	path := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		Missing(t, fmt.Sprintf("test data is missing: %v (%s names its folder)", err, DataDir))
	}
	return path
}

// moduleRoot returns the folder above the test's that contains go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("e2e: no go.mod above the test's folder: want a test that runs inside the module")
		}
		dir = up
	}
}

// python is Debian's interpreter, for which make e2e installs the modules: a python3 that is
// earlier in PATH may lack them.
const python = "/usr/bin/python3"

// Python returns an interpreter that passes check, a statement such as "import numpy", and wants
// describes what check asks for.
func Python(t testing.TB, check, wants string) string {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), python, "-c", check).CombinedOutput(); err != nil {
		Missing(t, fmt.Sprintf("%s with %s is not installed: %v\n%s", python, wants, err, out))
	}
	return python
}

// Output runs a command and returns its standard output. A command that fails ends the test, with
// its standard error in the message.
func Output(t testing.TB, cmd *exec.Cmd) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Path, err, &stderr)
	}
	return out
}
