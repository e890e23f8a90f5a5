package imageio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestRefusedData checks that the error about data of a known format says what it is and what to do.
func TestRefusedData(t *testing.T) {
	ftyp := func(brands ...string) string {
		return fmt.Sprintf("\x00\x00\x00%cftyp%s\x00\x00\x00\x00%s", 16+4*len(brands)-4, brands[0], strings.Join(brands[1:], "")) + "\x00\x00\x00\x08free"
	}
	for data, want := range map[string]string{
		"":                                     "an empty file: want JPEG, PNG, WebP, GIF, BMP or TIFF",
		ftyp("heic", "mif1", "heic"):           "a HEIC or HEIF image: convert it to JPEG: heif-convert photo.heic photo.jpg",
		ftyp("mif1", "mif1", "heix"):           "a HEIC or HEIF image",
		ftyp("mif1"):                           "a HEIC or HEIF image",
		ftyp("avif", "mif1", "miaf"):           "an AVIF image: convert it to JPEG: heif-convert photo.avif photo.jpg",
		ftyp("mif1", "avif"):                   "an AVIF image",
		ftyp("crx ", "isom"):                   "a camera raw image: convert it",
		ftyp("isom", "iso2", "avc1", "mp41"):   "a video: extract its frames",
		ftyp("qt  "):                           "a video",
		"\xff\x0a\xfa\x7f":                     "a JPEG XL image",
		"\x00\x00\x00\x0cJXL \r\n\x87\n":       "a JPEG XL image",
		"\x00\x00\x00\x0cjP  \r\n\x87\n":       "a JPEG 2000 image",
		"\xffO\xffQ\x00":                       "a JPEG 2000 image",
		"II+\x00\x08\x00\x00\x00":              "a BigTIFF image",
		"8BPS\x00\x01":                         "a Photoshop image (PSD)",
		"%PDF-1.4":                             "a PDF document",
		"PK\x03\x04\x14":                       "a ZIP archive: extract the images",
		"\x1f\x8b\x08\x00":                     "a gzip file: decompress it",
		"\x1aE\xdf\xa3":                        "a video",
		"RIFF\x00\x00\x00\x00AVI LIST":         "a video",
		"RIFF\x00\x00\x00\x00WAVEfmt ":         "an audio file, not an image: want JPEG",
		ftyp("M4A ", "isom"):                   "an audio file, not an image: want JPEG",
		"\x00\x00\x01\x00\x01\x00":             "a Windows icon (ICO): convert it",
		"\x00\x00\x02\x00\x01\x00":             "a Windows cursor (CUR): convert it",
		"II\x1a\x00\x00\x00HEAPCCDR":           "a camera raw image: convert it",
		"\x00\x00\x00\x00":                     "a file of zeros, not an image: copy or download it again",
		strings.Repeat("\x00", 128) + "DICM":   "a DICOM file",
		strings.Repeat("x", 257) + "ustar\x00": "a tar archive",
		"\x00\x05\x16\x07\x00":                 "a resource fork of macOS",
		"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n": "a Git LFS pointer, not the image: run git lfs pull",
		"/annex/objects/SHA256E-s31390--f50d7a.jpg\n":                               "a git-annex pointer, not the image: run git annex get",
		"<!DOCTYPE html>\n<html>":                                                   "an HTML page, not the image: download the image again",
		"\ufeff \n<html lang=\"en\">":                                               "an HTML page",
		"<?xml version=\"1.0\"?><html xmlns=\"x\">":                                 "an HTML page",
		"<?xml version=\"1.0\"?>\n<svg xmlns=\"x\">":                                "an SVG drawing",
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x00\x10JFIF":              "an image that was read as text",
		"\xef\xbf\xbdPNG\r\n\x1a\n":                                                 "an image that was read as text",
		"\u00ff\u00d8\u00ff\u00e0\x00\x10JFIF":                                      "an image that was read as text",
		"\u0089PNG\r\n\x1a\n":                                                       "an image that was read as text",
		"\x89PNG\n\x1a\n":                                                           "an image that was read as text",
		"\x89PNG\r\n\x1a\r\n":                                                       "an image that was read as text",
		"--x\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n\xff\xd8":     "a multipart form, not the image",
		"<svg width=\"1\">":                                                         "an SVG drawing",
		"<?xml version=\"1.0\"?><Error><Code>AccessDenied":                          "an XML document",
		`{"message": "Not Found"}`:                                                  "a JSON document, not the image",
		`[1, 2]`:                                                                    "a JSON document",
		"data:image/png;base64,iVBOR":                                               "a data URL",
		"/9j/4AAQSkZJRg":                                                            "an image as base64 text",
		"P6\n2 2\n255\n\x00\xff":                                                    "a PNM image",
		"P5 1 1 255 x":                                                              "a PNM image",
		"Not Found":                                                                 "a text file, not an image: want JPEG",
		"\n \n":                                                                     "a file of spaces and line ends",
		strings.Repeat("é", 600):                                                    "a text file",
		"\x89NUL":                                                                   `unknown data, which begins with "\x89NUL": want JPEG`,
		"\xff\xd8":                                                                  `unknown data, which begins with "\xff\xd8": want JPEG`,
		"II*\x00\x10\x00\x00\x00CR\x02\x00\x00\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00\x00\x00": "a camera raw image",
	} {
		t.Run(fmt.Sprintf("%.30q", data), func(t *testing.T) {
			_, err := Decode(t.Context(), []byte(data), Options{})
			if !errors.Is(err, ErrUnsupported) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// A variant that is not read is told from data that is no image.
func TestUnsupportedVariantMessage(t *testing.T) {
	tags := []tiffTag{{258, 3, []uint32{8}}, {259, 3, []uint32{7}}, {262, 3, []uint32{1}}}
	_, err := Decode(t.Context(), tiffFile(binary.LittleEndian, 8, 8, tags, make([]byte, 64)), Options{})
	want := "tiff: unsupported variant: JPEG compression: convert it to PNG"
	if !errors.Is(err, ErrUnsupported) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestCameraRaw checks that the preview in a camera raw file is not taken for the image.
func TestCameraRaw(t *testing.T) {
	gray := []tiffTag{{258, 3, []uint32{8}}, {262, 3, []uint32{1}}}
	for name, tags := range map[string][]tiffTag{
		"preview": {{254, 4, []uint32{1}}, gray[0], gray[1], {330, 4, []uint32{8, 8}}},
		"dng":     {gray[0], gray[1], {50706, 1, []uint32{1}}},
		"sensor":  {gray[0], {262, 3, []uint32{32803}}},
	} {
		t.Run(name, func(t *testing.T) {
			data := tiffFile(binary.LittleEndian, 8, 8, tags, make([]byte, 64))
			if _, err := Decode(t.Context(), data, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), rawImage) {
				t.Errorf("got %v", err)
			}
		})
	}
	data := tiffFile(binary.LittleEndian, 8, 8, []tiffTag{{254, 4, []uint32{0}}, gray[0], gray[1], {330, 4, []uint32{8}}}, make([]byte, 64))
	if _, err := Decode(t.Context(), data, Options{}); err != nil {
		t.Errorf("a page with smaller ones: got %v", err)
	}
}

// TestTruncatedFilesSaySo cuts files of each format where the header is known.
func TestTruncatedFilesSaySo(t *testing.T) {
	for _, s := range samples(t) {
		for _, n := range []int{len(s.data) / 2, len(s.data) - 8} {
			_, err := Decode(t.Context(), s.data[:n], Options{})
			if err == nil && s.name == "tiff deflate with predictor" && n > len(s.data)/2 {
				continue // the end is the resolution
			}
			if err == nil || !strings.Contains(err.Error(), "ends early") {
				t.Errorf("%s, %d bytes of %d: got %v", s.name, n, len(s.data), err)
			}
		}
	}
}

// TestFormatNames checks that every text that lists the formats has all of them.
func TestFormatNames(t *testing.T) {
	list := regexp.MustCompile(`JPEG,\s+PNG,\s+[^.]*?TIFF`)
	for _, file := range []string{
		"README.md", "python/README.md", "python/proposer/_search.py", "api/openapi.yaml", "api/openinference/openinference.go", "api/web/double_test.go",
		"cmd/proposer/propose.go", "cmd/proposer/segment.go", "cmd/libproposer/proposer.h", "tools/compare-peers/main.go",
	} {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		found := list.FindAllString(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s does not list the formats", file)
		}
		for _, f := range found {
			if names := strings.Join(strings.Fields(f), " "); names != Formats {
				t.Errorf("%s: got %s, want %s", file, names, Formats)
			}
		}
	}
}

func FuzzIdentify(f *testing.F) {
	for _, s := range []string{"", "GIF89a", "\x00\x00\x00\xffftypheic\x00\x00\x00\x00", "\ufeff<svg", "{", "\xc3", strings.Repeat("é", 600)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if msg := unsupportedData(data).Error(); !utf8.ValidString(msg) || len(msg) > 200 {
			t.Errorf("got %q", msg)
		}
	})
}
