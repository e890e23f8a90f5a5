package docker

import (
	"bytes"
	"encoding/json"
	"image"
	"image/gif"
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

// TestRuntime checks that the root file system that tools/rootfs writes contains all that the program
// needs to decode each format and to serve, run as the unprivileged user of the image.
func TestRuntime(t *testing.T) {
	if testing.Short() {
		t.Skip("copies 250 MB")
	}
	const program = "../bin/proposer"
	if os.Geteuid() != 0 {
		e2e.Missing(t, "chroot requires root")
	}
	e2e.Program(t, "dpkg")
	e2e.Program(t, "ldd")
	version, err := exec.CommandContext(t.Context(), program, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(version), "opencv") {
		e2e.Missing(t, "bin/proposer with OpenCV is not built: run make build")
	}
	root := filepath.Join(t.TempDir(), "root")
	rootfs := filepath.Join(t.TempDir(), "rootfs")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../tools", "-o", rootfs, "./rootfs").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), rootfs, "-program", program, "-source", "..", "-root", root)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	s := scene.Render(1, 96, 64, 3)
	encode := func(f func(*bytes.Buffer, image.Image) error) []byte {
		var b bytes.Buffer
		if err := f(&b, s.Image.ToImage()); err != nil {
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
		"a.gif":  encode(func(b *bytes.Buffer, img image.Image) error { return gif.Encode(b, img, nil) }),
		"a.bmp":  encode(func(b *bytes.Buffer, img image.Image) error { return bmp.Encode(b, img) }),
		"a.tiff": encode(func(b *bytes.Buffer, img image.Image) error { return tiff.Encode(b, img, nil) }),
	} {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, "/"+name)
	}
	chroot := &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	runInRoot := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "/usr/local/bin/proposer", args...)
		cmd.Env = []string{"PATH=/usr/local/bin"}
		cmd.Dir = "/"
		cmd.SysProcAttr = chroot
		return cmd.CombinedOutput()
	}
	out, err := runInRoot(append([]string{"propose", "--max=3"}, names...)...)
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
			t.Errorf("got line %s (error %v), want JSON with boxes", line, err)
		}
		lines++
	}
	if lines != len(names) {
		t.Errorf("got lines for %d images, want %d:\n%s", lines, len(names), out)
	}
	_, _, admin := startService(t, chroot, "/usr/local/bin/proposer")
	if out, err := runInRoot("health", "--ready", "--admin-addr="+admin); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(root, "bin/sh")); err == nil {
		t.Error("the root file system has a shell, want none")
	}
	licenses, err := filepath.Glob(filepath.Join(root, "usr/share/doc/*/copyright"))
	if err != nil || len(licenses) < 10 {
		t.Errorf("got %d license files (error %v), want at least 10", len(licenses), err)
	}
}
