package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/scene"
)

// TestProposeSameNames checks that images of different folders are told apart, and that eval finds the
// images of a data set by the paths that propose was given.
func TestProposeSameNames(t *testing.T) {
	dir := t.TempDir()
	for i, folder := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, "images", folder), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "images", folder, "1.png"), scene.Render(uint64(i+1), 96, 64, 3).PNG())
	}
	write(t, filepath.Join(dir, "instances.json"), []byte(`{"images": [{"id": 1, "file_name": "a/1.png"}, {"id": 2, "file_name": "b/1.png"}],
		"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 15, 30, 20]}, {"id": 2, "image_id": 2, "category_id": 1, "bbox": [9, 6, 20, 20]}],
		"categories": [{"id": 1, "name": "red"}]}`))

	eval := func(t *testing.T, args ...string) string {
		t.Helper()
		out, msg, code := call(t, nil, append([]string{"eval", "--data", dir, "--format=csv", "--budgets=10"}, args...)...)
		if code != exitOK || msg != "" {
			t.Fatalf("exit code %d, %s", code, msg)
		}
		return duration.ReplaceAllString(out, "$1 $2")
	}
	t.Chdir(dir)
	want := eval(t, "--proposals", writeProposals(t, "images/a/1.png", "images/b/1.png"))
	for _, prefix := range []string{"", "./", "../images/", "../../" + filepath.Base(dir) + "/images/", dir + "/images/"} {
		t.Run(prefix, func(t *testing.T) {
			t.Chdir(filepath.Join(dir, "images"))
			names := []string{prefix + "a/1.png", prefix + "b/1.png"}
			out, _, code := call(t, nil, append([]string{"propose", "--mode=single", "--max=1", "--format=csv"}, names...)...)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if code != exitOK || len(lines) != 3 || !strings.HasPrefix(lines[1], names[0]+",") || !strings.HasPrefix(lines[2], names[1]+",") {
				t.Fatalf("exit code %d, got\n%s\nwant a line of each of %q", code, out, names)
			}
			if got := eval(t, "--proposals", writeProposals(t, names...)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	// Neither name is the end of the other.
	_, msg, code := call(t, strings.NewReader(`{"file":"c/1.png","boxes":[]}`), "eval", "--data", dir, "--proposals", "p=-")
	if code != exitFailed || !strings.Contains(msg, `none of its 1 images is in the data set: the first is "c/1.png"`) {
		t.Errorf("exit code %d, %s", code, msg)
	}
}

// writeProposals writes the output of propose to a file p.jsonl and returns its name.
func writeProposals(t *testing.T, names ...string) string {
	t.Helper()
	out, msg, code := call(t, nil, append([]string{"propose", "--mode=single"}, names...)...)
	if code != exitOK {
		t.Fatal(msg)
	}
	file := filepath.Join(t.TempDir(), "p.jsonl")
	write(t, file, []byte(out))
	return file
}

// TestNamesThatAreNotUTF8 checks that arguments reach the file system byte for byte, and that names that
// are equal in the output are reported.
func TestNamesThatAreNotUTF8(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d\xff")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("the file system has names in UTF-8 only:", err)
	}
	for i, name := range []string{"a\xfe.png", "a\xff.png", "caf\xe9.png"} {
		write(t, filepath.Join(dir, name), scene.Render(uint64(i+1), 80+8*i, 64, 3).PNG())
	}
	t.Chdir(dir)

	out, msg, code := call(t, nil, "propose", "--mode=single", "--overlay=o\xff.png", "caf\xe9.png")
	if got := rows(t, out); code != exitOK || msg != "" || len(got) != 1 || got[0].File != "caf\ufffd.png" || got[0].Width != 96 {
		t.Errorf("exit code %d, %q\n%s", code, msg, out)
	}
	if _, err := os.Stat("o\xff.png"); err != nil {
		t.Error(err)
	}
	if err := os.Remove("o\xff.png"); err != nil {
		t.Error(err)
	}
	out, msg, code = call(t, nil, "propose", "--mode=single", "a\xfe.png", "a\xff.png")
	if got := rows(t, out); code != exitOK || len(got) != 2 || got[0].Width != 80 || got[1].Width != 88 ||
		msg != `proposer: warning: "a\xfe.png" and "a\xff.png" are both named "a`+"\ufffd"+`.png" in the output`+"\n" {
		t.Errorf("exit code %d, %q\n%s", code, msg, out)
	}

	dest := filepath.Join(t.TempDir(), "out\xff")
	_, msg, code = call(t, nil, "batch", dir, "--mode=single", "--out", dest)
	if code != exitFailed || !strings.Contains(msg, `"a\xfe.png" and "a\xff.png" would both be named`) {
		t.Errorf("batch: exit code %d, %q", code, msg)
	}
	for range 2 { // the second run finds that all is done
		if _, msg, code = call(t, nil, "batch", dir, "--exclude=a*", "--mode=single", "--out", dest); code != exitOK {
			t.Errorf("batch: exit code %d, %q", code, msg)
		}
	}
	if _, msg, code = call(t, nil, "merge", dest); code != exitOK {
		t.Errorf("merge: exit code %d, %q", code, msg)
	}
	text, err := os.ReadFile(filepath.Join(dest, "proposals-000000.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if got := rows(t, string(text)); len(got) != 1 || got[0].Width != 96 {
		t.Errorf("got %+v", got)
	}
	other := strings.TrimSuffix(dir, "\xff") + "\xfe"
	if err := os.Rename(dir, other); err != nil {
		t.Fatal(err)
	}
	if _, msg, code = call(t, nil, "batch", other, "--exclude=a*", "--mode=single", "--out", dest); code == exitOK || !strings.Contains(msg, "different settings") {
		t.Errorf("another folder: exit code %d, %q", code, msg)
	}
}
