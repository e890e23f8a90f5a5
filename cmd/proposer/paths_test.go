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
