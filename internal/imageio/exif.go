package imageio

import "bytes"

// exifPrefix and a byte, which is 0, precede EXIF data in JPEG, and in files of some writers elsewhere.
const exifPrefix = "Exif\x00"

// exifOrientation returns the orientation in EXIF data, which is a TIFF file. It returns 1 if
// there is none or it is invalid.
func exifOrientation(b []byte) int {
	if bytes.HasPrefix(b, []byte(exifPrefix)) {
		b = b[min(len(exifPrefix)+1, len(b)):]
	}
	d, _, _ := openTIFF(b)
	return d.orientation()
}
