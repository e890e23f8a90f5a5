//go:build cgo && !windows

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// examples is the folder of the clients in C and C++.
const examples = "../../examples/c/"

// writeScene writes an image file and returns its name, and what propose.Run returns for it.
func writeScene(t *testing.T, options string) (name string, result *propose.Result) {
	t.Helper()
	file := scene.Render(5, 160, 120, 4).PNG()
	name = filepath.Join(t.TempDir(), "scene.png")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := propose.ParseOptions(values(t, options))
	if err != nil {
		t.Fatal(err)
	}
	result, err = propose.Run(t.Context(), file, opts)
	if err != nil {
		t.Fatal(err)
	}
	return name, result
}

func TestExampleC(t *testing.T) {
	const options = "mode=single max=7"
	program := compile(t, examples+"boxes.c")
	name, result := writeScene(t, options)
	var want strings.Builder
	for i, b := range result.Boxes {
		fmt.Fprintf(&want, "%d %d %d %d %.6f\n", b.X0, b.Y0, b.X1, b.Y1, result.Scores[i])
	}
	if got := run(t, program, name, options); got != want.String() {
		t.Errorf("got\n%s, want\n%s", got, want.String())
	}
	out, err := exec.CommandContext(t.Context(), program, name, "max=few").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `max "few": want a whole number`) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestExampleOpenCV(t *testing.T) {
	const options = "mode=single max=7"
	include := os.Getenv("OPENCV")
	if include == "" {
		include = "/usr/include/opencv4"
	}
	if _, err := os.Stat(filepath.Join(include, "opencv2", "imgcodecs.hpp")); err != nil {
		e2e.Missing(t, fmt.Sprintf("the headers of OpenCV are missing: %v", err))
	}
	program := compile(t, examples+"boxes_opencv.cpp", "-isystem", include, "-lopencv_imgcodecs", "-lopencv_imgproc", "-lopencv_core")
	name, result := writeScene(t, options)
	var want strings.Builder
	for _, b := range result.Boxes {
		fmt.Fprintf(&want, "%d %d %d %d\n", b.X0, b.Y0, b.Width(), b.Height())
	}
	drawn := filepath.Join(t.TempDir(), "drawn.png")
	if got := run(t, program, name, options, drawn); got != want.String() {
		t.Errorf("got\n%s, want\n%s", got, want.String())
	}
	if info, err := os.Stat(drawn); err != nil || info.Size() == 0 {
		t.Errorf("drawn image: %v", err)
	}
}
