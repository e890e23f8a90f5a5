package proposalfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/proposer/proposer/internal/safefs"
)

// ReadFolder yields the images of all proposals files in a folder and below it, in the order of their
// paths: the shards of a batch, or one file for each image, which then has the name of the file. If the
// folder holds the output of a batch, only its proposals are read. Otherwise it has to hold nothing
// but proposals files; files whose names begin with a dot are skipped.
func ReadFolder(ctx context.Context, folder string) iter.Seq2[*Image, error] {
	return func(yield func(*Image, error) bool) {
		files, err := proposalsFiles(folder)
		if err == nil && len(files) == 0 {
			err = errors.New("no proposals files in the folder: want proposals-000000.jsonl, proposals/NAME.npy or the like")
		}
		if err != nil {
			yield(nil, err)
			return
		}
		position := 0
		for _, name := range files {
			for img, err := range readFile(ctx, folder, name) {
				if err == nil && img.File == "" && img.ID == "" && !img.single && len(files) > 1 {
					err = errors.New("images without names in one of several files: want a single file")
				}
				if err != nil {
					if ctx.Err() == nil {
						err = fmt.Errorf("%s: %w", name, err)
					}
					yield(nil, err)
					return
				}
				if img.single {
					img.nameByFile(name)
				}
				if img.Place == "" {
					img.Place = name
				} else {
					img.Place = name + ": " + img.Place
				}
				img.Position = position
				position++
				if !yield(img, nil) {
					return
				}
			}
		}
	}
}

// nameByFile names an image by the path of its file.
func (img *Image) nameByFile(file string) {
	file = strings.TrimPrefix(file, "proposals/")
	img.File = withoutExtension(file)
	img.base = path.Base(img.File)
}

// proposalsFiles lists the proposals files of a folder, as slash-separated paths.
func proposalsFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, safefs.WithoutPath(err)
	}
	start := "."
	var shards []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == "proposals" && e.IsDir():
			start = name
		case strings.HasPrefix(name, "proposals-") || strings.HasPrefix(name, "proposals."):
			shards = append(shards, name)
		}
	}
	if len(shards) > 0 {
		return shards, nil
	}
	var files []string
	err = fs.WalkDir(os.DirFS(folder), start, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", name, safefs.WithoutPath(err))
		case name != start && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
		case !e.IsDir():
			files = append(files, name)
		}
		return nil
	})
	return files, err
}

// readFile yields the images of a file of a folder.
func readFile(ctx context.Context, folder, name string) iter.Seq2[*Image, error] {
	return func(yield func(*Image, error) bool) {
		f, info, err := safefs.Open(filepath.Join(folder, filepath.FromSlash(name)))
		if err != nil {
			yield(nil, safefs.WithoutPath(err))
			return
		}
		defer f.Close()
		for img, err := range Read(ctx, io.NewSectionReader(f, 0, info.Size())) {
			if !yield(img, err) {
				return
			}
		}
	}
}
