package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	docDir     = "/usr/share/doc/"
	licenseDir = "/usr/share/common-licenses/"
	statusDir  = "/var/lib/dpkg/status.d/"
)

// debianPackage is a Debian package that files of the image come from.
type debianPackage struct {
	name, version, arch string
	source              string // name of the source package
	sourceVersion       string
	control             string // its entry in the database of installed packages
	copyright           []byte
	files               []string // in the image
}

// writeDebian writes everything that comes from Debian packages, and the database of these packages, which
// scanners read. It has a file for each package, as in the images of the distroless project.
func writeDebian(ctx context.Context, t *tree, prog *program) ([]*debianPackage, error) {
	files := map[string][]string{} // by package
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release", "/etc/debian_version"} {
		if err := place(t, path); err != nil {
			return nil, err
		}
		files["base-files"] = append(files["base-files"], path)
	}
	files["ca-certificates"] = nil
	bundle, err := authorities(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.writeFile("/etc/ssl/certs/ca-certificates.crt", bundle); err != nil {
		return nil, err
	}
	var libs []string
	if prog.loader != "" {
		libs = append(slices.Clone(prog.libs), prog.loader)
	}
	paths := make([]string, len(libs))
	for i, lib := range libs {
		if err := place(t, lib); err != nil {
			return nil, err
		}
		if paths[i], err = filepath.EvalSymlinks(lib); err != nil {
			return nil, err
		}
	}
	owners, err := owners(ctx, paths)
	if err != nil {
		return nil, err
	}
	for path, name := range owners {
		files[name] = append(files[name], path)
	}

	var packages []*debianPackage
	for name, paths := range files {
		p, err := installed(ctx, name)
		if err != nil {
			return nil, err
		}
		slices.Sort(paths)
		p.files = paths
		packages = append(packages, p)
	}
	slices.SortFunc(packages, func(a, b *debianPackage) int { return strings.Compare(a.name, b.name) })
	if err := writeCommonLicenses(t, packages); err != nil {
		return nil, err
	}
	for _, p := range packages {
		if p.arch != "all" && p.arch != prog.arch {
			// Cross-compiled: base-files of the build machine, whose files here are the same on all architectures.
			if prog.loader != "" {
				return nil, fmt.Errorf("package %s is of architecture %s, the program of %s", p.name, p.arch, prog.arch)
			}
			p.control = strings.Replace(p.control, "\nArchitecture: "+p.arch+"\n", "\nArchitecture: "+prog.arch+"\n", 1)
			p.arch = prog.arch
		}
		if err := p.write(t); err != nil {
			return nil, err
		}
	}
	return packages, nil
}

// place copies a file of the machine to its path, with the links that lead to it.
func place(t *tree, path string) error {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if !t.has(file) {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if err := t.copyFile(file, file, info.Mode().Perm()); err != nil {
			return err
		}
	}
	// /lib and /lib64 are links.
	if top, _, ok := strings.Cut(path[1:], "/"); ok {
		if target, err := os.Readlink("/" + top); err == nil {
			if err := errors.Join(t.mkdir("/"+target, 0o755), t.symlink(target, "/"+top)); err != nil {
				return err
			}
		}
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return err
	}
	if link := filepath.Join(dir, filepath.Base(path)); link != file {
		target, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		return t.symlink(target, link)
	}
	return nil
}

// authorities returns the certificates of the package ca-certificates. It does not read the machine's bundle, which may
// have others.
func authorities(ctx context.Context) ([]byte, error) {
	out, err := dpkg(ctx, "--listfiles", "ca-certificates")
	if err != nil {
		return nil, err
	}
	var bundle bytes.Buffer
	names := strings.Fields(out)
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "/usr/share/ca-certificates/") || filepath.Ext(name) != ".crt" {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("%s: want a certificate in PEM form", name)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		bundle.Write(pem.EncodeToMemory(block))
	}
	if bundle.Len() == 0 {
		return nil, errors.New("the package ca-certificates has no certificates")
	}
	return bundle.Bytes(), nil
}

// dpkg runs dpkg-query.
func dpkg(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "dpkg-query", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("dpkg-query %s: %w: %.1000s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), err
}

// owners returns the names of the packages that have the files.
func owners(ctx context.Context, files []string) (map[string]string, error) {
	owners := map[string]string{}
	if len(files) == 0 {
		return owners, nil
	}
	args := []string{"--search"}
	for _, file := range files {
		// Packages name files of /usr/lib also by their paths in /lib, which is the same folder.
		args = append(args, file, strings.TrimPrefix(file, "/usr"))
	}
	out, err := dpkg(ctx, args...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil // some paths are of no package
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		name, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if ok && !strings.HasPrefix(name, "diversion by ") {
			found[path] = name
		}
	}
	for _, file := range files {
		name := cmp.Or(found[file], found[strings.TrimPrefix(file, "/usr")])
		if name == "" {
			err = errors.Join(err, fmt.Errorf("%s is of no Debian package, so its license is not known", file))
		}
		owners[file] = name
	}
	return owners, err
}

// installed reads the entry of a package.
func installed(ctx context.Context, name string) (*debianPackage, error) {
	control, err := dpkg(ctx, "--status", name)
	if err != nil {
		return nil, err
	}
	p := &debianPackage{control: control}
	for line := range strings.Lines(control) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "Package":
			p.name = value
		case "Version":
			p.version = value
		case "Architecture":
			p.arch = value
		case "Source":
			p.source = value
		}
	}
	if p.name == "" || p.version == "" || p.arch == "" {
		return nil, fmt.Errorf("package %s: want a name, a version and an architecture in %q", name, control)
	}
	p.sourceVersion = p.version
	if source, version, ok := strings.Cut(p.source, " ("); ok {
		p.source, p.sourceVersion = source, strings.TrimSuffix(version, ")")
	}
	if p.source == "" {
		p.source = p.name
	}
	if p.copyright, err = os.ReadFile(docDir + p.name + "/copyright"); err != nil {
		return nil, fmt.Errorf("license of package %s: %w", p.name, err)
	}
	return p, nil
}

var commonLicense = regexp.MustCompile(licenseDir + `([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9])`)

// writeCommonLicenses writes the texts that the licenses of packages refer to. They are files of base-files.
func writeCommonLicenses(t *tree, packages []*debianPackage) error {
	base := slices.IndexFunc(packages, func(p *debianPackage) bool { return p.name == "base-files" })
	for _, p := range packages {
		for _, match := range commonLicense.FindAllSubmatch(p.copyright, -1) {
			path := licenseDir + string(match[1])
			file, err := filepath.EvalSymlinks(path)
			if errors.Is(err, os.ErrNotExist) {
				continue // some refer to a license that Debian does not have there
			}
			if err := errors.Join(err, place(t, path)); err != nil {
				return err
			}
			if !slices.Contains(packages[base].files, file) {
				packages[base].files = append(packages[base].files, file)
			}
		}
	}
	return nil
}

// write writes the license of the package and its entry.
func (p *debianPackage) write(t *tree) error {
	path := docDir + p.name + "/copyright"
	if err := t.writeFile(path, p.copyright); err != nil {
		return err
	}
	p.files = append(p.files, path)
	slices.Sort(p.files)
	if err := t.writeFile(statusDir+p.name, []byte(p.control)); err != nil {
		return err
	}
	var sums strings.Builder
	for _, file := range p.files {
		if sum, ok := t.sums[file]; ok {
			fmt.Fprintf(&sums, "%s  %s\n", sum, file[1:])
		}
	}
	return t.writeFile(statusDir+p.name+".md5sums", []byte(sums.String()))
}
