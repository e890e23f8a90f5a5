package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/proposer/proposer/dataset"
)

// FromDataset returns a source of the images of an open data set. location is the path that the
// data set was opened with. Errors are *[Error].
func FromDataset(location string, d *dataset.Dataset, o Options) (*Source, error) {
	s, err := newSource(location, o)
	if err != nil {
		return nil, err
	}
	s.location = filepath.Clean(location)
	if err := s.openDataset(d); err != nil {
		return nil, s.wrapError("", err)
	}
	return s, nil
}

func (s *Source) openDataset(d *dataset.Dataset) error {
	textID := slices.ContainsFunc(d.Images, func(img dataset.Image) bool { return img.TextID || img.ID != "" && !isNumber(img.ID) })
	vocTextID := slices.ContainsFunc(d.Images, func(img dataset.Image) bool { return !img.TextID && !isDecimal(img.ID) })
	images := make([]Image, len(d.Images))
	for i := range d.Images {
		img := &d.Images[i]
		images[i] = Image{File: filepath.ToSlash(img.File), ID: img.ID, TextID: textID, OwnTextID: img.TextID || vocTextID}
	}
	folder := d.Folder
	if folder == "" {
		missing := slices.IndexFunc(d.Images, func(img dataset.Image) bool { return !filepath.IsAbs(img.File) })
		if missing >= 0 {
			return &NoImagesError{First: d.Images[missing].File}
		}
		if folder = s.location; !isFolder(folder) {
			folder = filepath.Dir(folder)
		}
	}
	f, err := openFiles(folder, s.options.Data)
	if err != nil {
		return err
	}
	s.report = dataset.Dataset{Folder: d.Folder, Skipped: d.Skipped, Warnings: d.Warnings}
	s.kind, s.anyExtension, s.backend = "dataset", true, datasetImages{f, images}
	return nil
}

// isNumber reports whether an id is an integer of 64 bits, without leading zeros.
func isNumber(id string) bool {
	if n, err := strconv.ParseUint(id, 10, 64); err == nil {
		return strconv.FormatUint(n, 10) == id
	}
	n, err := strconv.ParseInt(id, 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == id
}

// isDecimal reports whether an id is an integer, also with leading zeros or of more than 64 bits, or empty.
func isDecimal(id string) bool {
	return strings.Trim(strings.TrimPrefix(id, "-"), "0123456789") == ""
}

// NoImagesError reports a data set whose images were not found.
type NoImagesError struct {
	First string // the first image
}

func (e *NoImagesError) Error() string {
	return fmt.Sprintf("its images were not found, the first is %q: use --images with the folder that contains it", e.First)
}

// hasDataset reports whether a folder is read as a data set rather than as a folder of images. A
// folder with annotations of PASCAL VOC beside its images is read as the latter, since it may have
// more images than annotations.
func hasDataset(folder string) bool {
	if _, err := os.Stat(filepath.Join(folder, "instances.json")); err == nil || isFolder(filepath.Join(folder, "Annotations")) {
		return true
	}
	names, err := os.ReadDir(filepath.Join(folder, "annotations"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) // dataset.Open reports it
	}
	return slices.ContainsFunc(names, func(d fs.DirEntry) bool {
		return strings.HasPrefix(d.Name(), "instances") && strings.HasSuffix(d.Name(), ".json")
	})
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// isImageSet reports whether a list is an image set of PASCAL VOC: it is where image sets are, and
// does not begin with a path of a file.
func isImageSet(list string) bool {
	if _, ok := dataset.ImageSetRoot(list); !ok {
		return false
	}
	for line, err := range fileLines(list) {
		if err != nil {
			return true
		}
		if line.text == "" {
			continue
		}
		path := filepath.FromSlash(line.text)
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(list), path)
		}
		_, err := os.Stat(path)
		return err != nil
	}
	return true
}

// datasetImages are the images of a data set.
type datasetImages struct {
	*dirFiles
	images []Image
}

func (n datasetImages) list(context.Context, selection) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		for _, img := range n.images {
			if !yield(img, nil) {
				return
			}
		}
	}
}
