// Package floors holds the house together: a test that every package imports
// only packages on floors below its own, and that the lower floors stay pure Go.
package floors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/proposer/proposer"

// floors are the packages' floors. A new folder has to be entered here.
var floors = map[string]int{
	"internal/npz":       0,
	"internal/option":    0,
	"internal/shelf":     0,
	"internal/simd":      0,
	"internal/smallfile": 0,

	"box":                  1,
	"raster":               1,
	"mask":                 2,
	"segment":              2,
	"similarity":           2,
	"hierarchy":            2,
	"imbalance":            2,
	"selective":            3,
	"objectness":           4,
	"imageio":              5,
	"export":               5,
	"evaluate":             5,
	"internal/credentials": 5,
	"internal/selfsigned":  5,
	"internal/settings":    5,
	"batch/storage":        5,
	"pipeline":             6,
	"api/oip":              6,
	"rois":                 6,
	"batch/source":         6,
	"api/web":              6,
	"api":                  7,
	"batch":                7,
	"batch/storage/cloud":  7, // so that only programs import it
	"queue":                7,
	"cmd/proposer":         8,

	// Programs that show the house off, and may use all of it and the workshops.
	"internal/bench":             show,
	"internal/load":              show,
	"examples":                   show,
	"examples/client-go":         show,
	"examples/two-stage/dataset": show,
	"internal/scene/draw":        show,

	// For tests and shows: no other package of the house may import them but in its tests.
	"docker":             workshop,
	"internal/adversity": workshop,
	"internal/floors":    workshop,
	"internal/golden":    workshop,
	"internal/natural":   workshop,
	"internal/rate":      workshop,
	"internal/scene":     workshop,
}

const (
	workshop         = -1
	show             = 9
	workshopMay      = 1 // the highest floor that a workshop imports
	pure             = 4 // the highest floor that is pure Go, without OpenCV
	opencv           = "gocv.io/x/gocv"
	opencvRoom       = "imageio"
	chi              = "github.com/go-chi/chi"
	cgo              = "runtime/cgo"
	bareFloorsAllows = "golang.org/x/sys/cpu, golang.org/x/sync and gonum.org/v1/gonum/blas"
)

// listed is a package as go list tells it.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// violations are the rules that the packages break, a sentence each.
func violations(packages []listed) []string {
	var found []string
	standard := map[string]bool{"C": true}
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	for _, p := range packages {
		name, ours := local(p.ImportPath)
		if !ours {
			continue
		}
		report := func(format string, args ...any) {
			found = append(found, name+" "+fmt.Sprintf(format, args...))
		}
		floor, known := floors[name]
		if !known {
			report("has no floor: enter it in internal/floors")
			continue
		}
		for _, path := range p.Imports {
			other, ours := local(path)
			below, known := floors[other]
			switch {
			case ours && !known:
				// Reported where the other package itself is.
			case ours && floor == workshop:
				if below > workshopMay {
					report("imports %s, floor %d: workshops import floor %d at most", other, below, workshopMay)
				}
			case ours && below == workshop && floor != show:
				report("imports %s: it is for tests and shows only", other)
			case ours && below >= floor:
				report("(floor %d) imports %s (floor %d): only floors below are allowed", floor, other, below)
			case within(path, opencv) && name != opencvRoom:
				report("imports %s: only %s knows OpenCV", path, opencvRoom)
			case floor <= pure && floor != workshop && !ours && !standard[path] && !allowedBelow(path):
				report("(floor %d) imports %s: floors 0 to %d import nothing from outside but %s", floor, path, pure, bareFloorsAllows)
			}
		}
		if floor > pure {
			continue
		}
		for _, path := range append(slices.Clone(p.Imports), p.Deps...) {
			if path == "C" || path == cgo || within(path, opencv) || within(path, chi) {
				report("(floor %d) depends on %s: floors 0 to %d are pure Go", floor, path, pure)
				break
			}
		}
	}
	return found
}

func allowedBelow(path string) bool {
	return path == "golang.org/x/sys/cpu" || within(path, "golang.org/x/sync") || within(path, "gonum.org/v1/gonum/blas")
}

// within tells whether a package is root or lies below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

// local is the folder of one of our own packages.
func local(path string) (folder string, ours bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// run is go with arguments, at the module's root.
func run(t *testing.T, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), env...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, &problems)
	}
	return out
}

// builds are the ways to build the house: with Go's own decoders and with OpenCV.
var builds = map[string][]string{
	"go":     {"CGO_ENABLED=0", "GOFLAGS="},
	"opencv": {"CGO_ENABLED=1", "GOFLAGS=-tags=gocv_specific_modules,customenv"},
}

func TestFloors(t *testing.T) {
	for name, env := range builds {
		t.Run(name, func(t *testing.T) {
			list := json.NewDecoder(bytes.NewReader(run(t, env, "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", "./...")))
			var packages []listed
			for {
				var p listed
				if err := list.Decode(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				packages = append(packages, p)
			}
			for _, want := range []string{"box", "raster", "selective"} {
				if !slices.ContainsFunc(packages, func(p listed) bool { return p.ImportPath == module+"/"+want }) {
					t.Errorf("%s is not among the %d packages", want, len(packages))
				}
			}
			for _, v := range violations(packages) {
				t.Error(v)
			}
		})
	}
}

func TestLowerFloorsBuildWithoutCgo(t *testing.T) {
	args := []string{"build"}
	for path := range strings.Lines(string(run(t, builds["go"], "list", "./..."))) {
		path = strings.TrimSpace(path)
		folder, _ := local(path)
		if floor := floors[folder]; floor > workshop && floor <= pure {
			args = append(args, path)
		}
	}
	if len(args) == 1 {
		t.Fatal("there are no lower floors")
	}
	run(t, builds["go"], args...)
}

// The rules catch what they are there for.
func TestViolations(t *testing.T) {
	outside := []listed{
		{ImportPath: "fmt", Standard: true},
		{ImportPath: "net", Standard: true, Imports: []string{"C"}},
		{ImportPath: opencv},
		{ImportPath: "example.com/x"},
	}
	for _, c := range []struct {
		name    string
		imports []string
		deps    []string
		want    string // part of the sentence; empty if all is well
	}{
		{"selective", []string{"fmt", module + "/segment", module + "/box", "golang.org/x/sync/errgroup"}, nil, ""},
		{"internal/simd", []string{"golang.org/x/sys/cpu"}, nil, ""},
		{"raster", []string{module + "/internal/simd"}, nil, ""},
		{"imageio", []string{"fmt", opencv, module + "/raster"}, []string{cgo}, ""},
		{"api", []string{chi + "/v5", module + "/pipeline"}, nil, ""},
		{"internal/scene", []string{module + "/raster", "fmt"}, nil, ""},
		{"internal/scene/draw", []string{module + "/internal/scene", module + "/imageio"}, []string{cgo, opencv}, ""},
		{"box", []string{module + "/raster"}, nil, "box (floor 1) imports raster (floor 1)"},
		{"segment", []string{module + "/selective"}, nil, "segment (floor 2) imports selective (floor 3)"},
		{"pipeline", []string{module + "/internal/scene"}, nil, "pipeline imports internal/scene"},
		{"internal/scene", []string{module + "/segment"}, nil, "internal/scene imports segment, floor 2"},
		{"raster", []string{"example.com/x"}, nil, "raster (floor 1) imports example.com/x"},
		{"raster", []string{"C"}, nil, "raster (floor 1) depends on C"},
		{"selective", []string{"net"}, []string{"net", cgo}, "selective (floor 3) depends on runtime/cgo"},
		{"selective", nil, []string{"golang.org/x/sync/errgroup", chi + "/v5"}, "selective (floor 3) depends on " + chi},
		{"internal/simd", []string{module + "/box"}, nil, "internal/simd (floor 0) imports box (floor 1)"},
		{"internal/simd", []string{"C"}, nil, "internal/simd (floor 0) depends on C"},
		{"pipeline", []string{opencv}, nil, "pipeline imports gocv.io/x/gocv"},
		{"attic", nil, nil, "attic has no floor"},
	} {
		p := listed{ImportPath: module + "/" + c.name, Imports: c.imports, Deps: c.deps}
		got := violations(append(slices.Clone(outside), p))
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("%s with %v, %v: %q; want %q", c.name, c.imports, c.deps, got, c.want)
		}
	}
}
