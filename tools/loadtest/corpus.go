package main

import (
	"bytes"
	"fmt"
	"image/gif"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// maxImages bounds the images read from a folder.
const maxImages = 64

// A testImage is an image file with the size of the image after EXIF orientation.
type testImage struct {
	name          string
	data          []byte
	width, height int
}

// A corpus is the images that requests send: JPEG, PNG and a small one in each format.
type corpus struct{ jpeg, png, formats []*testImage }

// newCorpus returns rendered scenes, with the JPEG files replaced by the images of the folder if there is one.
func newCorpus(folder string) (*corpus, error) {
	scenes, err := renderedCorpus()
	if err != nil || folder == "" {
		return scenes, err
	}
	c := *scenes
	c.jpeg, err = readFolder(folder)
	return &c, err
}

var renderedCorpus = sync.OnceValues(func() (*corpus, error) {
	var c corpus
	for i := range 6 {
		s := scene.Render(uint64(i+1), 320+64*(i%3), 240+32*(i%2), 5)
		img, err := newTestImage(fmt.Sprintf("scene%d.png", i), s.PNG())
		if err != nil {
			return nil, err
		}
		c.png = append(c.png, img)
		if img, err = newTestImage(fmt.Sprintf("scene%d.jpg", i), s.JPEG(85)); err != nil {
			return nil, err
		}
		c.jpeg = append(c.jpeg, img)
	}
	var err error
	c.formats, err = allFormats()
	return &c, err
})

func newTestImage(name string, data []byte) (*testImage, error) {
	h, err := imageio.Inspect(data, imageio.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	width, height := h.Upright()
	return &testImage{name, data, width, height}, nil
}

// readFolder returns at most maxImages images, evenly spaced over the sorted names.
func readFolder(folder string) ([]*testImage, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("image folder: %w", err)
	}
	var names []string
	for _, e := range entries {
		if slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(filepath.Ext(e.Name()))) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no images in %s: want JPEG or PNG files", folder)
	}
	n := min(len(names), maxImages)
	all := make([]*testImage, n)
	for i := range all {
		name := names[i*len(names)/n]
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		if all[i], err = newTestImage(name, data); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// allFormats returns one small image in each format that the service reads.
func allFormats() ([]*testImage, error) {
	s := scene.Render(3, 96, 64, 3)
	var b, t, g bytes.Buffer
	img := s.Image.ToImage()
	if err := bmp.Encode(&b, img); err != nil {
		return nil, err
	}
	if err := tiff.Encode(&t, img, &tiff.Options{Compression: tiff.Deflate}); err != nil {
		return nil, err
	}
	if err := gif.Encode(&g, img, nil); err != nil {
		return nil, err
	}
	var all []*testImage
	for name, data := range map[string][]byte{
		"a.jpg": s.JPEG(90), "a.png": s.PNG(), "a.bmp": b.Bytes(), "a.tif": t.Bytes(), "a.webp": tinyWebP, "a.gif": g.Bytes(),
	} {
		img, err := newTestImage(name, data)
		if err != nil {
			return nil, err
		}
		all = append(all, img)
	}
	slices.SortFunc(all, func(a, b *testImage) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// tinyWebP is one lossless pixel; there is no WebP encoder in Go's libraries.
var tinyWebP = []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00")
