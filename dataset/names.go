package dataset

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Extensions returns the file extensions of images, in lower case.
func Extensions() []string {
	return []string{".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
}

// imageExtensions are Extensions in the order in which an image is chosen if several files have the
// same name.
var imageExtensions = []string{".jpg", ".jpeg", ".png", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"}

// stem returns name without its extension if that is one of the extensions, in any case.
func stem(name string, extensions []string) string {
	ext := path.Ext(name)
	if ext != "" && slices.Contains(extensions, strings.ToLower(ext)) {
		return strings.TrimSuffix(name, ext)
	}
	return name
}

// maxNames bounds the names that a folder keeps of the folders below it. More are listed again when
// they are needed.
const maxNames = 1 << 20

// folder finds files with certain extensions by their names without extension. It lists each folder
// once, when it is first needed: a data set may have half a million images.
type folder struct {
	path       string
	extensions []string
	listed     map[string][]string // names by folder, sorted by stem, then preference
	names      int                 // in listed
}

func newFolder(path string, extensions []string) *folder {
	return &folder{path: path, extensions: extensions, listed: map[string][]string{}}
}

// list returns the names in a folder below f. Its error is nil if the folder does not exist.
func (f *folder) list(dir string) ([]string, error) {
	names, ok := f.listed[dir]
	if ok {
		return names, nil
	}
	in, err := os.Open(filepath.Join(f.path, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		f.listed[dir] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	type file struct {
		stem, name string
		preference int
	}
	var files []file
	for {
		entries, err := in.ReadDir(1 << 12)
		for _, e := range entries {
			name := e.Name()
			if s := stem(name, f.extensions); !e.IsDir() && len(s) < len(name) {
				files = append(files, file{s, name, slices.Index(f.extensions, strings.ToLower(name[len(s):]))})
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ENOTDIR) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.stem, b.stem), cmp.Compare(a.preference, b.preference), cmp.Compare(b.name, a.name)) // a.jpg before a.JPG
	})
	names = make([]string, len(files))
	for i := range files {
		names[i] = files[i].name
	}
	if f.names += len(names); f.names > maxNames {
		clear(f.listed)
		f.names = len(names)
	}
	f.listed[dir] = names
	return names, nil
}

// find returns the path below f of the file of an id: id with one of the extensions or, if id has
// one, id itself. Of several files it returns the one that preferred names, otherwise the one whose
// extension comes first.
func (f *folder) find(id, preferred string) (file string, several bool, err error) {
	if !filepath.IsLocal(filepath.FromSlash(id)) {
		return "", false, nil
	}
	dir, name := path.Split(path.Clean(id))
	names, err := f.list(dir)
	if err != nil {
		return "", false, err
	}
	found := ""
	for _, n := range names[f.search(names, name):] {
		if stem(n, f.extensions) != name {
			break
		}
		several = found != ""
		if found == "" || n == path.Base(preferred) {
			found = n
		}
	}
	if found != "" {
		return dir + found, several, nil
	}
	if s := stem(name, f.extensions); len(s) < len(name) {
		for _, n := range names[f.search(names, s):] {
			if stem(n, f.extensions) != s {
				break
			}
			if n == name {
				return dir + n, false, nil
			}
		}
	}
	return "", false, nil
}

// search returns the index of the first name with a stem of at least s.
func (f *folder) search(names []string, s string) int {
	at, _ := slices.BinarySearchFunc(names, s, func(name, s string) int { return cmp.Compare(stem(name, f.extensions), s) })
	return at
}
