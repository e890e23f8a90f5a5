package imageio

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRealPictures reads every photograph of the development set.
func TestRealPictures(t *testing.T) {
	files, _ := filepath.Glob("../../shared/data/coco-dev/images/*")
	if len(files) == 0 {
		t.Skip("no ../shared/data")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Decode(t.Context(), data, Options{})
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		if p.Format != "jpeg" || len(p.Image.Pix) != p.Image.Space.Planes()*p.Width*p.Height {
			t.Errorf("%s: %s, %d bytes for %d×%d", filepath.Base(file), p.Format, len(p.Image.Pix), p.Width, p.Height)
		}
	}
}
