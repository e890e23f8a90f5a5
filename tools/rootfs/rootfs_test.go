package main

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/github/go-spdx/v2/spdxexp"
)

// build builds a program without cgo: this command, or one that imports nothing.
func build(t *testing.T, command bool, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", file, ".")
	if !command {
		for name, text := range map[string]string{"go.mod": "module example.com/empty\n", "main.go": "package main\n\nfunc main() {}\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd.Dir = dir
	}
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// requireDebian skips a test on machines without Debian's packages.
func requireDebian(t *testing.T) {
	t.Helper()
	if _, err := dpkg(t.Context(), "--status", "ca-certificates"); err != nil {
		t.Skip("needs Debian with ca-certificates: ", err)
	}
}

// list describes all files of a tree.
func list(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		info, err2 := d.Info()
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		line := fmt.Sprint(path[len(root):], " ", info.Mode(), " ", info.ModTime().Unix(), " ")
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			line += fmt.Sprintf("%x", sha256.Sum256(data))
			all = append(all, line)
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			all = append(all, line+target)
			return err
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWrite(t *testing.T) {
	requireDebian(t)
	o := options{program: build(t, true), source: "../..", version: "v1.2.3", time: time.Unix(1_700_000_000, 0).UTC()}
	roots := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	for _, root := range roots {
		o.root = root
		if err := write(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	files := list(t, roots[0])
	if again := list(t, roots[1]); !slices.Equal(files, again) {
		t.Errorf("written again:\n%s\nwant\n%s", strings.Join(again, "\n"), strings.Join(files, "\n"))
	}
	for _, want := range []string{
		" drwxr-xr-x 1700000000 ",
		"/etc/debian_version -rw-r--r-- 1700000000 ",
		"/etc/os-release Lrwxrwxrwx 1700000000 ../usr/lib/os-release",
		"/etc/passwd -rw-r--r-- 1700000000 ",
		"/tmp dtrwxrwxrwx 1700000000 ",
		"/usr/local/bin/proposer -rwxr-xr-x 1700000000 ",
		"/usr/share/common-licenses/GPL Lrwxrwxrwx 1700000000 GPL-3",
		"/usr/share/common-licenses/GPL-3 -rw-r--r-- 1700000000 ",
		"/usr/share/doc/ca-certificates/copyright -rw-r--r-- ",
		"/usr/share/doc/proposer/LICENSE -rw-r--r-- ",
		"/usr/share/doc/proposer/NOTICE -rw-r--r-- ",
		"/usr/share/doc/proposer/licenses/github.com/CycloneDX/cyclonedx-go@v0.9.3/LICENSE -rw-r--r-- ",
		"/usr/share/doc/proposer/licenses/golang.org/x/sys@",
		"/usr/share/doc/proposer/licenses/stdlib@",
		"/usr/share/doc/proposer/bom.json -rw-r--r-- ",
		"/var/lib/dpkg/status.d/base-files -rw-r--r-- ",
		"/var/lib/dpkg/status.d/ca-certificates.md5sums -rw-r--r-- ",
	} {
		if !slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("no file begins with %q in\n%s", want, strings.Join(files, "\n"))
		}
	}
	// A program without shared libraries needs none.
	for _, file := range files {
		if strings.Contains(file, ".so") || strings.Contains(file, "nsswitch") || strings.HasPrefix(file, "/lib") {
			t.Errorf("unexpected file %s", file)
		}
	}

	pem, err := os.ReadFile(roots[0] + "/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) || strings.Count(string(pem), "BEGIN") < 100 {
		t.Errorf("got %d certificates, want at least 100", strings.Count(string(pem), "BEGIN"))
	}

	f, err := os.Open(roots[0] + docDir + "proposer/bom.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(f, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Version != "v1.2.3" || bom.Metadata.Timestamp != "2023-11-14T22:13:20Z" || bom.SerialNumber != "" {
		t.Errorf("got version %s, time %s, serial number %q, want v1.2.3, 2023-11-14T22:13:20Z and none",
			c.Version, bom.Metadata.Timestamp, bom.SerialNumber)
	}
	for _, c := range *bom.Components {
		if c.Licenses == nil {
			if c.Name != "base-files" && c.Type != cdx.ComponentTypeOS {
				t.Errorf("%s has no license", c.Name)
			}
			continue
		}
		checkSPDX(t, c.Name, (*c.Licenses)[0].Expression)
	}
}

func TestWriteModules(t *testing.T) {
	o := options{program: build(t, true), root: filepath.Join(t.TempDir(), "licenses"), time: time.Unix(1_700_000_000, 0)}
	if err := writeModules(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	files := list(t, o.root)
	for _, want := range []string{"/github.com/CycloneDX/cyclonedx-go@v0.9.3/NOTICE ", "/golang.org/x/sys@", "/stdlib@"} {
		if !slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("no file begins with %q in\n%s", want, strings.Join(files, "\n"))
		}
	}
}

// The cross-compiled program of another architecture: nothing in the image is of this machine's.
func TestOtherArchitecture(t *testing.T) {
	requireDebian(t)
	here, arch := "amd64", "arm64"
	if runtime.GOARCH == arch {
		here, arch = arch, here
	}
	o := options{program: build(t, false, "GOARCH="+arch), source: "../..", root: filepath.Join(t.TempDir(), "root"), time: time.Unix(0, 0)}
	if err := write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{statusDir + "base-files", docDir + "proposer/bom.json"} {
		data, err := os.ReadFile(o.root + name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), arch) || strings.Contains(string(data), here) {
			t.Errorf("%s is not of architecture %s:\n%.2000s", name, arch, data)
		}
	}
}

// checkSPDX checks that an expression has only names of SPDX's list, and references.
func checkSPDX(t *testing.T, name, expression string) {
	t.Helper()
	if _, invalid := spdxexp.ValidateLicenses([]string{expression}); len(invalid) > 0 {
		t.Errorf("%s: invalid expression %q", name, expression)
	}
}

func TestErrors(t *testing.T) {
	requireDebian(t)
	program := build(t, false)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("text"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    options
		want string
	}{
		"no program":  {options{program: text}, "want an executable that Go has built"},
		"missing":     {options{program: text + "2"}, "no such file"},
		"wrong label": {options{program: program, licenses: "MIT"}, `-licenses "MIT": the licenses of the contents are "`},
		"no NOTICE":   {options{program: program, source: "."}, "LICENSE: no such file"},
		"not empty":   {options{program: program, root: filepath.Dir(text)}, "want an empty folder"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.o.source == "" {
				c.o.source = "../.."
			}
			if c.o.root == "" {
				c.o.root = filepath.Join(t.TempDir(), "root")
			}
			if err := write(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestSourceDate(t *testing.T) {
	for s, want := range map[string]string{"": "1970-01-01T00:00:00Z", "1700000000": "2023-11-14T22:13:20Z", "yesterday": "", "-1": ""} {
		got, err := sourceDate(s)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "want seconds since 1970") {
				t.Errorf("SOURCE_DATE_EPOCH=%q: got error %v, want one", s, err)
			}
		} else if got.Format(time.RFC3339) != want || err != nil {
			t.Errorf("SOURCE_DATE_EPOCH=%q: got %v, %v, want %s", s, got, err, want)
		}
	}
}

func TestParseLibraries(t *testing.T) {
	got, err := parseLibraries("\tlinux-vdso.so.1 (0x1)\n\tlibm.so.6 => /lib/libm.so.6 (0x2)\n\tlibc.so.6 => /lib/libc.so.6 (0x3)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x4)\n")
	if want := []string{"/lib/libc.so.6", "/lib/libm.so.6"}; !slices.Equal(got, want) || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	_, err = parseLibraries("\tliba.so.1 => not found\n\tlibb.so.2 => not found\n")
	if want := "shared library liba.so.1: not found\nshared library libb.so.2: not found"; fmt.Sprint(err) != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestOwners(t *testing.T) {
	requireDebian(t)
	unknown := filepath.Join(t.TempDir(), "libx.so")
	_, err := owners(t.Context(), []string{"/usr/lib/os-release", unknown})
	if want := unknown + " is of no Debian package, so its license is not known"; fmt.Sprint(err) != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestModuleWithoutLicense(t *testing.T) {
	cache := t.TempDir()
	dir := filepath.Join(cache, "example.com/!m@v1.0.0")
	if err := os.MkdirAll(filepath.Join(dir, "testdata"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "testdata", "LICENSE"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{
		"v1.0.0": "module example.com/M v1.0.0 has no license: want a file such as LICENSE in ",
		"v1.0.1": "no such file or directory: run go mod download",
	} {
		_, err := readModule(cache, &debug.Module{Path: "example.com/M", Version: version})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", version, err, want)
		}
	}
}

// The file names that are licenses, and those that are not.
func TestLicenseNames(t *testing.T) {
	for name, want := range map[string]bool{
		"LICENSE": true, "LICENSE.txt": true, "LICENCE.md": true, //nolint:misspell // a British name
		"License-MIT": true, "COPYING": true, "COPYING.LESSER": true,
		"NOTICE.txt": true, "PATENTS": true, "UNLICENSE": true, "AUTHORS": true, "COPYRIGHT": true, "LICENSE-SIL": true,
		"THIRD_PARTY_LICENSES/Sun-LICENSE": true, "licenses/ftl.txt": true, "a/LICENSE": true,
		"license.go": false, "licenses/list.go": false, "README.md": false, "check_license.sh": false, "testdata/LICENSE": false,
		".github/LICENSE": false, "noticeboard": false,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		var m goModule
		if err := m.readLicenses(dir, ".", true); err != nil {
			t.Fatal(err)
		}
		if got := len(m.licenses) == 1; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestPackageLicense(t *testing.T) {
	const format = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
	for name, c := range map[string]struct{ source, copyright, want string }{
		"all files":       {"a", format + "Files: debian/*\nLicense: GPL-3+\n\nFiles: *\nCopyright: me\nLicense: Expat\n", "MIT"},
		"of several":      {"a", format + "Files: a\n *\nCopyright: me\nLicense: ISC\n text\n", "ISC"},
		"first":           {"a", format + "Files: src/*\nLicense: BSD-2-clause\n\nFiles: debian/*\nLicense: GPL-3+\n", "BSD-2-Clause"},
		"the library":     {"util-linux", format + "Files: *\nLicense: GPL-2+\n\nFiles: libuuid/*\n x\nLicense: BSD-3-clause\n", "BSD-3-Clause"},
		"choice":          {"a", format + "Files: *\nLicense: GPL-2+ or LGPL-3+\n", "(GPL-2.0-or-later OR LGPL-3.0-or-later)"},
		"choices":         {"a", format + "Files: *\nLicense: MPL-1.1, or GPL-2 and Expat\n", "((GPL-2.0-only AND MIT) OR MPL-1.1)"},
		"several":         {"a", format + "Files: *\nLicense: Apache-2.0 AND BSD-3-Clause\n", "Apache-2.0 AND BSD-3-Clause"},
		"exception":       {"a", format + "Files: *\nLicense: GPL-3+ with Bison exception\n", "GPL-3.0-or-later"},
		"version":         {"a", format + "Files: *\nLicense: LGPL-2.1+\n", "LGPL-2.1-or-later"},
		"unknown":         {"a", format + "Files: *\nLicense: __OWN__ license\n", "LicenseRef--OWN-license"},
		"old format":      {"a", "Format-Specification: http://svn.debian.org/dep5.mdwn\n\nFiles: *\nLicense: zlib\n", "Zlib"},
		"no paragraphs":   {"a", format + "Comment: none\n", "LicenseRef-a"},
		"free form":       {"a", "This is free software.\n", "LicenseRef-a"},
		"known free form": {"glibc", "This is the GNU C library.\n", "LGPL-2.1-or-later"},
		"compiler":        {"gcc-12", "This is GCC.\n", "GPL-3.0-or-later WITH GCC-exception-3.1"},
		"name":            {"libtasn1-6", "This is libtasn1.\n", "LGPL-2.1-or-later"},
	} {
		t.Run(name, func(t *testing.T) {
			p := debianPackage{name: "libx", source: c.source, copyright: []byte(c.copyright)}
			got := p.license()
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			checkSPDX(t, name, got)
		})
	}
}

// All names that the tables have are names of SPDX.
func TestLicenseTables(t *testing.T) {
	for source, license := range concluded {
		checkSPDX(t, source, license)
	}
	for name, license := range shortNames {
		checkSPDX(t, name, license)
	}
	for path, license := range moduleLicenses {
		checkSPDX(t, path, license)
	}
	for _, name := range sameNames {
		checkSPDX(t, name, name)
	}
}

func TestConjunction(t *testing.T) {
	got := conjunction("MIT", "Apache-2.0 AND MIT", "(GPL-2.0-only OR MIT)", "Apache-2.0")
	if want := "(GPL-2.0-only OR MIT) AND Apache-2.0 AND MIT"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPURL(t *testing.T) {
	p := debianPackage{name: "libstdc++6", version: "1:12.2.0-14+deb12u1", arch: "amd64", source: "gcc-12", sourceVersion: "12.2.0-14"}
	got := p.purl("debian-12")
	if want := "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := golang("github.com/Azure/x", "v1.0.0+incompatible"), "pkg:golang/github.com/azure/x@v1.0.0%2Bincompatible"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
