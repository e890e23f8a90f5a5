package main

import (
	"bytes"
	"image"
	_ "image/jpeg" // formats of scenes
	_ "image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/proposer/proposer/internal/testutil/scene"
)

func TestDraw(t *testing.T) {
	for _, c := range []struct{ name, mode, format string }{
		{"png", "", "png"},
		{"jpeg", "", "jpeg"},
		{"with proposals", "single", "png"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "scene")
			if err := draw(scene.Render(1, 96, 64, 2), c.mode, c.format, out); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			cfg, format, err := image.DecodeConfig(bytes.NewReader(data))
			if err != nil || format != c.format || cfg.Width != 96 || cfg.Height != 64 {
				t.Errorf("got %s of %d×%d, %v: want %s of 96×64", format, cfg.Width, cfg.Height, err, c.format)
			}
		})
	}
}

func TestDrawUnknownMode(t *testing.T) {
	if err := draw(scene.Render(1, 96, 64, 2), "wild", "png", filepath.Join(t.TempDir(), "scene")); err == nil {
		t.Error("got no error: want one about the mode")
	}
}
