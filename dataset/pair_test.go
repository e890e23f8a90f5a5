package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// referenceImage returns the image of an id in a folder by the letter: of the files that are named
// id.EXT the one with the first extension, and of these the last in the order of bytes.
func referenceImage(t *rapid.T, folder, id string) string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, ext := range imageExtensions {
		found := ""
		for _, e := range entries {
			if rest, ok := strings.CutPrefix(e.Name(), id); ok && strings.EqualFold(rest, ext) {
				found = e.Name()
			}
		}
		if found != "" {
			return found
		}
	}
	return ""
}

// TestPairingMatchesReference opens image sets with and without objects and compares the images with
// those that the reference implementation finds.
func TestPairingMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "pairing")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		write := func(name, text string) {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ids := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab]( [ab1]|\.[ab]){0,2}`), 1, 6, rapid.ID[string]).Draw(t, "ids")
		annotated := map[string]bool{}
		extension := rapid.SampledFrom([]string{".jpg", ".JPG", ".Jpeg", ".png", ".PNG", ".webp", ".txt"})
		write("JPEGImages/other.jpg", "")
		for _, id := range ids {
			annotated[id] = true
			write("Annotations/"+id+".xml", "<annotation><filename>b.jpg</filename></annotation>")
			for _, ext := range rapid.SliceOfN(extension, 1, 3).Draw(t, "extensions") {
				write("JPEGImages/"+id+ext, "")
			}
		}
		var lines []string
		var want []string
		for _, id := range ids {
			image := referenceImage(t, filepath.Join(dir, "JPEGImages"), id)
			line := id + rapid.SampledFrom([]string{"", "", ".jpg", ".PNG", " -1", "  1", ".jpg 1", "\t0"}).Draw(t, "suffix")
			if line != id && annotated[line] || image == "" {
				continue // it means another id, or the id has no image
			}
			lines = append(lines, line)
			want = append(want, id+"="+image)
		}
		if len(lines) == 0 {
			return
		}
		// <filename> decides between several files of the id b, the only one that it names.
		write("ImageSets/Main/val.txt", strings.Join(lines, "\n"))
		for _, opts := range []Options{{}, {ImagesOnly: true}} {
			d, err := Open(filepath.Join(dir, "ImageSets/Main/val.txt"), opts)
			if err != nil {
				t.Fatal(err)
			}
			for i, img := range d.Images {
				got := img.ID + "=" + img.File
				if got != want[i] && got != "b=b.jpg" {
					t.Fatalf("%+v: line %q: got %s, want %s", opts, lines[i], got, want[i])
				}
			}
			if len(d.Images) != len(lines) {
				t.Fatal(fmt.Sprint(len(d.Images), " images of ", len(lines), " lines"))
			}
		}
	})
}
