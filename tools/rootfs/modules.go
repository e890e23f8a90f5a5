package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// goModule is a Go module that is linked into the program, or Go itself.
type goModule struct {
	path, version string
	licenses      []license
}

// license is the text of a license or notice.
type license struct {
	name string // path in the module
	text []byte
}

// std is the path that scanners have for the standard library.
const std = "stdlib"

// goModules returns the modules that are linked into the program, with the texts of their licenses.
func goModules(ctx context.Context, info *buildinfo.BuildInfo) ([]*goModule, error) {
	goroot, err := goEnv(ctx, "GOROOT")
	if err != nil {
		return nil, err
	}
	version, err := goEnv(ctx, "GOVERSION")
	if err != nil {
		return nil, err
	}
	if version != info.GoVersion {
		return nil, fmt.Errorf("the program was built by %s, but the licenses here are those of %s", info.GoVersion, version)
	}
	cache, err := goEnv(ctx, "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	m := &goModule{path: std, version: strings.TrimPrefix(version, "go")}
	// Of what Go's folder contains, programs link the standard library and its copies of modules.
	for _, dir := range []string{".", "src/vendor"} {
		if err := m.readLicenses(goroot, dir, dir != "."); err != nil {
			return nil, err
		}
	}
	if len(m.licenses) == 0 {
		return nil, fmt.Errorf("%s has no license: want Go as go.dev distributes it", goroot)
	}
	modules := []*goModule{m}
	var errs error
	for _, dep := range info.Deps {
		m, err := readModule(cache, dep)
		errs = errors.Join(errs, err)
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b *goModule) int { return strings.Compare(a.path, b.path) })
	return modules, errs
}

func goEnv(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", name)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// readModule reads the licenses of a module in the module cache.
func readModule(cache string, dep *debug.Module) (*goModule, error) {
	if dep.Replace != nil {
		dep = dep.Replace
	}
	m := &goModule{path: dep.Path, version: dep.Version}
	path, err := module.EscapePath(dep.Path)
	if err != nil {
		return nil, err
	}
	version, err := module.EscapeVersion(dep.Version)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, path+"@"+version)
	if err := m.readLicenses(dir, ".", true); err != nil {
		return nil, fmt.Errorf("%w: run go mod download", err)
	}
	if len(m.licenses) == 0 {
		return nil, fmt.Errorf("module %s %s has no license: want a file such as LICENSE in %s", m.path, m.version, dir)
	}
	return m, nil
}

// Names of files with licenses and notices, and of folders with nothing else.
var (
	licenseName   = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|copyright|notice|patents|authors)([.-].*)?$|-licen[cs]e(\.(md|txt))?$`)
	licenseFolder = regexp.MustCompile(`(?i)(^|/)(third_party_)?licen[cs]es$`)
	sourceFile    = regexp.MustCompile(`\.(go|s|h|c|sh|py|js|ya?ml|json|toml|lre)$`)
)

// write writes the licenses below a folder of the tree.
func (m *goModule) write(t *tree, folder string) error {
	for _, f := range m.licenses {
		if err := t.writeFile(folder+"/"+m.path+"@"+m.version+"/"+f.name, f.text); err != nil {
			return err
		}
	}
	return nil
}

// readLicenses reads the licenses in a folder below root, also in its folders.
func (m *goModule) readLicenses(root, folder string, recursive bool) error {
	return fs.WalkDir(os.DirFS(root), folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if path != folder && (!recursive || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular() || sourceFile.MatchString(d.Name()):
			return nil
		case !licenseName.MatchString(d.Name()) && !licenseFolder.MatchString(filepath.Dir(path)):
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		m.licenses = append(m.licenses, license{path, text})
		return err
	})
}
