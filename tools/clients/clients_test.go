// Package clients tests the OpenAPI description of the service with generators of clients: each makes
// a client, which is compiled and calls the service.
package clients

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/scene"

	// What the generated clients import; go.mod has to require it.
	_ "github.com/go-faster/errors"
	_ "github.com/go-faster/jx"
	_ "github.com/oapi-codegen/runtime"
	_ "github.com/oapi-codegen/runtime/types"
	_ "github.com/ogen-go/ogen/conv"
	_ "github.com/ogen-go/ogen/http"
	_ "github.com/ogen-go/ogen/middleware"
	_ "github.com/ogen-go/ogen/ogenerrors"
	_ "github.com/ogen-go/ogen/otelogen"
	_ "github.com/ogen-go/ogen/uri"
	_ "github.com/ogen-go/ogen/validate"
	_ "go.opentelemetry.io/otel"
	_ "go.opentelemetry.io/otel/metric"
	_ "go.opentelemetry.io/otel/trace"
)

const description = "../../api/openapi.yaml"

// The clients are generated into a temporary folder, which an overlay makes a package of this module,
// together with the tests that call the service.
func TestGo(t *testing.T) {
	for _, c := range []struct {
		name     string
		generate func(dir string) []string
	}{
		{"oapi-codegen", func(dir string) []string {
			return []string{"oapi-codegen", "-config", "testdata/oapi-codegen/config.yaml", "-o", filepath.Join(dir, "client.go"), description}
		}},
		{"ogen", func(dir string) []string {
			return []string{"ogen", "-config", "testdata/ogen/config.yaml", "-package", "ogen", "-target", dir, description}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e2e.Only(t, "compiles a generator and a generated client")
			t.Parallel()
			dir := t.TempDir()
			run(t, nil, "go", append([]string{"tool"}, c.generate(dir)...)...)
			overlay := filepath.Join(t.TempDir(), "overlay.json")
			writeOverlay(t, overlay, c.name, dir, filepath.Join("testdata", c.name))
			calls := filepath.Join(t.TempDir(), "calls")
			run(t, nil, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", calls, "./"+c.name)
			run(t, serviceEnv(t), calls)
		})
	}
}

// packages is the folder of the npm packages.
const packages = "npm/node_modules"

// npm returns the path of a program of an npm package. Without the packages it skips the test, also
// with PROPOSER_E2E=1: not every machine that runs it can reach the registry.
func npm(t *testing.T, program string) string {
	t.Helper()
	e2e.Only(t, "runs programs of npm packages")
	path := filepath.Join(packages, ".bin", program)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%v: install Node.js and the packages: npm ci --ignore-scripts --prefix tools/clients/npm", err)
	}
	return absolute(t, path)
}

// openapi-typescript generates the types of a client.
func TestTypeScript(t *testing.T) {
	generate, compile := npm(t, "openapi-typescript"), npm(t, "tsc")
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"calls.ts", "package.json", "tsconfig.json"} {
		content, err := os.ReadFile(filepath.Join("npm", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(absolute(t, packages), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	run(t, nil, generate, description, "-o", filepath.Join(dir, "description.ts"))
	run(t, nil, compile, "-p", dir)
	run(t, serviceEnv(t), "node", "--test", filepath.Join(dir, "calls.js"))
}

// The description has no errors and no warnings by the recommended rules of two linters.
func TestLint(t *testing.T) {
	t.Run("redocly", func(t *testing.T) {
		lint := npm(t, "redocly")
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), lint, "lint", "--format", "json", description)
		cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
		output, err := cmd.Output()
		var result struct {
			Totals   *struct{ Errors, Warnings int }
			Problems []struct{ RuleID, Message string }
		}
		if err := json.Unmarshal(output, &result); err != nil || result.Totals == nil {
			t.Fatalf("%v in %q", err, output)
		}
		if err != nil || result.Totals.Errors > 0 || result.Totals.Warnings > 0 {
			t.Errorf("%v, %+v", err, result)
		}
	})
	t.Run("spectral", func(t *testing.T) {
		lint := npm(t, "spectral")
		t.Parallel()
		run(t, nil, lint, "lint", "--ruleset", "npm/spectral.yaml", "--fail-severity", "hint", description)
	})
}

// writeOverlay writes an overlay that makes the Go files of the folders a package in the folder name.
func writeOverlay(t *testing.T, overlay, name string, folders ...string) {
	t.Helper()
	replace := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v: want Go files", folder, err)
		}
		for _, file := range files {
			replace[absolute(t, filepath.Join(name, filepath.Base(file)))] = absolute(t, file)
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(overlay, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// serviceEnv starts two services and returns environment variables: SERVICE and LIMITED, which
// requires the token "secret" and allows one request a minute, are URLs; IMAGES is a folder.
func serviceEnv(t *testing.T) []string {
	t.Helper()
	start := func(change func(*api.Config)) string {
		cfg := api.DefaultConfig()
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
		change(&cfg)
		s, err := api.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		hs := httptest.NewServer(s)
		t.Cleanup(hs.Close)
		return hs.URL
	}
	images := t.TempDir()
	a, b := scene.Render(1, 64, 48, 3).PNG(), scene.Render(2, 48, 64, 3).PNG()
	for name, content := range map[string][]byte{"a.png": a, "b.png": b, "broken.png": a[:len(a)/2], "text.txt": []byte("no image, but text")} {
		if err := os.WriteFile(filepath.Join(images, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{
		"SERVICE=" + start(func(*api.Config) {}),
		"LIMITED=" + start(func(c *api.Config) { c.RateLimit, c.Authenticator = 1, secret{} }),
		"IMAGES=" + images,
	}
}

type secret struct{}

func (secret) Authenticate(token string) (name string, ok bool) { return "client", token == "secret" }

// run runs a program and fails the test with its output if it fails.
func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
}
