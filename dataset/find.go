package dataset

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// probes is the number of images, spread over the data set, by which a folder is recognized.
const probes = 32

// probe calls f with the indices of some of n images, spread over all.
func probe(n int, f func(i int)) {
	for k := range min(n, probes) {
		f(k * n / min(n, probes))
	}
}

// best returns the candidate for which count is highest, the first of several. It is empty if all
// counts are 0.
func best(candidates []string, most int, count func(folder string) int) (folder string, found int) {
	seen := map[string]bool{}
	for _, c := range candidates {
		if c = filepath.Clean(c); seen[c] {
			continue
		}
		seen[c] = true
		if found == most || !isFolder(c) {
			continue
		}
		if n := count(c); n > found {
			folder, found = c, n
		}
	}
	return folder, found
}

// part matches the parts of names that say which part of a data set a file describes.
var part = regexp.MustCompile(`(?i)(train|valminusminival|minival|validation|valid|val|test)(?:[-_]?(?:dev|std|challenge|reserve))?(\d{4})?`)

// partNames returns the names of the parts of COCO that a name contains: "val2014" and "val" for
// "instances_minival2014".
func partNames(name string) []string {
	var names []string
	for _, m := range part.FindAllStringSubmatch(strings.ToLower(name), -1) {
		base, year := m[1], m[2]
		bases := []string{base}
		switch base {
		case "valminusminival", "minival":
			bases = []string{"val"}
		case "val", "valid", "validation":
			bases = []string{base, "val", "valid", "validation"}
		}
		for _, b := range bases {
			names = append(names, b+year, b)
		}
		if year == "" {
			for _, b := range bases {
				names = append(names, b+"2017", b+"2014")
			}
		}
	}
	return names
}

// setNames returns names that the folder of the images of a file may have, the likeliest first: the
// file's own, what follows the first underscore, any run of its words, and the part of COCO.
func setNames(file string) []string {
	var names []string
	if _, set, ok := strings.Cut(file, "_"); ok {
		names = append(names, set)
	}
	names = append(names, file)
	separator := func(r rune) bool { return strings.ContainsRune("_-. ", r) }
	var starts, ends []int
	for i := 0; i < len(file) && len(starts) < 8; {
		n := strings.IndexFunc(file[i:], separator)
		if n < 0 {
			n = len(file) - i
		}
		if n > 0 {
			starts, ends = append(starts, i), append(ends, i+n)
		}
		i += n + 1
	}
	for words := len(starts); words > 0; words-- {
		for i := range len(starts) - words + 1 {
			names = append(names, file[starts[i]:ends[i+words-1]])
		}
	}
	names = append(names, partNames(file)...)
	for i, name := range names {
		if strings.Trim(name, ".") == "" || strings.ContainsAny(name, `/\`) {
			names[i] = ""
		}
	}
	var unique []string
	for _, name := range names {
		if name != "" && !slices.Contains(unique, name) {
			unique = append(unique, name)
		}
	}
	return unique
}

// general are names of folders of images.
var general = []string{"images", "JPEGImages", "Images", "imgs", "img"}

// candidates returns folders in which the images of an instances file may be, given its folder and
// names of its own.
func candidates(dir string, names []string) []string {
	up := filepath.Join(dir, "..")
	upper := filepath.Join(up, "..")
	var list []string
	for _, name := range names {
		list = append(
			list,
			filepath.Join(dir, name), filepath.Join(up, name),
			filepath.Join(dir, "images", name), filepath.Join(up, "images", name),
			filepath.Join(up, name, name), filepath.Join(up, name, "images"), filepath.Join(dir, name, "images"),
			filepath.Join(up, "JPEGImages", name), filepath.Join(upper, name), filepath.Join(upper, "images", name),
		)
	}
	for _, name := range general {
		list = append(list, filepath.Join(dir, name), filepath.Join(up, name))
	}
	return append(list, dir, up, filepath.Join(upper, "images"))
}

// cocoPrefix matches the names of the images of COCO 2014 and 2015.
var cocoPrefix = regexp.MustCompile(`^COCO_([a-z]+\d{4})_\d+\.`)

// findCOCO sets d.Folder, given the path of the instances file and the folders in the images' URLs. A
// folder qualifies if it contains images of the data set; of several, the one with most of them.
func (d *Dataset) findCOCO(file string, urlFolders []string, images string) {
	relative := slices.ContainsFunc(d.Images, func(img Image) bool { return !path.IsAbs(img.File) })
	if !relative {
		d.Folder = images
		return
	}
	dir := filepath.Dir(file)
	names := setNames(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	prefix, mixed := "", false
	probe(len(d.Images), func(i int) {
		if m := cocoPrefix.FindStringSubmatch(path.Base(d.Images[i].File)); m != nil {
			mixed = mixed || prefix != "" && prefix != m[1]
			if prefix = m[1]; !slices.Contains(names, prefix) {
				names = append(names, prefix)
			}
		}
		if urlFolders != nil && urlFolders[i] != "" && !slices.Contains(names, urlFolders[i]) {
			names = append(names, urlFolders[i])
		}
	})
	folders := candidates(dir, names)
	if images != "" {
		folders = []string{images}
		d.Folder = images
	}
	most := min(len(d.Images), probes)
	count := func(name func(i int) string) func(folder string) int {
		return func(folder string) (n int) {
			probe(len(d.Images), func(i int) {
				if file := name(i); !path.IsAbs(file) && isRegular(filepath.Join(folder, filepath.FromSlash(file))) {
					n++
				}
			})
			return n
		}
	}
	own := func(i int) string { return d.Images[i].File }
	folder, n := best(folders, most, count(own))
	if n < most && (urlFolders != nil || mixed) {
		// Images of several folders: LVIS has images of train2017 and val2017 in one file.
		withFolder := func(i int) string {
			if m := cocoPrefix.FindStringSubmatch(d.Images[i].File); m != nil {
				return path.Join(m[1], d.Images[i].File)
			}
			if urlFolders != nil {
				return path.Join(urlFolders[i], d.Images[i].File)
			}
			return d.Images[i].File
		}
		roots := []string{images}
		if images == "" {
			roots = []string{dir, filepath.Join(dir, ".."), filepath.Join(dir, "images"), filepath.Join(dir, "..", "images")}
		}
		if root, m := best(roots, most, count(withFolder)); m > n {
			folder, n = root, m
			for i := range d.Images {
				d.Images[i].File = withFolder(i)
			}
		}
	}
	for cut := 1; cut <= maxCut && n == 0 && images != ""; cut++ {
		// The names of the images include the folder, or folders that are not there.
		short := func(i int) string { return withoutFolders(d.Images[i].File, cut) }
		if _, n = best(folders, most, count(short)); n > 0 && d.uniqueNames(short) {
			for i := range d.Images {
				d.Images[i].File = short(i)
			}
		}
	}
	if n == 0 && images == "" {
		folder = findBeside(dir, names, count(own))
	}
	if folder != "" {
		d.Folder = folder
	}
}

// maxCut bounds the folders that are cut from the names of images one by one.
const maxCut = 8

// withoutFolders returns a name without its first folders. An absolute name stays as it is.
func withoutFolders(name string, n int) string {
	if path.IsAbs(name) {
		return name
	}
	if n == maxCut {
		return path.Base(name)
	}
	name = path.Clean(name)
	for ; n > 0; n-- {
		_, rest, ok := strings.Cut(name, "/")
		if !ok {
			break
		}
		name = rest
	}
	return name
}

// uniqueNames reports whether all images have different names.
func (d *Dataset) uniqueNames(name func(i int) string) bool {
	seen := make(map[string]bool, len(d.Images))
	for i := range d.Images {
		name := name(i)
		if seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

// findBeside looks for the images in all folders beside the annotations and below them. It returns
// a folder only if no other one has as many of the images, and not that of another part: names such
// as 1.jpg are in many folders.
func findBeside(dir string, names []string, count func(folder string) int) string {
	folder, most, unique := "", 0, true
	var folders []os.FileInfo
	for _, root := range []string{dir, filepath.Join(dir, "..")} {
		for _, name := range subfolders(root) {
			if !samePart(names, name) {
				continue
			}
			for _, below := range []string{"", "images", "JPEGImages"} {
				path := filepath.Join(root, name, below)
				info, err := os.Stat(path)
				if err != nil || !info.IsDir() || slices.ContainsFunc(folders, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
					continue
				}
				folders = append(folders, info)
				switch n := count(path); {
				case n > most:
					folder, most, unique = path, n, true
				case n == most:
					unique = false
				}
			}
		}
	}
	if !unique {
		return ""
	}
	return folder
}

// maxSubfolders bounds the folders that are looked into.
const maxSubfolders = 1000

// subfolders returns the names of the folders in a folder, sorted, without hidden ones.
func subfolders(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if (e.IsDir() || e.Type()&os.ModeSymlink != 0) && !strings.HasPrefix(e.Name(), ".") && len(names) < maxSubfolders {
			names = append(names, e.Name())
		}
	}
	return names
}

// samePart reports whether a folder does not belong to another part of a data set than the one that
// names are of: the images of test are not those of val.
func samePart(names []string, folder string) bool {
	of := partNames(folder)
	if len(of) == 0 {
		return true
	}
	var own []string
	for _, name := range names {
		own = append(own, partNames(name)...)
	}
	return len(own) == 0 || slices.ContainsFunc(of, func(name string) bool { return slices.Contains(own, name) })
}
