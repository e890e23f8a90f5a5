package api

import (
	"strings"
	"testing"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateReportsAllErrors(t *testing.T) {
	wrong := Config{MaxBoxes: -1, Queue: -1, Threads: -1, CacheBytes: -1, RateLimit: -1, ShutdownTimeout: -1}
	wrong.MaxImageBytes, wrong.MaxImagePixels, wrong.MaxImageSide = -1, -1, -1
	err := wrong.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "api: "), "\n", " want ")
	for _, name := range []string{
		"max-bytes -1", "max-pixels -1", "max-picture-side -1", "max-boxes -1", "max-pictures 0", "workers 0", "queue -1", "threads -1",
		"work-pixels 0", "body-memory 0", "max-connections 0", "cache -1", "rate-limit -1",
		" timeout 0s", "header-timeout 0s", "body-timeout 0s", "write-timeout 0s", "grace -1ns", "logger", "registry",
	} {
		if !strings.Contains(text, name) {
			t.Errorf("got %v, want it to name %q", err, name)
		}
	}
}
