package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is the executable.
type program struct {
	info   *buildinfo.BuildInfo
	arch   string // Debian's name
	loader string // the dynamic loader; "" if the executable is static
	libs   []string
}

// debianArch has Debian's names of architectures by Go's.
var debianArch = map[string]string{"386": "i386", "amd64": "amd64", "arm": "armhf", "arm64": "arm64", "ppc64le": "ppc64el", "riscv64": "riscv64", "s390x": "s390x"}

func readProgram(ctx context.Context, file string) (*program, error) {
	info, err := buildInfo(file)
	if err != nil {
		return nil, err
	}
	p := &program{info: info}
	goarch := ""
	for _, s := range info.Settings {
		if s.Key == "GOARCH" {
			goarch = s.Value
		}
	}
	if p.arch = debianArch[goarch]; p.arch == "" {
		return nil, fmt.Errorf("%s: Debian has no architecture %q", file, goarch)
	}
	exe, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: want an executable for Linux", file, err)
	}
	defer exe.Close()
	for _, segment := range exe.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, segment.Filesz)
		if _, err := segment.ReadAt(name, 0); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p.loader = string(bytes.TrimRight(name, "\x00"))
		p.libs, err = libraries(ctx, p.loader, file)
		return p, err
	}
	return p, nil
}

// buildInfo reads the modules that are recorded in an executable.
func buildInfo(file string) (*buildinfo.BuildInfo, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: want an executable that Go has built", file, err)
	}
	return info, nil
}

// libraries returns the paths of all shared libraries that the loader loads for an executable, as it searches
// them: without a cache, as the image has none.
func libraries(ctx context.Context, loader, file string) ([]string, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, loader, "--inhibit-cache", "--list", abs)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LD_") })
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", file, err, strings.TrimSpace(stderr.String()))
	}
	return parseLibraries(string(out))
}

// parseLibraries parses lines such as
//
//	libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f5c1a2e3000)
func parseLibraries(list string) ([]string, error) {
	var paths []string
	var errs error
	for line := range strings.Lines(list) {
		name, path, found := strings.Cut(strings.TrimSpace(line), " => ")
		if !found {
			continue // the kernel's library, or the loader
		}
		path, _, _ = strings.Cut(path, " (")
		if !filepath.IsAbs(path) {
			errs = errors.Join(errs, fmt.Errorf("shared library %s: %s", name, path))
			continue
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return slices.Compact(paths), errs
}
