package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/testutil/e2e"
)

// torch returns a Python with PyTorch. Without one it skips the test, or fails it in end-to-end
// runs.
func torch(t *testing.T) string {
	t.Helper()
	sources, err := filepath.Glob("two-stage/*.py")
	for _, file := range sources { // makes go test's cache depend on the files
		if _, err := os.Stat(file); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil || len(sources) == 0 {
		t.Fatalf("source files %q, %v", sources, err)
	}
	return e2e.Python(t, "import numpy, PIL, torch, torchvision", "NumPy, Pillow, torch and torchvision")
}

func TestTwoStageParts(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a little")
	}
	cmd := exec.CommandContext(t.Context(), torch(t), "-m", "unittest")
	cmd.Dir = "two-stage"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The whole example with few images: data, RoIs, proposals, training, mAP, and the service.
func TestTwoStage(t *testing.T) {
	e2e.Only(t, "takes a minute")
	python, dir := torch(t), t.TempDir()
	for name, source := range map[string]string{"proposer": "../cmd/proposer", "dataset": "./two-stage/dataset"} {
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), source).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), python, "two-stage/two_stage.py", "--quick", "--out", filepath.Join(dir, "out"),
		"--proposer", filepath.Join(dir, "proposer"), "--dataset", filepath.Join(dir, "dataset")).CombinedOutput()
	text := string(out)
	if err != nil || strings.Count(text, "\n| sampled | ") != 4 || strings.Count(text, "\n| all | ") != 4 ||
		!strings.Contains(text, "the detections on the service's proposals equal those on the file's") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := os.Stat(filepath.Join(dir, "out", "detections.png")); err != nil {
		t.Error(err)
	}
}
