package boundedio

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	name, pipe := filepath.Join(dir, "a.txt"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(name, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	data, info, err := ReadFile(name, 5)
	if err != nil || string(data) != "12345" || info.Size() != 5 || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, %v", data, info, err)
	}
	for _, c := range []struct {
		name  string
		limit int64
		want  string
	}{
		{name, 4, "want at most 4 bytes"},
		{dir, 9, "want a regular file"},
		{pipe, 9, "want a regular file"},
		{name + "x", 9, "no such file"},
	} {
		data, _, err := ReadFile(c.name, c.limit)
		if _, ok := errors.AsType[*fs.PathError](err); !ok || data != nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: %q, %v; want %q", c.name, data, err, c.want)
		}
	}
}
