// Package arch tests what packages link, directly or through others. What a package imports directly is
// checked by depguard: see .golangci.yml.
package arch

import (
	"go/build"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/proposer/proposer/"

// addDeps adds to deps what a package of the module imports, directly or through other packages of the
// module, in the build with OpenCV. It reads the files itself, so that a cached result of the test is not
// used after a change.
func addDeps(t *testing.T, deps map[string]bool, pkg string) {
	t.Helper()
	ctx := build.Default
	ctx.CgoEnabled = true
	ctx.BuildTags = []string{"gocv_specific_modules", "customenv"}
	p, err := ctx.ImportDir(filepath.Join("../..", filepath.FromSlash(pkg)), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range p.Imports {
		if deps[path] {
			continue
		}
		deps[path] = true
		if inner, ok := strings.CutPrefix(path, module); ok {
			addDeps(t, deps, inner)
		}
	}
}

func TestLinkedPackages(t *testing.T) {
	const (
		core    = "C google.golang.org/ gocv.io/ github.com/go-chi/ gonum.org/v1/plot " + module + "api " + module + "internal/batch"
		service = "google.golang.org/grpc gonum.org/v1/plot " + module + "objectness/train " + module + "internal/batch"
	)
	for _, c := range []struct{ packages, forbidden string }{
		{"box mask raster segment segment/felzenszwalb similarity hierarchy selective", core + " gonum.org/"},
		{"objectness", core + " " + module + "objectness/train"},
		{"imbalance dataset evaluate", core},
		{"api", service},
	} {
		for _, pkg := range strings.Fields(c.packages) {
			t.Run(pkg, func(t *testing.T) {
				deps := map[string]bool{}
				addDeps(t, deps, pkg)
				for dep := range deps {
					for _, forbidden := range strings.Fields(c.forbidden) {
						if dep == forbidden || strings.HasPrefix(dep, strings.TrimSuffix(forbidden, "/")+"/") {
							t.Errorf("links %s", dep)
						}
					}
				}
			})
		}
	}
}
