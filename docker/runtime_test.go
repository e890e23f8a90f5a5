package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/gif"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/s3"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// TestRuntime checks that the root file system that tools/rootfs writes contains all that the program
// needs to decode each format, to serve and to read buckets, run as the unprivileged user of the image.
func TestRuntime(t *testing.T) {
	if testing.Short() {
		t.Skip("copies 250 MB")
	}
	const program = "../bin/proposer"
	if os.Geteuid() != 0 {
		e2e.Missing(t, "chroot requires root")
	}
	e2e.Program(t, "dpkg")
	version, err := exec.CommandContext(t.Context(), program, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(version), "opencv") {
		e2e.Missing(t, "bin/proposer with OpenCV is not built: run make build")
	}
	root := writeRoot(t, program)
	checkContents(t, program, root)

	objects := imageFiles(t)
	names := slices.Sorted(maps.Keys(objects))
	location, authority := startBucket(t, s3.New(objects))
	writeFiles(t, root, objects)
	writeFiles(t, root, map[string][]byte{"authorities/test.pem": authority})
	chroot := &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	runInRoot := func(env []string, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "/usr/local/bin/proposer", args...)
		cmd.Env = append(env, "PATH=/usr/local/bin")
		cmd.Dir = "/"
		cmd.SysProcAttr = chroot
		return cmd.CombinedOutput()
	}
	check := func(out []byte) {
		t.Helper()
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
	}

	t.Run("propose", func(t *testing.T) {
		out, err := runInRoot(nil, append([]string{"propose", "--max=3"}, names...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		check(out)
	})
	t.Run("serve", func(t *testing.T) {
		_, _, admin := startService(t, chroot, "/usr/local/bin/proposer")
		if out, err := runInRoot(nil, "health", "--ready", "--admin-addr="+admin); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("bucket", func(t *testing.T) {
		out, err := runInRoot(bucketEnv, "batch", location, "--out=/tmp/unknown", "--max=3")
		if err == nil || !strings.Contains(string(out), "certificate signed by unknown authority") {
			t.Errorf("without the authority got error %v, want one about it:\n%s", err, out)
		}
		for _, env := range []string{"SSL_CERT_DIR=/authorities", "SSL_CERT_FILE=/authorities/test.pem"} {
			dir := "/tmp/" + env[:len("SSL_CERT_DIR")]
			if out, err := runInRoot(append(bucketEnv, env), "batch", location, "--out="+dir, "--max=3"); err != nil {
				t.Errorf("%s: %v\n%s", env, err, out)
				continue
			}
			out, err := os.ReadFile(filepath.Join(root, dir, "proposals-000000.jsonl"))
			if err != nil {
				t.Error(err)
			}
			check(out)
		}
	})
	// A format that needs temporary files.
	t.Run("temporary files", func(t *testing.T) {
		if out, err := runInRoot(bucketEnv, "batch", "/", "--include=*.png", "--format=mat", "--out=/tmp/mat", "--max=3"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// imageFiles returns an image in each format.
func imageFiles(t *testing.T) map[string][]byte {
	t.Helper()
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
	return map[string][]byte{
		"a.png": s.PNG(), "a.jpg": s.JPEG(90), "a.webp": webp,
		"a.gif":  encode(func(b *bytes.Buffer, img image.Image) error { return gif.Encode(b, img, nil) }),
		"a.bmp":  encode(func(b *bytes.Buffer, img image.Image) error { return bmp.Encode(b, img) }),
		"a.tiff": encode(func(b *bytes.Buffer, img image.Image) error { return tiff.Encode(b, img, nil) }),
	}
}

// checkContents compares what scanners read in the root file system with what dpkg and go report about its files.
func checkContents(t *testing.T, program, root string) {
	t.Helper()
	run := func(name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = root
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && name == "dpkg-query" {
			err = nil // some files are of no package
		}
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	// Everything that is not written here must be of a package.
	search := []string{"--search"}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root)
		info, err2 := d.Info()
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		if mode := info.Mode(); mode.Perm()&0o022 != 0 && name != "/tmp" && mode&fs.ModeSymlink == 0 || mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s has mode %v", name, mode)
		} else if mode.IsRegular() && mode&0o111 != 0 && name != "/usr/local/bin/proposer" && !strings.Contains(name, ".so") {
			t.Errorf("%s is executable", name)
		}
		if info.ModTime().Unix() != 0 {
			t.Errorf("%s is of %v, want 1970 without SOURCE_DATE_EPOCH", name, info.ModTime())
		}
		written := strings.HasPrefix(name, "/usr/share/doc/") || strings.HasPrefix(name, "/var/lib/dpkg/") || slices.Contains([]string{
			"/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt", "/usr/local/bin/proposer",
		}, name)
		if info.Mode().IsRegular() && !written {
			search = append(search, name, strings.TrimPrefix(name, "/usr"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{"ca-certificates": true}
	files := map[string]bool{}
	for line := range strings.Lines(run("dpkg-query", search...)) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), ": ")
		names[name] = true
		files[strings.TrimPrefix(path, "/usr")] = true
	}
	for _, path := range search[1:] {
		if !files[strings.TrimPrefix(path, "/usr")] {
			t.Errorf("%s is of no Debian package", path)
		}
	}
	var want []string
	query := append([]string{"-W", "-f", "${Package} ${Version} ${Architecture}\n"}, slices.Sorted(maps.Keys(names))...)
	for line := range strings.Lines(run("dpkg-query", query...)) {
		want = append(want, "deb "+strings.TrimSpace(line))
		name, _, _ := strings.Cut(line, " ")
		for _, path := range []string{"var/lib/dpkg/status.d/" + name, "usr/share/doc/" + name + "/copyright"} {
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Error(err)
			}
		}
		run("md5sum", "--check", "--quiet", "var/lib/dpkg/status.d/"+name+".md5sums")
	}
	if len(want) < 80 {
		t.Errorf("got %d packages, want at least 80", len(want))
	}
	checkSBOM(t, program, root, want)
}

// checkSBOM checks that the SBOM in a root file system has Debian packages, as "deb NAME VERSION ARCHITECTURE", and the
// modules of the program, and no others.
func checkSBOM(t *testing.T, program, root string, want []string) {
	t.Helper()
	debian := len(want)
	modules := e2e.Output(t, exec.CommandContext(t.Context(), "go", "version", "-m", program))
	for line := range strings.Lines(string(modules)) {
		if fields := strings.Fields(line); fields[0] == "dep" {
			want = append(want, "golang "+fields[1]+" "+fields[2])
		} else if strings.HasPrefix(fields[1], "go1") {
			want = append(want, "golang stdlib "+strings.TrimPrefix(fields[1], "go"))
		}
	}

	if len(want)-debian < 100 {
		t.Errorf("got %d Go modules, want at least 100", len(want)-debian)
	}

	data, err := os.ReadFile(filepath.Join(root, "usr/share/doc/proposer/bom.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sbom struct {
		Components []struct{ Type, Name, Version, Purl string }
	}
	if err := json.Unmarshal(data, &sbom); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range sbom.Components {
		purl, err := url.Parse(c.Purl)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(purl.Opaque, "/")
		if c.Type == "library" {
			got = append(got, strings.TrimSpace(kind+" "+c.Name+" "+c.Version+" "+purl.Query().Get("arch")))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the SBOM has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// writeRoot writes the root file system for a program. It returns the folder.
func writeRoot(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../tools", "-o", rootfs, "./rootfs")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	root := filepath.Join(dir, "root")
	write := exec.CommandContext(t.Context(), rootfs, "-program", program, "-source", "..", "-root", root, "-version", "v0.0.1")
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	// The labels of the images are for the release that they are built on.
	base := regexp.MustCompile(`(?m)^ARG BUILD_IMAGE=.*-(\w+)$`).FindStringSubmatch(read(t, "../Dockerfile"))
	label := regexp.MustCompile(`(?m)^ARG OPENCV_LICENSES="(.*)"$`).FindStringSubmatch(read(t, "../Dockerfile"))
	if base == nil || label == nil {
		t.Fatal("Dockerfile: want the build arguments BUILD_IMAGE and OPENCV_LICENSES")
	}
	if strings.Contains(string(release), "VERSION_CODENAME="+base[1]+"\n") {
		write.Args = append(write.Args, "-licenses", label[1])
	}
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return root
}

// writeFiles writes files below a folder, which everyone may read.
func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
