package main

import (
	"bytes"
	"errors"
	"fmt"
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

// mostPictures is how many of a folder are kept.
const mostPictures = 64

// A picture is a file, and the size of what it shows, upright.
type picture struct {
	name          string
	data          []byte
	width, height int
}

// album is what is sent: JPEG files, PNG files, and one small file of each format to break.
type album struct {
	jpeg, png []*picture
	whole     []*picture
}

func newAlbum(folder string) (*album, error) {
	scenes, err := drawnAlbum()
	if err != nil || folder == "" {
		return scenes, err
	}
	a := *scenes
	a.jpeg, err = readFolder(folder)
	return &a, err
}

// drawnAlbum is of scenes.
var drawnAlbum = sync.OnceValues(func() (*album, error) {
	var a album
	for i := range 6 {
		s := scene.Render(uint64(i+1), 320+64*(i%3), 240+32*(i%2), 5)
		p, err := newPicture(fmt.Sprintf("scene%d.png", i), s.PNG())
		if err != nil {
			return nil, err
		}
		a.png = append(a.png, p)
		if p, err = newPicture(fmt.Sprintf("scene%d.jpg", i), s.JPEG(85)); err != nil {
			return nil, err
		}
		a.jpeg = append(a.jpeg, p)
	}
	var err error
	a.whole, err = allFormats()
	return &a, err
})

func newPicture(name string, data []byte) (*picture, error) {
	h, err := imageio.Inspect(data, imageio.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	w, hh := h.Upright()
	return &picture{name, data, w, hh}, nil
}

// readFolder takes pictures evenly spaced over the sorted names.
func readFolder(folder string) ([]*picture, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("the folder of pictures: %w", err)
	}
	var names []string
	for _, e := range entries {
		if slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(filepath.Ext(e.Name()))) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no pictures in " + folder + ": want JPEG or PNG")
	}
	n := min(len(names), mostPictures)
	all := make([]*picture, n)
	for i := range all {
		name := names[i*len(names)/n]
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		if all[i], err = newPicture(name, data); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// allFormats is one small picture in each format that the service reads.
func allFormats() ([]*picture, error) {
	s := scene.Render(3, 96, 64, 3)
	var b, t bytes.Buffer
	if err := errors.Join(bmp.Encode(&b, s.Std()), tiff.Encode(&t, s.Std(), &tiff.Options{Compression: tiff.Deflate})); err != nil {
		return nil, err
	}
	var all []*picture
	for name, data := range map[string][]byte{
		"a.jpg": s.JPEG(90), "a.png": s.PNG(), "a.bmp": b.Bytes(), "a.tif": t.Bytes(), "a.webp": tinyWebP,
	} {
		p, err := newPicture(name, data)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *picture) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// tinyWebP is one lossless pixel: there is no encoder at hand.
var tinyWebP = []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00")
