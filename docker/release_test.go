package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/e2e"
)

// The programs that .ci/release/images calls print their arguments to the file CALLS, and what the script reads.
var publishers = map[string]string{
	"docker": `
case $* in
*"imagetools inspect"*) echo sha256:b0 ;;
esac
while [ $# -gt 0 ]; do
	[ "$1" != --metadata-file ] || printf '{\n  "containerimage.digest": "sha256:%s",\n  "other": ""\n}\n' "${2##*/}" >"$2"
	shift
done`,
	"cosign": "",
	"helm":   `[ "$1" != push ] || printf 'Pushed: it\nDigest: sha256:c4\n' >&2`,
}

// TestReleaseImages checks what .ci/release/images builds, pushes and signs, and under which tags, with programs that only
// print how they are called.
func TestReleaseImages(t *testing.T) {
	git := e2e.Program(t, "git")
	e2e.Program(t, "bash")
	script, dockerfile := read(t, "../.ci/release/images"), read(t, "../Dockerfile")

	// run runs the script for a version in a repository with the given tags and returns its calls, a line each.
	run := func(t *testing.T, version string, dirty bool, tags ...string) (calls []string, output string, err error) {
		t.Helper()
		dir, bin := t.TempDir(), t.TempDir()
		calls = nil
		write := func(name, contents string, mode os.FileMode) {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(contents), mode); err != nil {
				t.Fatal(err)
			}
		}
		log := filepath.Join(bin, "calls")
		for name, body := range publishers {
			write(filepath.Join(bin, name), "#!/bin/sh\necho \""+name+" $*\" >>\"$CALLS\"\n"+body+"\n", 0o755)
		}
		write(filepath.Join(dir, ".ci/release/images"), script, 0o755)
		write(filepath.Join(dir, "Dockerfile"), dockerfile, 0o644)
		write(filepath.Join(dir, ".gitignore"), "/dist/\n", 0o644)
		command := func(name string, args ...string) *exec.Cmd {
			cmd := exec.CommandContext(t.Context(), name, args...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "CALLS="+log, "PATH="+bin+":"+os.Getenv("PATH"), "BUILD_IMAGE=", "OPENCV_PLATFORMS=",
				"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
				"GIT_AUTHOR_DATE=@1700000000 +0100", "GIT_COMMITTER_DATE=@1700000000 +0100")
			return cmd
		}
		commands := [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-qm", "it"}}
		for _, tag := range tags {
			commands = append(commands, []string{"tag", tag})
		}
		for _, args := range commands {
			if out, err := command(git, args...).CombinedOutput(); err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, out)
			}
		}
		if dirty {
			write(filepath.Join(dir, "Dockerfile"), dockerfile+"# changed\n", 0o644)
		}
		revision, err := command(git, "rev-parse", "HEAD").Output()
		if err != nil {
			t.Fatal(err)
		}
		out, err := command(".ci/release/images", version, "registry.test/owner/proposer").CombinedOutput()
		if data, readErr := os.ReadFile(log); readErr == nil {
			calls = strings.Split(strings.ReplaceAll(string(data), strings.TrimSpace(string(revision)), "REVISION"), "\n")
		}
		return calls, string(out), err
	}

	t.Run("calls", func(t *testing.T) {
		calls, out, err := run(t, "v1.2.3", false, "v1.2.3")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		const build = " --pull --no-cache --build-arg BUILD_IMAGE=golang:1.26-bookworm@sha256:b0" +
			" --build-arg VERSION=v1.2.3 --build-arg SOURCE_DATE_EPOCH=1700000000" +
			" --label org.opencontainers.image.version=v1.2.3 --label org.opencontainers.image.revision=REVISION" +
			" --label org.opencontainers.image.created=2023-11-14T22:13:20Z --provenance mode=max --sbom true"
		const output = " --output type=image,push=true,oci-mediatypes=true,rewrite-timestamp=true ."
		want := []string{
			"docker buildx imagetools inspect golang:1.26-bookworm --format {{.Manifest.Digest}}",
			"docker buildx build --target opencv --platform linux/amd64 --tag registry.test/owner/proposer:v1.2.3" +
				" --tag registry.test/owner/proposer:1.2 --tag registry.test/owner/proposer:latest" + build +
				" --metadata-file dist/opencv.json" + output,
			"cosign sign --yes registry.test/owner/proposer@sha256:opencv.json",
			"docker buildx build --target slim --platform linux/amd64,linux/arm64 --tag registry.test/owner/proposer:v1.2.3-slim" +
				" --tag registry.test/owner/proposer:1.2-slim --tag registry.test/owner/proposer:latest-slim" + build +
				" --metadata-file dist/slim.json" + output,
			"cosign sign --yes registry.test/owner/proposer@sha256:slim.json",
			"helm package docker/helm/proposer --version 1.2.3 --app-version v1.2.3 --destination dist",
			"helm push dist/proposer-1.2.3.tgz oci://registry.test/owner/charts",
			"cosign sign --yes registry.test/owner/charts/proposer@sha256:c4",
			"",
		}
		if got, want := strings.Join(calls, "\n"), strings.Join(want, "\n"); got != want {
			t.Errorf("got the calls\n%s\nwant\n%s", got, want)
		}
		if want := "registry.test/owner/charts/proposer@sha256:c4 (chart)\n"; !strings.Contains(out, want) {
			t.Errorf("got the output\n%swant %s", out, want)
		}
	})

	for _, test := range []struct {
		name, version string
		others        []string
		want          string // tags without -slim
	}{
		{"the newest version", "v1.10.0", []string{"v1.9.3", "v1.9.12"}, "v1.10.0 1.10 latest"},
		{"a patch of an older minor version", "v1.9.4", []string{"v1.9.3", "v1.10.0"}, "v1.9.4 1.9"},
		{"an older patch", "v1.9.4", []string{"v1.9.12"}, "v1.9.4"},
		{"a prerelease", "v1.10.0-rc.1", []string{"v1.9.3"}, "v1.10.0-rc.1"},
		{"a version after prereleases of the next", "v1.9.4", []string{"v1.10.0-rc.1", "v1.9.4-rc.2"}, "v1.9.4 1.9 latest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls, out, err := run(t, test.version, false, append(test.others, test.version)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var got []string
			for _, call := range calls {
				for _, field := range strings.Fields(call) {
					if tag, ok := strings.CutPrefix(field, "registry.test/owner/proposer:"); ok && !strings.HasSuffix(tag, "-slim") {
						got = append(got, tag)
					}
				}
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("got the tags %s, want %s", got, test.want)
			}
		})
	}

	for _, test := range []struct {
		name, version string
		dirty         bool
		want          string
	}{
		{"no version", "main", false, "want a version such as v1.2.3"},
		{"no tag", "v1.2.4", false, "want a clean work tree of this tag"},
		{"uncommitted changes", "v1.2.3", true, "want a clean work tree of this tag"},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls, out, err := run(t, test.version, test.dirty, "v1.2.3")
			if err == nil || !strings.Contains(out, test.want) {
				t.Errorf("got %v and the output %q, want an error with %q", err, out, test.want)
			}
			if len(calls) > 0 {
				t.Errorf("got the calls %q, want none", calls)
			}
		})
	}
}
