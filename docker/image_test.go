package docker

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/proposer/proposer/internal/testutil/certs"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/s3"
)

// engine runs buildah and podman with a storage, settings and locks of their own, below bin/image.
type engine struct {
	ctx   context.Context //nolint:containedctx // of the test, until it is interrupted
	dir   string
	env   []string
	debCA []byte // the authorities of Debian's ca-certificates
}

// newEngine returns an engine without images. The test is skipped if containers cannot run on this machine.
func newEngine(t *testing.T) *engine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("debootstrap and buildah's isolation chroot require root")
	}
	for _, name := range []string{"apt-get", "buildah", "debootstrap", "git", "make", "podman", "qemu-aarch64", "runc"} {
		e2e.Program(t, name)
	}
	dir, err := filepath.Abs("../bin/image")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatalf("%s: %v: want no other run of this test", lock.Name(), err)
	}

	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Minute)) // the rest is for the removal
		t.Cleanup(cancel)
	}
	e := &engine{ctx: ctx, dir: dir, env: append(os.Environ(),
		"CONTAINERS_CONF="+filepath.Join(dir, "containers.conf"),
		"CONTAINERS_STORAGE_CONF="+filepath.Join(dir, "storage.conf"),
		"DISABLE_HC_SYSTEMD=true", // podman need not start timers for health checks
		"MAKEFLAGS=", "MAKELEVEL=", "VERSION=",
	)}
	e.remove(t) // what a run has left that was killed
	t.Cleanup(func() { e.remove(t) })

	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// More than its own limits a process may not have everywhere, and podman's defaults are larger.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string][]byte{
		"containers.conf": fmt.Appendf(nil, `[containers]
default_ulimits = ["nofile=%d:%[1]d", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
runtime = "runc"
tmp_dir = %[2]q
`, min(files.Max, 65536), filepath.Join(dir, "tmp")),
		"storage.conf": fmt.Appendf(nil, "[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n",
			filepath.Join(dir, "storage"), filepath.Join(dir, "run")),
	})
	return e
}

// command returns a command that ends with the test, with all processes that it starts.
func (e *engine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(e.ctx, name, args...)
	cmd.Env = e.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run runs a command and returns its standard output without the last line end. A command that fails ends the test.
func (e *engine) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	return strings.TrimSuffix(string(e2e.Output(t, e.command(name, args...))), "\n")
}

// remove removes all containers, mounts and images of the engine.
func (e *engine) remove(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(e.dir, "storage.conf")); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		defer cancel()
		for _, args := range [][]string{{"podman", "rm", "--all", "--force", "--time=0"}, {"buildah", "rm", "--all"}} {
			cmd := exec.CommandContext(ctx, args[0], args[1:]...)
			cmd.Env = e.env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%q: %v\n%s", args, err, out)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Error(err)
	}
	lines := strings.Split(string(mounts), "\n")
	for _, line := range slices.Backward(lines) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], e.dir+"/") {
			if err := syscall.Unmount(fields[4], syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", fields[4], err)
			}
		}
	}
	if err := os.RemoveAll(e.dir); err != nil {
		t.Error(err)
	}
}

// probe skips the test if podman cannot run a program with a limit of memory and a published port here.
func (e *engine) probe(t *testing.T, program string) {
	t.Helper()
	root := filepath.Join(e.dir, "probe")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(program, filepath.Join(root, "proposer")); err != nil {
		t.Fatal(err)
	}
	cmd := e.command("podman", "run", "--rm", "--memory=256m", "--publish=127.0.0.1::8080", "--rootfs", root, "/proposer", "version")
	if out, err := cmd.CombinedOutput(); err != nil {
		if e.ctx.Err() != nil {
			t.Fatal(e.ctx.Err())
		}
		t.Skipf("podman cannot run containers on this machine: %v\n%s", err, out)
	}
}

// buildImage is the image that the others are built in: Debian by debootstrap.
const buildImage = "localhost/build:1"

// createBuildImage creates buildImage from the sources of apt on this machine.
func (e *engine) createBuildImage(t *testing.T) {
	t.Helper()
	release := regexp.MustCompile(`(?m)^ARG BUILD_IMAGE=golang:.*-(\w+)$`).FindStringSubmatch(read(t, "../Dockerfile"))
	if release == nil {
		t.Fatal("Dockerfile: want the build argument BUILD_IMAGE with a release of Debian")
	}
	codename := release[1]
	var sources, mirror string
	for line := range strings.Lines(e.run(t, "apt-get", "indextargets", "Created-By: Packages", "Origin: Debian",
		"--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)") + "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 || !strings.HasPrefix(fields[1], codename) {
			continue
		}
		if fields[1] == codename && fields[2] == "main" {
			mirror = fields[0]
		}
		sources += "deb " + line
	}
	if mirror == "" {
		e2e.Missing(t, "apt has no source of Debian "+codename)
	}
	container := e.run(t, "buildah", "from", "scratch")
	base := e.run(t, "buildah", "mount", container)
	// What the image golang has of what a build needs, except g++, which make deps installs, and Go, which is mounted.
	if out, err := e.command("debootstrap", "--variant=minbase", "--include=ca-certificates,git,make", codename, base, mirror).CombinedOutput(); err != nil {
		t.Fatalf("debootstrap: %v\n%s", err, tail(string(out), 4000))
	}
	var err error
	if e.debCA, err = os.ReadFile(filepath.Join(base, "etc/ssl/certs/ca-certificates.crt")); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, base, map[string][]byte{
		"etc/apt/sources.list":          []byte(sources),
		"etc/dpkg/dpkg.cfg.d/unsafe-io": []byte("force-unsafe-io\n"),
	})
	e.run(t, "chroot", base, "apt-get", "clean")
	e.run(t, "buildah", "config", "--env", "GOPATH=/go", "--env", "GOTOOLCHAIN=local",
		"--env", "PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
	e.run(t, "buildah", "commit", "--quiet", "--rm", container, buildImage)
}

// dockerFlags are flags of all builds. The module cache of this machine is what go mod download would write, and objects in
// its build cache have the contents of all that they are made from as key. Without layers a second build repeats all.
func (e *engine) dockerFlags(t *testing.T) []string {
	t.Helper()
	e.run(t, "go", "-C", "..", "mod", "download")
	e.run(t, "go", "-C", "../tools", "mod", "download", "github.com/CycloneDX/cyclonedx-go", "github.com/google/licensecheck")
	cache := e.run(t, "go", "env", "GOCACHE")
	return []string{
		"--layers=false", "--isolation=chroot", "--build-arg=BUILD_IMAGE=" + buildImage, "--volume=" + e.run(t, "go", "env", "GOROOT") + ":/usr/local/go:ro",
		"--volume=" + e.run(t, "go", "env", "GOMODCACHE") + ":/go/pkg/mod:ro", "--volume=" + cache + ":/root/.cache/go-build",
	}
}

// build builds both images as users do, with the names IMAGE:latest and IMAGE:latest-slim.
func (e *engine) build(t *testing.T, image string, flags []string) {
	t.Helper()
	if out, err := e.command("make", "-C", "..", "docker", "CONTAINER_TOOL=buildah", "IMAGE="+image, "DOCKERFLAGS="+strings.Join(flags, " ")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, tail(string(out), 8000))
	}
}

type descriptor struct {
	Digest string
	Size   int64
}

// pushed is an image as it is pushed to a registry, in the format of OCI.
type pushed struct {
	digest       string
	layers       []descriptor // compressed
	architecture string
	config       struct {
		User         string
		ExposedPorts map[string]struct{}
		Env          []string
		Entrypoint   []string
		Cmd          []string
		Labels       map[string]string
		StopSignal   string
	}
	root string // folder with its files
}

// push returns an image from where it is pushed to.
func (e *engine) push(t *testing.T, name string) (img pushed) {
	t.Helper()
	dir := t.TempDir()
	e.run(t, "buildah", "push", "--quiet", "--format=oci", name, "oci:"+dir)
	blob := func(digest string) string {
		return filepath.Join(dir, "blobs", strings.Replace(digest, ":", "/", 1))
	}
	index := decode[struct{ Manifests []descriptor }](t, filepath.Join(dir, "index.json"))
	if len(index.Manifests) != 1 {
		t.Fatalf("got %d manifests, want 1", len(index.Manifests))
	}
	img.digest = index.Manifests[0].Digest
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	// Not YAML, whose keys would be those of the fields in lower case.
	unmarshal(t, read(t, blob(img.digest)), &manifest)
	config := struct{ Architecture, Config any }{&img.architecture, &img.config}
	unmarshal(t, read(t, blob(manifest.Config.Digest)), &config)
	img.root = filepath.Join(dir, "root")
	for _, layer := range manifest.Layers {
		img.layers = append(img.layers, layer)
		extractLayer(t, blob(layer.Digest), img.root)
	}
	return img
}

// unmarshal decodes JSON.
func unmarshal(t *testing.T, data string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), to); err != nil {
		t.Fatalf("%v in\n%s", err, tail(data, 1000))
	}
}

// extractLayer extracts a layer below a folder and checks owners and modes of its files.
func extractLayer(t *testing.T, name, root string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzip, err := gzip.NewReader(bufio.NewReaderSize(file, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(unzip); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		mode := header.FileInfo().Mode()
		if header.Uid != 0 || header.Gid != 0 || len(header.PAXRecords) > 0 {
			t.Errorf("%s: got user %d, group %d and the attributes %v, want root and none", header.Name, header.Uid, header.Gid, header.PAXRecords)
		}
		if special := mode & (os.ModeSetuid | os.ModeSetgid); special != 0 ||
			mode&os.ModeSymlink == 0 && mode.Perm()&0o022 != 0 && strings.Trim(header.Name, "/") != "tmp" {
			t.Errorf("%s: got mode %v, want no setuid and that only root may write", header.Name, mode)
		}
		path := filepath.Join(root, header.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(header.Linkname, path)
		case tar.TypeReg:
			var to *os.File
			if to, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm()); err == nil {
				_, err = io.Copy(to, archive)
				err = errors.Join(err, to.Close())
			}
		default:
			err = fmt.Errorf("got type %c, want a file, folder or symbolic link", header.Typeflag)
		}
		if err != nil {
			t.Fatalf("%s: %v", header.Name, err)
		}
	}
}

// hardened are flags of podman run: what the images need no more than.
var hardened = []string{"run", "--rm", "--pull=never", "--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges", "--memory=1g"}

// TestImage builds both images with buildah from Debian's packages and runs them with podman.
func TestImage(t *testing.T) {
	e2e.Only(t, "builds images, which takes minutes")
	e := newEngine(t)
	native, slim := "../bin/proposer", filepath.Join(e.dir, "slim")
	if version := e.run(t, native, "version"); !strings.Contains(version, "opencv") {
		e2e.Missing(t, "bin/proposer with OpenCV is not built: run make build")
	}
	e.run(t, "env", "CGO_ENABLED=0", "go", "build", "-o", slim, "../cmd/proposer")
	e.probe(t, slim)

	step := time.Now()
	lap := func(name string) {
		t.Logf("%s took %.1f s", name, time.Since(step).Seconds())
		step = time.Now()
	}
	e.createBuildImage(t)
	lap("the build image")
	flags := e.dockerFlags(t)
	e.build(t, "proposer", flags)
	lap("both images")

	objects := imageFiles(t)
	for _, target := range []struct{ name, tag, host string }{{"opencv", "latest", native}, {"slim", "latest-slim", slim}} {
		c := &contained{engine: e, image: "localhost/proposer:" + target.tag, host: target.host, objects: objects}
		t.Run(target.name, func(t *testing.T) {
			t.Run("contents", c.testContents)
			t.Run("propose", c.testPropose)
			t.Run("serve", c.testServe)
			t.Run("batch", c.testBatch)
		})
		lap(target.name)
	}

	t.Run("again", func(t *testing.T) {
		if os.Getenv("PROPOSER_IMAGE_AGAIN") != "1" {
			t.Skip("PROPOSER_IMAGE_AGAIN=1 builds the images twice more, which takes minutes, and compares digests")
		}
		// In the format docker, buildah stores random host names, so that only the layers are the same.
		flags := append(slices.Clone(flags), "--format=oci")
		e.build(t, "again", flags)
		cache := filepath.Join(e.dir, "cache") // without the objects of the builds before
		if err := os.Mkdir(cache, 0o755); err != nil {
			t.Fatal(err)
		}
		flags[len(flags)-2] = "--volume=" + cache + ":/root/.cache/go-build"
		e.build(t, "cold", flags)
		for _, tag := range []string{"latest", "latest-slim"} {
			first, second, third := e.push(t, "localhost/proposer:"+tag), e.push(t, "localhost/again:"+tag), e.push(t, "localhost/cold:"+tag)
			if !slices.Equal(first.layers, second.layers) || !reflect.DeepEqual(first.config, second.config) {
				t.Errorf("%s: got the layers %v and the configuration %v, of a second build %v and %v", tag, first.layers, first.config, second.layers, second.config)
			}
			if second.digest != third.digest {
				t.Errorf("%s: got the digest %s, of another build %s", tag, second.digest, third.digest)
			}
		}
	})
	lap("building again")

	t.Run("arm64", func(t *testing.T) {
		args := append([]string{"bud", "--target=slim", "--platform=linux/arm64", "--build-arg=BUILDPLATFORM=linux/" + runtime.GOARCH, "--tag=arm64"}, flags...)
		if out, err := e.command("buildah", append(args, "..")...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, tail(string(out), 8000))
		}
		img := e.push(t, "localhost/arm64:latest")
		if img.architecture != "arm64" {
			t.Errorf("got the architecture %s, want arm64", img.architecture)
		}
		program := filepath.Join(img.root, "usr/local/bin/proposer")
		if version := e.run(t, "qemu-aarch64", program, "version"); !strings.Contains(version, "linux/arm64, decoder go)") {
			t.Errorf("got version %s, want one of linux/arm64", version)
		}
		dir := t.TempDir()
		writeFiles(t, dir, objects)
		args = []string{"propose", "--max=50", filepath.Join(dir, "a.jpg")}
		got := times.ReplaceAllString(e.run(t, "qemu-aarch64", append([]string{program}, args...)...), "")
		if want := times.ReplaceAllString(e.run(t, slim, args...), ""); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	lap("arm64")
}

// contained is an image under test.
type contained struct {
	*engine

	image   string
	host    string            // the same program on this machine
	objects map[string][]byte // images of each format
}

// written are the files that tools/rootfs writes itself.
var written = regexp.MustCompile(`^/(etc/(passwd|group|nsswitch\.conf|ssl/certs/ca-certificates\.crt)|usr/local/bin/proposer|` +
	`usr/share/doc/proposer/(LICENSE|NOTICE|bom\.json|licenses/.+)|usr/share/doc/[^/]+/copyright|var/lib/dpkg/status\.d/[^/]+)$`)

// testContents checks the files and the configuration.
func (c *contained) testContents(t *testing.T) {
	img := c.push(t, c.image)
	git := func(args ...string) string { return c.run(t, "git", append([]string{"-C", ".."}, args...)...) }
	var version struct{ Version, Revision, Decoder string }
	unmarshal(t, c.run(t, "podman", append(slices.Clone(hardened), "--network=none", c.image, "version", "--json")...), &version)

	const label = "org.opencontainers.image."
	commit, err := time.Parse(time.RFC3339, git("log", "-1", "--format=%cI"))
	if err != nil {
		t.Fatal(err)
	}
	target := "SLIM"
	if strings.HasPrefix(version.Decoder, "opencv ") {
		target = "OPENCV"
	}
	licenses := regexp.MustCompile(`(?m)^ARG ` + target + `_LICENSES="(.*)"$`).FindStringSubmatch(read(t, "../Dockerfile"))
	if licenses == nil || target == "SLIM" != strings.HasSuffix(c.image, "slim") {
		t.Fatalf("%s has the decoder %s and the licenses %v", c.image, version.Decoder, licenses)
	}
	module := c.run(t, "go", "-C", "..", "list", "-m")
	for name, want := range map[string]string{
		"version": git("describe", "--tags", "--always", "--dirty"), "revision": git("rev-parse", "HEAD"),
		"created": commit.UTC().Format(time.RFC3339), "source": "https://" + module, "licenses": licenses[1], "title": "proposer",
	} {
		if got := img.config.Labels[label+name]; got != want {
			t.Errorf("label %s: got %q, want %q", name, got, want)
		}
	}
	if version.Version != img.config.Labels[label+"version"] || version.Revision != "" && version.Revision != img.config.Labels[label+"revision"] {
		t.Errorf("got the version %v, want that of the labels %v", version, img.config.Labels)
	}
	for term := range strings.SplitSeq(licenses[1], " AND ") {
		if target == "SLIM" && strings.Contains(term, "GPL") && !strings.Contains(term, " OR ") {
			t.Errorf("got the license %s, want none under the GPL alone", term)
		}
	}
	config := img.config
	config.Labels = nil
	if got, want := fmt.Sprint(config), "{65532:65532 map[8080/tcp:{} 9090/tcp:{}] [PATH=/usr/local/bin] [proposer] [serve] map[] SIGTERM}"; got != want {
		t.Errorf("got the configuration %s, want %s", got, want)
	}

	// Every file is of a Debian package or known, and has its contents.
	packaged := map[string]bool{}
	var packages []string
	states, err := filepath.Glob(filepath.Join(img.root, "var/lib/dpkg/status.d/*.md5sums"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sums := range states {
		for line := range strings.Lines(read(t, sums)) {
			_, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			packaged["/"+strings.TrimPrefix(name, "usr/")] = true
		}
		check := c.command("md5sum", "--check", "--quiet", sums)
		check.Dir = img.root
		e2e.Output(t, check)
		fields := map[string]string{}
		for line := range strings.Lines(read(t, strings.TrimSuffix(sums, ".md5sums"))) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			fields[key] = value
		}
		packages = append(packages, "deb "+fields["Package"]+" "+fields["Version"]+" "+fields["Architecture"])
		if _, err := os.Stat(filepath.Join(img.root, "usr/share/doc", fields["Package"], "copyright")); err != nil {
			t.Error(err)
		}
	}
	checkSBOM(t, filepath.Join(img.root, "usr/local/bin/proposer"), img.root, packages)
	err = filepath.WalkDir(img.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name := strings.TrimPrefix(path, img.root)
		if !written.MatchString(name) && !packaged["/"+strings.TrimPrefix(strings.TrimPrefix(name, "/"), "usr/")] {
			t.Errorf("%s is of no Debian package", name)
		}
		info, err := d.Info()
		if err == nil && info.Mode()&0o111 != 0 && name != "/usr/local/bin/proposer" && !strings.Contains(name, ".so") {
			t.Errorf("%s is executable", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	release := read(t, filepath.Join(img.root, "etc/os-release"))
	if debian := strings.TrimSpace(read(t, filepath.Join(img.root, "etc/debian_version"))); !strings.Contains(release, "ID=debian\n") ||
		!strings.Contains(release, "VERSION_ID=\""+strings.Split(debian, ".")[0]+"\"\n") {
		t.Errorf("got Debian %s and os-release\n%s", debian, release)
	}

	got, want := authorities(t, []byte(read(t, filepath.Join(img.root, "etc/ssl/certs/ca-certificates.crt")))), authorities(t, c.debCA)
	if len(want) < 100 {
		t.Errorf("got %d authorities of Debian, want at least 100", len(want))
	}
	for _, authority := range got {
		if !slices.Contains(want, authority) {
			t.Errorf("the image trusts %s, and Debian does not", authority)
		}
	}
	for _, authority := range want {
		if !slices.Contains(got, authority) {
			t.Errorf("the image does not trust %s, and Debian does", authority)
		}
	}
}

// authorities returns the subjects and serial numbers of the certificates in a bundle, sorted.
func authorities(t *testing.T, bundle []byte) (all []string) {
	t.Helper()
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %x", cert.Subject, sha256.Sum256(cert.Raw)))
	}
	slices.Sort(all)
	return all
}

// testBatch reads and writes a bucket whose authority is given in each documented way, and resumes a run that was killed.
func (c *contained) testBatch(t *testing.T) {
	objects := map[string][]byte{}
	for name, data := range c.objects {
		objects["in/"+name] = data
	}
	bucket := s3.New(objects)
	blocked, release := make(chan struct{}), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	var requests atomic.Int64
	var block atomic.Bool
	bucket.OnGet = func(key string) {
		requests.Add(1)
		if key == "in/a.tiff" && block.CompareAndSwap(true, false) {
			close(blocked)
			<-release
		}
	}
	location, authority := startBucket(t, bucket)
	in, out := strings.Replace(location, "bucket", "bucket/in", 1), func(name string) string {
		return "--out=" + strings.Replace(location, "bucket", "bucket/"+name, 1)
	}
	trust, results := t.TempDir(), t.TempDir()
	writeFiles(t, trust, map[string][]byte{"test.pem": authority})
	if err := errors.Join(os.Chmod(trust, 0o755), os.Chown(results, asUser, asUser)); err != nil {
		t.Fatal(err)
	}
	flags := append(slices.Clone(hardened), "--network=host", "--volume="+trust+":/authorities:ro")
	for _, variable := range bucketEnv {
		flags = append(flags, "--env="+variable)
	}
	batch := func(more []string, args ...string) *exec.Cmd {
		all := append(append(slices.Clone(flags), more...), c.image, "batch", in, "--max=3", "--shard-size=1")
		return c.command("podman", append(all, args...)...)
	}

	message, err := batch(nil, out("unknown")).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 ||
		!strings.Contains(string(message), "certificate signed by unknown authority") {
		t.Errorf("without the authority got %v, want exit code 1 and an error about it:\n%s", err, message)
	}
	if n := requests.Load(); n > 0 {
		t.Errorf("without the authority got %d requests, want none", n)
	}
	for name, more := range map[string]string{
		"dir": "--env=SSL_CERT_DIR=/authorities", "file": "--env=SSL_CERT_FILE=/authorities/test.pem",
		// What the program trusts by default is this file.
		"bundle": "--volume=" + filepath.Join(trust, "test.pem") + ":/etc/ssl/certs/ca-certificates.crt:ro",
	} {
		e2e.Output(t, batch([]string{more}, out(name)))
	}

	// Killed while it reads an image, when some of the shards before it are complete.
	mounted := []string{"--env=SSL_CERT_DIR=/authorities", "--volume=" + results + ":/results", "--name=batch"}
	block.Store(true)
	killed := batch(mounted, "--out=/results")
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = killed.Process.Kill() }() // if it runs still, the test has failed
	for ready := false; !ready; {
		select {
		case <-time.After(20 * time.Millisecond):
			records, err := filepath.Glob(filepath.Join(results, "shards/*.json"))
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-blocked:
				ready = len(records) > 0
			default:
			}
		case <-c.ctx.Done():
			t.Fatal(c.ctx.Err())
		}
	}
	c.run(t, "podman", "kill", "--signal=KILL", "batch")
	if err := killed.Wait(); killed.ProcessState.ExitCode() != 137 {
		t.Errorf("the killed container: got %v, want exit code 137", err)
	}
	free()
	if _, err := os.Stat(filepath.Join(results, "manifest.json")); err == nil {
		t.Error("the killed run has a manifest, want none")
	}
	message, err = batch(mounted, "--out=/results").CombinedOutput()
	if err != nil || regexp.MustCompile(`[1-9]\d* done by earlier runs`).Find(message) == nil {
		t.Errorf("got %v and %s, want images that the killed run has done", err, message)
	}

	stored := bucket.Objects()
	for shard := range len(c.objects) {
		name := fmt.Sprintf("proposals-%06d.jsonl", shard)
		want := read(t, filepath.Join(results, name))
		if !strings.Contains(want, `"boxes":[[`) {
			t.Errorf("%s: got %s, want boxes", name, want)
		}
		for _, folder := range []string{"dir", "file", "bundle"} {
			if got := string(stored[folder+"/"+name]); got != want {
				t.Errorf("%s/%s: got %q, want %q", folder, name, got, want)
			}
		}
	}
}

// times are the fields that differ between equal results.
var times = regexp.MustCompile(`"(decode_)?seconds":[0-9.e+-]+,`)

// testPropose compares results with those of the program outside of the image.
func (c *contained) testPropose(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, c.objects)
	for _, format := range []string{"jsonl", "csv"} {
		args := append([]string{"propose", "--max=50", "--format=" + format}, slices.Sorted(maps.Keys(c.objects))...)
		host := c.command(absolute(t, c.host), args...)
		host.Dir = dir
		want := times.ReplaceAllString(string(e2e.Output(t, host)), "")
		mounted := append(slices.Clone(hardened), "--network=none", "--volume="+dir+":/images:ro", "--workdir=/images", c.image)
		got := times.ReplaceAllString(c.run(t, "podman", append(mounted, args...)...)+"\n", "")
		if got != want || strings.Count(got, "\n") < len(c.objects) {
			t.Errorf("%s: got\n%swant\n%s", format, got, want)
		}
	}

	args := []string{"propose", "--max=50", "-"}
	var outputs []string
	for _, command := range [][]string{
		append([]string{absolute(t, c.host)}, args...),
		append(append(append([]string{"podman"}, hardened...), "--network=none", "--interactive", c.image), args...),
	} {
		cmd := c.command(command[0], command[1:]...)
		cmd.Stdin = bytes.NewReader(c.objects["a.jpg"])
		outputs = append(outputs, times.ReplaceAllString(string(e2e.Output(t, cmd)), ""))
	}
	if outputs[0] != outputs[1] || !strings.Contains(outputs[0], "boxes") {
		t.Errorf("standard input: got\n%swant\n%s", outputs[1], outputs[0])
	}
}

// absolute returns the absolute path of a file.
func absolute(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// asUser is the numeric user and group of the images.
const asUser = 65532

// own gives files to the user of the images, who alone may read them.
func own(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := errors.Join(os.Chown(name, asUser, asUser), os.Chmod(name, 0o400)); err != nil {
			t.Fatal(err)
		}
	}
}

// testServe serves with TLS and tokens from mounted files, reloads them, and stops while a request runs.
func (c *contained) testServe(t *testing.T) {
	conf := t.TempDir()
	if err := os.Chmod(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	cert, key, tokens := filepath.Join(conf, "cert.pem"), filepath.Join(conf, "key.pem"), filepath.Join(conf, "tokens")
	pool := certs.WriteSelfSigned(t, cert, key, "image", time.Now().Add(time.Hour))
	writeFiles(t, conf, map[string][]byte{"tokens": []byte("ci " + token + "\n")})
	own(t, cert, key, tokens)

	name := "serve-" + filepath.Base(c.host)
	args := append(slices.Clone(c.env), "podman")
	args = append(args, hardened...)
	args = append(args, "--name="+name, "--publish=127.0.0.1::8080", "--publish=127.0.0.1::9090", "--volume="+conf+":/conf:ro",
		"--env=PROPOSER_ADMIN_ADDR=:9090", "--env=PROPOSER_MAX_PIXELS=1000000", "--env=PROPOSER_LOG_FORMAT=json",
		"--env=PROPOSER_TOKENS=/conf/tokens", "--env=PROPOSER_TLS_CERT=/conf/cert.pem", "--env=PROPOSER_TLS_KEY=/conf/key.pem", c.image)
	listening := make(chan struct{}, 2)
	p := startProcess(t, func(line string) {
		if strings.Contains(line, `listening"`) {
			listening <- struct{}{}
		}
	}, nil, "env", args...)
	for range cap(listening) {
		select {
		case <-listening:
		case <-p.done:
			t.Fatal("the container exited before the service listened")
		case <-c.ctx.Done():
			t.Fatal(c.ctx.Err())
		}
	}
	public := "https://" + c.run(t, "podman", "port", name, "8080/tcp")
	admin := "http://" + c.run(t, "podman", "port", name, "9090/tcp")
	// Without connections that are kept, as a new one shows what a new client gets.
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, ExpectContinueTimeout: time.Hour,
	}}
	do := func(method, url, token string, body io.Reader) (int, string, error) {
		r, err := http.NewRequestWithContext(c.ctx, method, url, body)
		if err != nil {
			return 0, "", err
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if body != nil {
			r.Header.Set("Expect", "100-continue")
		}
		response, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		return response.StatusCode, string(data), err
	}
	check := func(url string, wantStatus int, want string) {
		t.Helper()
		if status, body, err := do(http.MethodGet, url, "", nil); err != nil || status != wantStatus || !strings.Contains(body, want) {
			t.Errorf("%s: got status %d, error %v and %.200s, want %d and %s", url, status, err, body, wantStatus, want)
		}
	}
	// until waits for a condition that the service does not report.
	until := func(what string, condition func() bool) {
		t.Helper()
		for !condition() {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-p.done:
				t.Fatalf("the container exited before: %s", what)
			case <-c.ctx.Done():
				t.Fatalf("%v before: %s", c.ctx.Err(), what)
			}
		}
	}

	check(public+"/", http.StatusOK, "<html")
	check(public+"/readyz", http.StatusOK, "")
	check(admin+"/metrics", http.StatusOK, "proposer_build_info{")
	check(public+"/v1/modes", http.StatusUnauthorized, "token")
	for file, data := range c.objects {
		host := c.command(absolute(t, c.host), "propose", "--max=50", "-")
		host.Stdin = bytes.NewReader(data)
		var got, want struct {
			Boxes  [][4]int
			Scores []float64
		}
		unmarshal(t, string(e2e.Output(t, host)), &want)
		status, body, err := do(http.MethodPost, public+"/v1/proposals?max=50", token, bytes.NewReader(data))
		if err != nil || status != http.StatusOK {
			t.Errorf("%s: got status %d, error %v and %.300s", file, status, err, body)
			continue
		}
		if unmarshal(t, body, &got); len(got.Boxes) == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", file, got, want)
		}
	}

	// HEALTHCHECK, which runs inside, and what the kernel says of the process.
	c.run(t, "podman", "healthcheck", "run", name)
	state := strings.Fields(c.run(t, "podman", "inspect", "--format", "{{.State.Health.Status}} {{.State.Pid}}", name))
	if state[0] != "healthy" {
		t.Errorf("got the health status %s, want healthy", state[0])
	}
	status := read(t, "/proc/"+state[1]+"/status")
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("got the process status\n%swant %q", status, want)
		}
	}

	// SIGHUP: a new token.
	const second = "fedcba9876543210"
	writeFiles(t, conf, map[string][]byte{"tokens.new": []byte("ci " + second + "\n")})
	own(t, tokens+".new")
	if err := os.Rename(tokens+".new", tokens); err != nil {
		t.Fatal(err)
	}
	c.run(t, "podman", "kill", "--signal=HUP", name)
	until("the new token is accepted", func() bool {
		status, _, err := do(http.MethodGet, public+"/v1/modes", second, nil)
		return err == nil && status == http.StatusOK
	})
	if status, body, err := do(http.MethodGet, public+"/v1/modes", token, nil); status != http.StatusUnauthorized {
		t.Errorf("the old token: got status %d, error %v and %.200s, want 401", status, err, body)
	}

	// SIGTERM while a request is read: it is answered.
	reader, writer := io.Pipe()
	type answer struct {
		status int
		body   string
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		status, body, err := do(http.MethodPost, public+"/v1/proposals?max=1", second, reader)
		reader.CloseWithError(errors.New("the request ended"))
		answered <- answer{status, body, err}
	}()
	t.Cleanup(func() { writer.CloseWithError(context.Canceled) })
	data := c.objects["a.png"]
	// The client sends it when the service says that it reads the body.
	if _, err := writer.Write(data[:len(data)/2]); err != nil {
		t.Fatal(err)
	}
	stop := c.command("podman", "stop", "--time=60", name)
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop.Wait() }()
	until("the service is draining", func() bool {
		status, body, err := do(http.MethodGet, public+"/readyz", "", nil)
		return err == nil && status == http.StatusServiceUnavailable && strings.Contains(body, "draining")
	})
	if _, err := writer.Write(data[len(data)/2:]); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	if a := <-answered; a.err != nil || a.status != http.StatusOK || !strings.Contains(a.body, `"boxes":[[`) {
		t.Errorf("the request that ran: got status %d, error %v and %.300s, want boxes", a.status, a.err, a.body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("podman stop: %v", err)
	}
	<-p.done // at the end of the test its exit code is checked
}
