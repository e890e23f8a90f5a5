package imageio

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Formats are the names of the formats that are read, for messages.
const Formats = "JPEG, PNG, WebP, GIF, BMP or TIFF"

// ErrUnsupported is wrapped by every *[UnsupportedError].
var ErrUnsupported = errors.New("not a supported image: want " + Formats)

// An UnsupportedError reports data that is not an image, or is of a format or a variant that this
// package does not read.
type UnsupportedError struct {
	Data   string // what the data is, as "a QOI image"
	Advice string // what to do, as "convert it to PNG"; may be empty
}

func (e *UnsupportedError) Error() string {
	return e.Data + ": " + cmp.Or(e.Advice, "want "+Formats)
}

func (e *UnsupportedError) Unwrap() error { return ErrUnsupported }

func unsupported(format, msg string, args ...any) error {
	return &UnsupportedError{fmt.Sprintf("%s: unsupported variant: %s", format, fmt.Sprintf(msg, args...)), "convert it to PNG"}
}

// identified returns the error for data that a text says what it is and, after a colon, what to do.
func identified(text string) error {
	data, advice, _ := strings.Cut(text, ": ")
	return &UnsupportedError{data, advice}
}

// unsupportedData returns the error for data of a format that is not read.
func unsupportedData(data []byte) error {
	if text := identify(data); text != "" {
		return identified(text)
	}
	return &UnsupportedError{Data: fmt.Sprintf("unknown data, which begins with %q", data[:min(len(data), 8)])}
}

// identify returns what data is and, after a colon, what to do. If it is unknown, identify returns "".
func identify(data []byte) string {
	if len(data) == 0 {
		return "an empty file"
	}
	for _, s := range signatures {
		if len(data) >= s.at && bytes.HasPrefix(data[s.at:], []byte(s.magic)) {
			return s.name
		}
	}
	if len(data) >= 16 && string(data[4:8]) == "ftyp" {
		return identifyBrands(data)
	}
	if len(data) >= 3 && data[0] == 'P' && data[1] >= '1' && data[1] <= '7' && bytes.IndexByte([]byte(" \n\r\t"), data[2]) >= 0 {
		return "a PNM image: convert it to PNG: pnmtopng image.ppm >image.png"
	}
	head := data[:min(len(data), 1024)]
	if bytes.HasPrefix(head, []byte("--")) && bytes.Contains(head, []byte("Content-Disposition: form-data")) {
		return "a multipart form, not the image: send its Content-Type multipart/form-data, with the boundary"
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return "a file of zeros, not an image: copy or download it again"
	}
	if text, ok := asText(head, len(data) > len(head)); ok {
		return identifyText(text)
	}
	return ""
}

const (
	rawImage   = "a camera raw image: convert it to TIFF: dcraw_emu -T photo.nef"
	heifImage  = "a HEIC or HEIF image: convert it to JPEG: heif-convert photo.heic photo.jpg"
	avifImage  = "an AVIF image: convert it to JPEG: heif-convert photo.avif photo.jpg"
	jxlImage   = "a JPEG XL image: convert it to PNG: djxl photo.jxl photo.png"
	jp2Image   = "a JPEG 2000 image: convert it to PNG: opj_decompress -i photo.jp2 -o photo.png"
	to16Bits   = "convert it to PNG or TIFF of 16 bits"
	bigTIFF    = "a BigTIFF image: convert it to TIFF: tiffcp big.tif classic.tif"
	sgiImage   = "an SGI image: convert it to PNG: convert image.sgi image.png"
	pfmImage   = "a PFM image: " + to16Bits
	metafile   = "a Windows metafile: convert it to PNG"
	svgImage   = "an SVG drawing: convert it to PNG: rsvg-convert drawing.svg --output drawing.png"
	psFile     = "a PostScript document: convert its pages to images: gs -sDEVICE=png16m -r150 -o page%d.png document.ps"
	videoFile  = "a video: extract its frames as images: ffmpeg -i video.mp4 frame%06d.png"
	audioFile  = "an audio file, not an image"
	readAsText = "an image that was read as text: read, send or copy it as binary data"
)

// signatures are the first bytes of formats that this package does not read.
var signatures = []struct {
	at    int
	magic string
	name  string
}{
	{0, "\x00\x00\x00\x0cJXL \r\n\x87\n", jxlImage},
	{0, "\xff\x0a", jxlImage},
	{0, "\x00\x00\x00\x0cjP  \r\n\x87\n", jp2Image},
	{0, "\xff\x4f\xff\x51", jp2Image},
	{0, "II\xbc\x01", "a JPEG XR image: convert it to JPEG or PNG"},
	{0, "II+\x00", bigTIFF},
	{0, "MM\x00+", bigTIFF},
	{0, "8BPS", "a Photoshop image (PSD): convert it to PNG: convert 'image.psd[0]' image.png"},
	{0, "gimp xcf", "a GIMP image (XCF): convert it to PNG: convert image.xcf -flatten image.png"},
	{0, "\x76\x2f\x31\x01", "an OpenEXR image: " + to16Bits},
	{0, "#?RADIANCE", "a Radiance HDR image: " + to16Bits},
	{0, "#?RGBE", "a Radiance HDR image: " + to16Bits},
	{0, "qoif", "a QOI image: convert it to PNG: convert image.qoi image.png"},
	{0, "DDS ", "a DDS image: convert it to PNG: convert image.dds image.png"},
	{0, "\x00\x00\x01\x00", "a Windows icon (ICO): convert it to PNG: convert 'icon.ico[0]' icon.png"},
	{0, "\x00\x00\x02\x00", "a Windows cursor (CUR): convert it to PNG: convert 'cursor.cur[0]' cursor.png"},
	{0, "farbfeld", "a farbfeld image: convert it to PNG"},
	{0, "\x01\xda\x00", sgiImage},
	{0, "\x01\xda\x01", sgiImage},
	{0, "\n\x05\x01", "a PCX image: convert it to PNG: convert image.pcx image.png"},
	{0, "PF\n", pfmImage},
	{0, "Pf\n", pfmImage},
	{0, "BPG\xfb", "a BPG image: convert it to PNG"},
	{0, "FLIF", "a FLIF image: convert it to PNG"},
	{0, "\x8bJNG", "a JNG image: convert it to PNG: convert image.jng image.png"},
	{0, "icns", "an Apple icon (ICNS): convert it to PNG: convert 'icon.icns[0]' icon.png"},
	{0, "\x8aMNG", "an MNG animation: convert it to PNG"},
	{0, "AT&TFORM", "a DjVu document: convert its pages to PNG"},
	{0, "SIMPLE  =", "a FITS image: " + to16Bits},
	{128, "DICM", "a DICOM file: " + to16Bits},
	{0, "IIRO", rawImage}, // Olympus
	{0, "IIRS", rawImage},
	{0, "MMOR", rawImage},
	{0, "IIU\x00", rawImage}, // Panasonic
	{0, "FUJIFILMCCD-RAW", rawImage},
	{0, "FOVb", rawImage}, // Sigma
	{0, "\x00MRM", rawImage},
	{0, "II\x1a\x00\x00\x00HEAPCCDR", rawImage}, // Canon CRW
	{0, "%PDF-", "a PDF document: convert its pages to images: pdftoppm -png document.pdf page"},
	{0, "%!PS", psFile},
	{0, "\xc5\xd0\xd3\xc6", psFile},
	{0, "\x93NUMPY", "a NumPy array: save it as PNG or TIFF"},
	{0, "\x89HDF\r\n\x1a\n", "an HDF5 file: save its images as PNG or TIFF"},
	{0, "MATLAB 5.0 MAT-file", "a MATLAB file: save its images as PNG or TIFF"},
	{0, "PK\x03\x04", "a ZIP archive: extract the images"},
	{0, "PK\x05\x06", "an empty ZIP archive"},
	{0, "Rar!", "a RAR archive: extract the images"},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z archive: extract the images"},
	{257, "ustar", "a tar archive: extract the images, or give it to proposer batch"},
	{0, "\x1f\x8b", "a gzip file: decompress it"},
	{0, "BZh", "a bzip2 file: decompress it"},
	{0, "\xfd7zXZ\x00", "an xz file: decompress it"},
	{0, "\x28\xb5\x2f\xfd", "a Zstandard file: decompress it"},
	{0, "\x1a\x45\xdf\xa3", videoFile}, // Matroska, WebM
	{8, "AVI ", videoFile},
	{0, "\x00\x00\x01\xba", videoFile}, // MPEG
	{0, "\x00\x00\x01\xb3", videoFile},
	{0, "FLV\x01", videoFile},
	{0, "OggS", videoFile},
	{0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", videoFile}, // ASF, WMV
	{8, "WAVE", audioFile},
	{0, "ID3", audioFile},
	{0, "fLaC", audioFile},
	{4, "moov", videoFile}, // QuickTime without a type
	{4, "mdat", videoFile},
	{0, "\x00\x05\x16\x07", "a resource fork of macOS (._name), not the image: use the file without ._"},
	// The first bytes of JPEG and PNG, read as UTF-8 or Latin-1 and written as UTF-8, or with other line
	// ends.
	{0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", readAsText},
	{0, "\xef\xbf\xbdPNG", readAsText},
	{0, "\xc3\xbf\xc3\x98\xc3\xbf", readAsText},
	{0, "\xc2\x89PNG", readAsText},
	{0, "\x89PNG\n", readAsText},
	{0, "\x89PNG\r\n\x1a\r\n", readAsText},
	{0, "\x80\x04\x95", "a Python pickle: save its images as PNG"},
	{0, "\x7fELF", "a program"},
	{40, " EMF", metafile},
	{0, "\xd7\xcd\xc6\x9a", metafile},
}

// identifyBrands identifies a file of ISO's base media format by its brands (ISO/IEC 14496-12).
func identifyBrands(data []byte) string {
	end := min(int(uint32(data[0])<<24|uint32(data[1])<<16|uint32(data[2])<<8|uint32(data[3])), len(data), 256)
	brands := []string{string(data[8:12])} // the first is that of the file, the others it is compatible with
	for i := 16; i+4 <= end; i += 4 {
		brands = append(brands, string(data[i:i+4]))
	}
	for _, brand := range brands {
		switch brand {
		case "avif", "avis":
			return avifImage
		case "heic", "heix", "hevc", "hevx", "heim", "heis":
			return heifImage
		case "M4A ", "M4B ":
			return audioFile
		case "crx ":
			return rawImage
		case "jxl ":
			return jxlImage
		case "jp2 ", "jpx ", "jph ":
			return jp2Image
		}
	}
	if brands[0] == "mif1" || brands[0] == "msf1" {
		return heifImage
	}
	return videoFile
}

// asText returns data as text, without a byte order mark and leading spaces. If the data is cut, its
// last bytes may be part of a character.
func asText(data []byte, cut bool) (text string, ok bool) {
	text = strings.TrimPrefix(string(data), "\ufeff")
	for i, r := range text {
		invalid := r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd")
		switch {
		case invalid && cut && len(text)-i < utf8.UTFMax:
			return strings.TrimSpace(text[:i]), true
		case invalid, r < ' ' && !unicode.IsSpace(r), r == 0x7f:
			return "", false
		}
	}
	return strings.TrimSpace(text), true
}

// identifyText identifies text by its beginning.
func identifyText(text string) string {
	lower := strings.ToLower(text)
	begins := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(lower, p) {
				return true
			}
		}
		return false
	}
	switch {
	case text == "":
		return "a file of spaces and line ends, not an image"
	case begins("version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/"):
		return "a Git LFS pointer, not the image: run git lfs pull"
	case strings.Contains(lower, "annex/objects/") && !strings.Contains(text, "\n"):
		return "a git-annex pointer, not the image: run git annex get"
	case begins("<svg") || begins("<?xml", "<!--", "<!doctype svg") && strings.Contains(lower, "<svg"):
		return svgImage
	case begins("<!doctype html", "<html", "<head", "<body", "<script", "<meta", "<title") || strings.Contains(lower, "<html"):
		return "an HTML page, not the image: download the image again, as the address or the login may be wrong"
	case begins("<?xml", "<error", "<"):
		return "an XML document, not the image: download the image again, as it may be an error message"
	case begins("{", "[") && (json.Valid([]byte(text)) || strings.ContainsRune(text, '"')):
		return "a JSON document, not the image: download the image again, as it may be an error message"
	case begins("data:image/"):
		return "a data URL: decode its base64 to the image"
	case begins("/9j/", "ivborw0kggo", "uklgr"):
		return "an image as base64 text: decode it"
	}
	return "a text file, not an image"
}
