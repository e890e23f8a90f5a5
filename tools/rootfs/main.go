// Command rootfs writes the root file system of the container image: the program with the shared libraries
// that it loads, certificate authorities, the user, what scanners read, and the licenses of all that it contains.
// It runs on Debian, whose package database says where libraries come from. The same packages, program and
// SOURCE_DATE_EPOCH give the same bytes and times.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	program string // the executable
	source  string // folder with the LICENSE and NOTICE of the project
	root    string // folder to write
	version string // of the program
	modules bool   // write only the licenses of Go modules

	// The SPDX expression that the image is labeled with; "" is not checked.
	licenses string
	time     time.Time // of files
}

func main() {
	var o options
	flag.StringVar(&o.program, "program", "bin/proposer", "executable `file`")
	flag.StringVar(&o.source, "source", ".", "`folder` with the project's LICENSE and NOTICE")
	flag.StringVar(&o.root, "root", "", "`folder` to write; it must be missing or empty")
	flag.StringVar(&o.version, "version", "unknown", "version of the program")
	flag.BoolVar(&o.modules, "modules", false, "write only the licenses of Go and of the modules in the program, which may be for any system")
	flag.StringVar(&o.licenses, "licenses", "", "SPDX `expression` that the image is labeled with: fail if it is wrong")
	flag.Parse()
	if o.root == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "rootfs: want -root and no arguments")
		flag.Usage()
		os.Exit(64)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "rootfs:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, o options) error {
	var err error
	if o.time, err = sourceDate(os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return err
	}
	if o.modules {
		return writeModules(ctx, o)
	}
	return write(ctx, o)
}

// writeModules writes the licenses of Go and of the modules in the program.
func writeModules(ctx context.Context, o options) error {
	info, err := buildInfo(o.program)
	if err != nil {
		return err
	}
	modules, err := goModules(ctx, info)
	if err != nil {
		return err
	}
	t, err := newTree(o.root)
	if err != nil {
		return err
	}
	for _, m := range modules {
		if err := m.write(t, ""); err != nil {
			return err
		}
	}
	return t.finish(o.time)
}

// sourceDate parses SOURCE_DATE_EPOCH. Without it files are of 1970.
func sourceDate(s string) (time.Time, error) {
	if s == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%q: want seconds since 1970", s)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// The user that runs the program.
const (
	passwd = "proposer:x:65532:65532::/:\n"
	group  = "proposer:x:65532:\n"
)

// write writes the root file system.
func write(ctx context.Context, o options) error {
	prog, err := readProgram(ctx, o.program)
	if err != nil {
		return err
	}
	t, err := newTree(o.root)
	if err != nil {
		return err
	}
	if err := t.copyFile(o.program, "/usr/local/bin/proposer", 0o755); err != nil {
		return err
	}
	text := map[string]string{"/etc/passwd": passwd, "/etc/group": group}
	if prog.loader != "" {
		// The C library would ask DNS for localhost first.
		text["/etc/nsswitch.conf"] = "hosts: files dns\n"
	}
	for path, s := range text {
		if err := t.writeFile(path, []byte(s)); err != nil {
			return err
		}
	}
	// Some formats of batch need temporary files.
	if err := t.mkdir("/tmp", 0o777|os.ModeSticky); err != nil {
		return err
	}
	packages, err := writeDebian(ctx, t, prog)
	if err != nil {
		return err
	}
	modules, err := goModules(ctx, prog.info)
	if err != nil {
		return err
	}
	licenses, err := imageLicenses(packages, modules)
	if err != nil {
		return err
	}
	if o.licenses != "" && o.licenses != licenses {
		return fmt.Errorf("-licenses %q: the licenses of the contents are %q", o.licenses, licenses)
	}
	for _, name := range []string{"LICENSE", "NOTICE"} {
		if err := t.copyFile(o.source+"/"+name, docDir+"proposer/"+name, 0o644); err != nil {
			return err
		}
	}
	for _, m := range modules {
		if err := m.write(t, docDir+"proposer/licenses"); err != nil {
			return err
		}
	}
	// The name is CycloneDX's. Trivy lists the packages of images twice if the name ends in .cdx.json.
	bom, err := billOfMaterials(o, prog, packages, modules)
	if err != nil {
		return err
	}
	return errors.Join(t.writeFile(docDir+"proposer/bom.json", bom), t.finish(o.time))
}
