package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// billOfMaterials returns the SBOM of the image in CycloneDX's JSON form.
func billOfMaterials(o options, prog *program, packages []*debianPackage, modules []*goModule) ([]byte, error) {
	data, err := os.ReadFile(o.program)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	release, err := osRelease()
	if err != nil {
		return nil, err
	}
	main := prog.info.Main.Path
	purl := golang(main, o.version)
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Component: &cdx.Component{
			BOMRef: purl, Type: cdx.ComponentTypeApplication, Name: main, Version: o.version, PackageURL: purl,
			Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
			Licenses: &cdx.Licenses{{Expression: projectLicense}},
		},
	}
	if o.time.Unix() > 0 {
		bom.Metadata.Timestamp = o.time.Format(time.RFC3339)
	}
	components := []cdx.Component{{
		BOMRef: "os", Type: cdx.ComponentTypeOS, Name: release["ID"], Version: release["VERSION_ID"], Description: release["PRETTY_NAME"],
	}}
	refs := []string{"os"}
	add := func(c cdx.Component) {
		c.BOMRef, c.Type = c.PackageURL, cdx.ComponentTypeLibrary
		refs = append(refs, c.BOMRef)
		components = append(components, c)
	}
	for _, p := range packages {
		c := cdx.Component{Name: p.name, Version: p.version, PackageURL: p.purl(release["ID"] + "-" + release["VERSION_ID"])}
		if license := p.license(); license != "" {
			c.Licenses = &cdx.Licenses{{Expression: license}}
		}
		add(c)
	}
	for _, m := range modules {
		license, err := m.license()
		if err != nil {
			return nil, err
		}
		c := cdx.Component{
			Name: m.path, Version: m.version, PackageURL: golang(m.path, m.version), Licenses: &cdx.Licenses{{Expression: license}},
		}
		if m.path == std {
			c.CPE = "cpe:2.3:a:golang:go:" + m.version + ":-:*:*:*:*:*:*"
		}
		add(c)
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: purl, Dependencies: &refs}}
	var out bytes.Buffer
	err = cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}

// golang returns the package URL of a module.
func golang(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + url.QueryEscape(version)
}

// purl returns the package URL of the package. Debian's security tracker has the names of source packages.
func (p *debianPackage) purl(distro string) string {
	s := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", url.QueryEscape(p.name), url.QueryEscape(p.version), p.arch, distro)
	switch {
	case p.sourceVersion != p.version:
		s += "&upstream=" + url.QueryEscape(p.source+"@"+p.sourceVersion)
	case p.source != p.name:
		s += "&upstream=" + url.QueryEscape(p.source)
	}
	return s
}

// osRelease reads os-release.
func osRelease() (map[string]string, error) {
	const name = "/usr/lib/os-release"
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		fields[key] = strings.Trim(value, `"`)
	}
	if fields["ID"] != "debian" || fields["VERSION_ID"] == "" {
		return nil, fmt.Errorf("%s: ID=%s VERSION_ID=%s: want a release of Debian", name, fields["ID"], fields["VERSION_ID"])
	}
	return fields, nil
}
