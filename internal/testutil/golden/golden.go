// Package golden compares what a test makes with a file that is kept.
package golden

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Equal fails the test if got is not what the file holds, which -update writes anew.
func Equal(t testing.TB, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not what %s holds; if that is meant, run the test with -update\ngot\n%s\nwant\n%s", file, got, want)
	}
}
