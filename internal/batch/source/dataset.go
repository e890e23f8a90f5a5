package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/proposer/proposer/dataset"
	"github.com/proposer/proposer/internal/safefs"
)

// detectDataset returns the kind of the data set in a folder; empty if it has none.
func detectDataset(folder string) (string, error) {
	if info, err := os.Stat(filepath.Join(folder, "instances.json")); err == nil && info.Mode().IsRegular() {
		return "coco", nil
	}
	for _, in := range []struct{ folder, prefix, suffix, kind string }{
		{"annotations", "instances", ".json", "coco"},
		{"Annotations", "", ".xml", "voc"},
	} {
		ok, err := containsFile(filepath.Join(folder, in.folder), in.prefix, in.suffix)
		if ok || err != nil {
			return in.kind, err
		}
	}
	return "", nil
}

// containsFile reports whether a folder, which need not exist, contains a name with this prefix and suffix.
func containsFile(folder, prefix, suffix string) (bool, error) {
	info, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	f, err := os.Open(folder)
	if err != nil {
		return false, err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1 << 10)
		for _, name := range names {
			if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (s *Source) openDataset(path string) error {
	d, err := dataset.Open(path, dataset.Options{})
	if err != nil {
		return err
	}
	folder := d.Folder
	if folder == "" {
		if len(d.Images) > 0 {
			return s.wrapError("", fmt.Errorf("its images are missing, the first is %s: want them in images, JPEGImages or a folder named "+
				"like the instances file, below the annotations or beside them", d.Images[0].File))
		}
		if folder = path; s.kind == "coco" && strings.EqualFold(filepath.Ext(path), ".json") {
			folder = filepath.Dir(path)
		}
	}
	f, err := openFiles(folder)
	if err != nil {
		return s.wrapError("", err)
	}
	images := make([]Image, len(d.Images))
	for i := range d.Images {
		images[i] = Image{File: filepath.ToSlash(d.Images[i].File), ID: d.Images[i].ID}
	}
	s.anyExtension, s.backend = true, datasetImages{f, images}
	return nil
}

// openImageSet opens a list as an image set of PASCAL VOC if JPEGImages is beside its folder.
func (s *Source) openImageSet(list string) (ok bool, err error) {
	folder, ok := dataset.ImageSetRoot(list)
	if !ok {
		return false, nil
	}
	folder = filepath.Join(folder, "JPEGImages")
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return false, nil
	}
	f, err := openFiles(folder)
	if err != nil {
		return false, err
	}
	s.kind, s.anyExtension, s.backend = "voc", true, imageSet{f, list}
	return true, nil
}

// imageSet is an image set of PASCAL VOC. Unlike a data set it needs no annotations.
type imageSet struct {
	*dirFiles
	path string
}

func (v imageSet) list(context.Context, func(string) bool) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		ids, err := v.ids()
		if err != nil {
			yield(Image{}, err)
			return
		}
		for _, id := range ids {
			if !yield(Image{File: v.file(id), ID: id}, nil) {
				return
			}
		}
	}
}

func (v imageSet) ids() ([]string, error) {
	f, _, err := safefs.Open(v.path)
	if err != nil {
		return nil, &Error{Err: err}
	}
	defer f.Close()
	ids, err := dataset.ReadImageSet(f)
	if e, ok := errors.AsType[*dataset.Error](err); ok {
		return nil, &Error{File: e.Entry, Err: e.Err}
	}
	return ids, err
}

// file returns the image of an id. VOC's own are all .jpg.
func (v imageSet) file(id string) string {
	for _, ext := range append([]string{".jpg", ".JPG"}, Extensions()...) {
		if _, err := v.root.Lstat(id + ext); err == nil {
			return id + ext
		}
	}
	return id + ".jpg" // Read reports that it is missing
}
