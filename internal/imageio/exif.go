package imageio

import "bytes"

// exifPrefix precedes EXIF data in JPEG, and in files of some writers elsewhere.
const exifPrefix = "Exif\x00\x00"

// exifOrientation returns the orientation in EXIF data, which is a TIFF file. It returns 1 if
// there is none or it is invalid.
func exifOrientation(b []byte) int {
	d, _, _ := openTIFF(bytes.TrimPrefix(b, []byte(exifPrefix)))
	return d.orientation()
}
