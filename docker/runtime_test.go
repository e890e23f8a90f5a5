package docker

import (
	"bytes"
	"encoding/json"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// The image's root file system, as runtime.sh lays it out, has all that the program needs to
// decode each format and to serve, as the image's user, who may write nowhere.
func TestRuntime(t *testing.T) {
	if testing.Short() {
		t.Skip("250 MB are copied")
	}
	const program = "../bin/proposer"
	if os.Geteuid() != 0 {
		e2e.Missing(t, "only root may change the root file system")
	}
	e2e.Program(t, "dpkg")
	e2e.Program(t, "ldd")
	version, err := exec.CommandContext(t.Context(), program, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(version), "opencv") {
		e2e.Missing(t, "there is no bin/proposer with OpenCV: make build makes it")
	}
	root := filepath.Join(t.TempDir(), "root")
	if out, err := exec.CommandContext(t.Context(), "sh", "runtime.sh", program, root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}

	s := scene.Render(1, 96, 64, 3)
	encoded := func(encode func(*bytes.Buffer, image.Image) error) []byte {
		var b bytes.Buffer
		if err := encode(&b, s.Image.ToImage()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	webp, err := os.ReadFile("../internal/imageio/testdata/lossy.webp")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, data := range map[string][]byte{
		"a.png": s.PNG(), "a.jpg": s.JPEG(90), "a.webp": webp,
		"a.bmp":  encoded(func(b *bytes.Buffer, im image.Image) error { return bmp.Encode(b, im) }),
		"a.tiff": encoded(func(b *bytes.Buffer, im image.Image) error { return tiff.Encode(b, im, nil) }),
	} {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, "/"+name)
	}
	jail := &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	inside := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "/usr/local/bin/proposer", args...)
		cmd.Env, cmd.Dir, cmd.SysProcAttr = []string{"PATH=/usr/local/bin"}, "/", jail
		return cmd.CombinedOutput()
	}
	out, err := inside(append([]string{"propose", "--max=3"}, names...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := 0
	for line := range strings.Lines(string(out)) {
		var row struct {
			File  string
			Boxes [][4]int
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || len(row.Boxes) == 0 {
			t.Errorf("%s: %v", line, err)
		}
		lines++
	}
	if lines != len(names) {
		t.Errorf("%d of %d pictures:\n%s", lines, len(names), out)
	}
	_, _, admin := serve(t, jail, "/usr/local/bin/proposer")
	if out, err := inside("health", "--ready", "--admin-addr="+admin); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(root, "bin/sh")); err == nil {
		t.Error("there is a shell")
	}
	licenses, err := filepath.Glob(filepath.Join(root, "usr/share/doc/*/copyright"))
	if err != nil || len(licenses) < 10 {
		t.Errorf("%d licenses: %v", len(licenses), err)
	}
}
