//go:build cgo && !windows

package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/proposer/proposer/internal/testutil/e2e"
)

// libraryFolder is the folder of the library; empty if it has not been built.
var libraryFolder string

// buildLibrary builds the library once.
var buildLibrary = sync.OnceValue(func() (err error) {
	if libraryFolder, err = os.MkdirTemp("", "libproposer"); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", filepath.Join(libraryFolder, "libproposer.so"), ".")
	// The build with OpenCV sets flags that this one must not have: these are the defaults.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "CGO_CXXFLAGS=-O2 -g", "CGO_LDFLAGS=-O2 -g")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if libraryFolder != "" {
		os.RemoveAll(libraryFolder)
	}
	os.Exit(code)
}

// libraryDir returns the folder of the library, which is built from the package's files.
func libraryDir(t testing.TB) string {
	t.Helper()
	if err := buildLibrary(); err != nil {
		t.Fatal(err)
	}
	return libraryFolder
}

// compile compiles a C or C++ program against the library and returns its name.
func compile(t testing.TB, source string, flags ...string) string {
	t.Helper()
	dir := libraryDir(t)
	compiler, standard := e2e.Program(t, "cc", "gcc", "clang"), "-std=c11"
	if strings.HasSuffix(source, ".cpp") {
		compiler, standard = e2e.Program(t, "c++", "g++", "clang++"), "-std=c++11"
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	args := append([]string{
		standard, "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread", "-D_DEFAULT_SOURCE",
		"-o", program, source, "-I" + here, "-L" + dir, "-lproposer", "-Wl,-rpath," + dir,
	}, flags...)
	if out, err := exec.CommandContext(t.Context(), compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", source, err, out)
	}
	return program
}

// Functions and arguments of testdata/driver.c.
const (
	searchFunction = iota
	searchFileFunction
	segmentFunction
	segmentFileFunction
	treeFunction
)

const (
	nullImage = 1 << iota
	nullData
	nullOptions
	nullResult
	freedToken
	canceledToken
	unmappedData
)

// request is a request to testdata/driver.c.
type request struct {
	Function, Width, Height, Channels, Order, Null int32
	Row, Pixel, Channel                            int64
	Offset                                         int64

	data    []byte
	options string
}

// response is a response of testdata/driver.c.
type response struct {
	status int
	err    string

	width, height, count, leaves int
	boxes                        [][4]int32
	scores                       []float32
	masks                        []string
	warning                      string
	labels                       []int32
	nodes                        []node
}

type node struct {
	Box        [4]int32
	Size       int32
	Children   [2]int32
	Parent     int32
	Similarity float32
}

// driver is a running testdata/driver.c.
type driver struct {
	t   testing.TB
	in  *bufio.Writer
	out *bufio.Reader
}

// startDriver compiles and starts the driver.
func startDriver(t testing.TB) *driver {
	t.Helper()
	cmd := exec.Command(compile(t, "testdata/driver.c"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("driver: %v\n%s", err, &stderr)
		}
	})
	return &driver{t, bufio.NewWriter(in), bufio.NewReader(out)}
}

// call sends a request and returns the response.
func (d *driver) call(q request) response {
	d.t.Helper()
	order := binary.NativeEndian
	head := []any{
		q.Function, q.Width, q.Height, q.Channels, q.Order, q.Null, q.Row, q.Pixel, q.Channel, q.Offset,
		int64(len(q.data)), int64(len(q.options)),
	}
	for _, v := range head {
		if err := binary.Write(d.in, order, v); err != nil {
			d.t.Fatal(err)
		}
	}
	d.in.Write(q.data)
	d.in.WriteString(q.options)
	if err := d.in.Flush(); err != nil {
		d.t.Fatalf("driver: %v", err)
	}

	read := func(v any) {
		if err := binary.Read(d.out, order, v); err != nil {
			d.t.Fatalf("driver: %v", err)
		}
	}
	number := func() int {
		var n int32
		read(&n)
		return int(n)
	}
	text := func() string {
		b := make([]byte, max(number(), 0))
		if _, err := io.ReadFull(d.out, b); err != nil {
			d.t.Fatalf("driver: %v", err)
		}
		return string(b)
	}
	r := response{status: number()}
	if r.status != 0 {
		r.err = text()
		return r
	}
	r.width, r.height = number(), number()
	switch q.Function {
	case treeFunction:
		r.leaves, r.count = number(), number()
		r.labels, r.nodes = make([]int32, r.width*r.height), make([]node, r.count)
		read(r.labels)
		read(r.nodes)
	case segmentFunction, segmentFileFunction:
		r.count = number()
		r.labels = make([]int32, r.width*r.height)
		read(r.labels)
		r.warning = text()
	default:
		r.count = number()
		r.boxes, r.scores = make([][4]int32, r.count), make([]float32, r.count)
		read(r.boxes)
		read(r.scores)
		if number() != 0 {
			r.masks = make([]string, r.count)
			for i := range r.masks {
				r.masks[i] = text()
			}
		}
		r.warning = text()
	}
	return r
}

// run runs a program and returns its output.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	return string(e2e.Output(t, exec.CommandContext(t.Context(), program, args...)))
}

func TestThreads(t *testing.T) { run(t, compile(t, "testdata/threads.c")) }

func TestCancel(t *testing.T) {
	t.Log(run(t, compile(t, "testdata/cancel.c")))
}

func TestProcess(t *testing.T) {
	name := filepath.Join(libraryDir(t), "libproposer.so")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	duplicate := filepath.Join(t.TempDir(), "copy.so")
	if err := os.WriteFile(duplicate, data, 0o600); err != nil {
		t.Fatal(err)
	}
	program := compile(t, "testdata/process.c", "-Wl,--as-needed")
	t.Log(run(t, program, name, duplicate))
}

// linkedPackages returns the packages that the library links.
func linkedPackages(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	return strings.Fields(string(e2e.Output(t, cmd)))
}

func TestLinkedPackages(t *testing.T) {
	packages := linkedPackages(t)
	if !slices.Contains(packages, "github.com/proposer/proposer/selective") {
		t.Fatalf("packages %q", packages)
	}
	for _, name := range packages {
		for _, forbidden := range []string{
			"net", "os/exec", "os/signal", "os/user", "crypto", "gocv.io", "gonum.org", "github.com/prometheus",
			"github.com/proposer/proposer/api", "github.com/proposer/proposer/internal/batch",
			"github.com/proposer/proposer/objectness/train",
		} {
			if name == forbidden || strings.HasPrefix(name, forbidden+"/") {
				t.Errorf("links %s", name)
			}
		}
	}
}

// The library exports the functions that proposer.h declares and nothing else.
func TestExportedSymbols(t *testing.T) {
	f, err := elf.Open(filepath.Join(libraryDir(t), "libproposer.so"))
	if err != nil {
		t.Skip("not an ELF library: ", err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range libraries {
		if !regexp.MustCompile(`^(ld-linux.*|libc|libpthread)\.so`).MatchString(name) {
			t.Errorf("needs %s", name)
		}
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			exported = append(exported, s.Name)
		}
	}
	header, err := os.ReadFile("proposer.h")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, m := range regexp.MustCompile(`(?m)^[a-z].*?(proposer_[a-z_]+)\(`).FindAllSubmatch(header, -1) {
		declared = append(declared, string(m[1]))
	}
	slices.Sort(exported)
	slices.Sort(declared)
	if !slices.Equal(exported, declared) {
		t.Errorf("exported %q, declared %q", exported, declared)
	}
}

// Functions that return a status call no Go in a child of fork, where they would wait forever.
func TestStatusFunctionsRequireRuntime(t *testing.T) {
	files, err := filepath.Glob("*.c")
	if err != nil {
		t.Fatal(err)
	}
	functions := regexp.MustCompile(`(?s)EXPORT int (\w+)\([^{]*\{\s*(\w*)`)
	n := 0
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range functions.FindAllSubmatch(source, -1) {
			n++
			if string(m[2]) != "REQUIRE_RUNTIME" {
				t.Errorf("%s: %s begins with %q, want REQUIRE_RUNTIME", name, m[1], m[2])
			}
		}
	}
	if n < 7 {
		t.Errorf("found %d functions", n)
	}
}

func TestMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip(err)
	}
	var allocated, total int // in KiB
	out := run(t, compile(t, "testdata/memory.c"), "500")
	if _, err := fmt.Sscan(out, &allocated, &total); err != nil {
		t.Fatal(err, out)
	}
	t.Logf("%d KiB with malloc, %d KiB in all", allocated, total)
	// The smallest result takes a kilobyte, the pixels nine.
	if allocated > 100 || total > 32<<10 {
		t.Errorf("450 calls take %d KiB with malloc, %d KiB in all", allocated, total)
	}
}

// The header compiles without warnings in every standard of C and C++ that is in use.
func TestHeader(t *testing.T) {
	for _, c := range []struct {
		language, compiler string
		standards          []string
	}{
		{"c", e2e.Program(t, "cc", "gcc", "clang"), []string{"c99", "c11", "c17"}},
		{"c++", e2e.Program(t, "c++", "g++", "clang++"), []string{"c++98", "c++11", "c++17", "c++20"}},
	} {
		for _, standard := range c.standards {
			t.Run(standard, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), c.compiler, "-std="+standard, "-fsyntax-only", "-Wall", "-Wextra",
					"-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror", "-x", c.language, "-include", "proposer.h", os.DevNull)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

func TestABI(t *testing.T) {
	if strconv.IntSize != 64 {
		t.Skip("the sizes are those of machines with 64 bits")
	}
	run(t, compile(t, "testdata/abi.c"))
}
