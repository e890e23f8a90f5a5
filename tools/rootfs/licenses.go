package main

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// projectLicense is the license of the project itself.
const projectLicense = "Apache-2.0"

// conjunction returns the expression of all operands, without duplicates and in order.
func conjunction(expressions ...string) string {
	var operands []string
	for _, e := range expressions {
		for operand := range strings.SplitSeq(e, " AND ") {
			operands = append(operands, operand)
		}
	}
	slices.Sort(operands)
	return strings.Join(slices.Compact(operands), " AND ")
}

// concluded has the licenses, by source package, of libraries whose copyright file is not machine-readable, or describes only
// the programs of the source package.
var concluded = map[string]string{
	"cfitsio":    "CFITSIO",
	"e2fsprogs":  "MIT", // lib/et
	"fontconfig": "HPND-sell-variant",
	"gcc":        "GPL-3.0-or-later WITH GCC-exception-3.1",
	"glibc":      "LGPL-2.1-or-later",
	"gnutls28":   "LGPL-2.1-or-later",
	"krb5":       "BSD-2-Clause",
	"libaec":     "BSD-2-Clause",
	"libtasn1-6": "LGPL-2.1-or-later",
	"libtool":    "LGPL-2.0-or-later", // libltdl
	"libwebp":    "BSD-3-Clause",
	"libx11":     "MIT",
	"libxau":     "MIT-open-group",
	"libxcb":     "MIT",
	"libxdmcp":   "MIT-open-group",
	"numactl":    "LGPL-2.1-only",
	"rtmpdump":   "LGPL-2.1-or-later",
}

// paragraphs names, by source package, the paragraph of the copyright file that describes what the image has, if it is not the
// one for all files.
var paragraphs = map[string]string{
	"ca-certificates": "mozilla/certdata.txt",
	"keyutils":        "keyutils.*",
	"libidn2":         "*.c",
	"mariadb":         "libmariadb/*",
	"util-linux":      "libuuid/*",
}

var (
	machineReadable = regexp.MustCompile(`(?im)\A\s*format(-specification)?:.*(dep-?5|copyright-format)`)
	blankLines      = regexp.MustCompile(`\n[ \t]*\n`)
	filesField      = regexp.MustCompile(`(?m)^Files:((?:.*\n[ \t]+)*.*)$`)
	licenseField    = regexp.MustCompile(`(?m)^License:[ \t]*(.*)$`)
	gccVersion      = regexp.MustCompile(`^gcc-\d+$`)
)

// license returns the license of what the image has of the package, according to its copyright file: the main one, as parts
// may have others. Of base-files these are facts and the texts of licenses, to which no license applies.
func (p *debianPackage) license() string {
	if p.name == "base-files" {
		return ""
	}
	if s := concluded[gccVersion.ReplaceAllString(p.source, "gcc")]; s != "" {
		return s
	}
	if !machineReadable.Match(p.copyright) {
		return licenseRef(p.source)
	}
	want := cmp.Or(paragraphs[p.source], "*")
	first := ""
	for _, paragraph := range blankLines.Split(string(p.copyright), -1) {
		files, name := filesField.FindStringSubmatch(paragraph), licenseField.FindStringSubmatch(paragraph)
		if files == nil || name == nil {
			continue
		}
		if slices.Contains(strings.Fields(files[1]), want) {
			return spdx(name[1])
		}
		first = cmp.Or(first, spdx(name[1]))
	}
	return cmp.Or(first, licenseRef(p.source))
}

var (
	orWord  = regexp.MustCompile(`(?i),? or `)
	andWord = regexp.MustCompile(`(?i),? and `)
	// Exceptions permit more; without them the license is stricter.
	exception = regexp.MustCompile(`(?i)[ -]with[ -].*`)
	gnu       = regexp.MustCompile(`^(a?l?gpl|gfdl)-(\d)(?:\.(\d))?(\+?)$`)
	mpl       = regexp.MustCompile(`^mpl-(\d\.\d)$`)
)

// shortNames has SPDX's names for those of Debian's copyright files, in lower case, that are not the same.
var shortNames = map[string]string{
	"apache":                     "Apache-2.0",
	"apache-2":                   "Apache-2.0",
	"bsd-2":                      "BSD-2-Clause",
	"bsd-3":                      "BSD-3-Clause",
	"bsd3":                       "BSD-3-Clause",
	"bsd-3-clause-alike-creatis": "BSD-3-Clause",
	"bsd-3-clause-cambridge":     "BSD-3-Clause",
	"bsd-by-lc-ne":               "IJG",
	"bsd-variant":                "bzip2-1.0.6",
	"expat":                      "MIT",
	"hylafax":                    "libtiff",
	"imath":                      "BSD-3-Clause",
	"libpng":                     "libpng-2.0",
	"mit-1":                      "MIT",
	"openexr":                    "BSD-3-Clause",
	"openldap-2.8":               "OLDAP-2.8",
	"pd":                         "LicenseRef-public-domain",
	"xerces-apache-2.0":          "Apache-2.0",
}

// sameNames are names that SPDX has as well.
var sameNames = []string{
	"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause", "BSL-1.0", "curl", "FTL", "ISC", "MIT", "PostgreSQL", "Qhull", "Zlib",
}

// spdx translates the name of a license in a copyright file.
func spdx(name string) string {
	var choices []string
	for _, choice := range orWord.Split(strings.TrimSpace(name), -1) {
		var all []string
		for _, one := range andWord.Split(choice, -1) {
			all = append(all, spdxName(exception.ReplaceAllString(strings.TrimSpace(one), "")))
		}
		choices = append(choices, conjunction(all...))
	}
	if len(choices) == 1 {
		return choices[0]
	}
	for i, choice := range choices {
		if strings.Contains(choice, " AND ") {
			choices[i] = "(" + choice + ")"
		}
	}
	slices.Sort(choices)
	return "(" + strings.Join(choices, " OR ") + ")"
}

func spdxName(name string) string {
	lower := strings.ToLower(name)
	if id := shortNames[lower]; id != "" {
		return id
	}
	for _, id := range sameNames {
		if strings.EqualFold(id, name) {
			return id
		}
	}
	if m := gnu.FindStringSubmatch(lower); m != nil {
		id := strings.ToUpper(m[1]) + "-" + m[2] + "." + cmp.Or(m[3], "0")
		if m[4] != "" {
			return id + "-or-later"
		}
		return id + "-only"
	}
	if m := mpl.FindStringSubmatch(lower); m != nil {
		return "MPL-" + m[1]
	}
	return licenseRef(name)
}

var notIDString = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// licenseRef returns a name for a license that SPDX does not have; its text is in the copyright file.
func licenseRef(name string) string { return "LicenseRef-" + notIDString.ReplaceAllString(name, "-") }

// moduleLicenses has the licenses of modules that offer a choice.
var moduleLicenses = map[string]string{
	"github.com/golang/freetype": "(FTL OR GPL-2.0-or-later)",
}

// license returns the license of the module, as recognized from the texts.
func (m *goModule) license() (string, error) {
	if s := moduleLicenses[m.path]; s != "" {
		return s, nil
	}
	var ids []string
	for _, f := range m.licenses {
		if name := strings.ToUpper(path.Base(f.name)); strings.HasPrefix(name, "PATENTS") || strings.HasPrefix(name, "AUTHORS") {
			continue
		}
		for _, match := range licensecheck.Scan(f.text).Match {
			if !match.IsURL {
				ids = append(ids, match.ID)
			}
		}
	}
	if len(ids) == 0 {
		return "", fmt.Errorf("module %s: license not recognized: add it to moduleLicenses", m.path)
	}
	return conjunction(ids...), nil
}

// imageLicenses returns the license of everything in the image.
func imageLicenses(packages []*debianPackage, modules []*goModule) (string, error) {
	all := []string{projectLicense}
	for _, p := range packages {
		if license := p.license(); license != "" {
			all = append(all, license)
		}
	}
	for _, m := range modules {
		license, err := m.license()
		if err != nil {
			return "", err
		}
		all = append(all, license)
	}
	return conjunction(all...), nil
}
