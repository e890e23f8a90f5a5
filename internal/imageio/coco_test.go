package imageio

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/proposer/proposer/internal/testutil/photos"
)

// TestPhotographs reads every photograph of the development set.
func TestPhotographs(t *testing.T) {
	for _, file := range photos.Paths(t) {
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
