// Package compose contains only a test.
package compose

import (
	"os"
	"regexp"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// load returns the project as compose reads it, with the variables of an environment.
func load(t *testing.T, environment []string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../../docker/compose.yml"}, cli.WithEnv(environment))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestBuild checks what compose builds: with no environment the default target, whose version is that of git as no argument
// hides it.
func TestBuild(t *testing.T) {
	type build struct {
		Image, Target string
		Args          map[string]string
	}
	for _, test := range []struct {
		name        string
		environment []string
		want        build
	}{
		{"nothing is set", nil, build{"proposer", "opencv", map[string]string{}}},
		{
			"all is set",
			[]string{"IMAGE=registry.test/proposer:v1", "TARGET=slim", "VERSION=v1"},
			build{"registry.test/proposer:v1", "slim", map[string]string{"VERSION": "v1"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			project := load(t, test.environment)
			if project.Name != "proposer" {
				t.Errorf("got the project %q, want proposer", project.Name)
			}
			s := project.Services["proposer"]
			if s.Build == nil {
				t.Fatal("the service proposer is not built")
			}
			got := build{s.Image, s.Build.Target, map[string]string{}}
			for name, value := range s.Build.Args {
				if value != nil {
					got.Args[name] = *value
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the build differs (-want +got):\n%s", diff)
			}

			dockerfile, err := os.ReadFile(s.Build.Context + "/" + s.Build.Dockerfile)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`(?m)^FROM .* AS ` + s.Build.Target + `$`).Match(dockerfile) {
				t.Errorf("the Dockerfile has no target %s", s.Build.Target)
			}
			for name := range s.Build.Args {
				if !regexp.MustCompile(`(?m)^ARG ` + name + `$`).Match(dockerfile) {
					t.Errorf("the Dockerfile has no argument %s", name)
				}
			}
		})
	}
}
