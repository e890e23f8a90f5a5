package codec

import (
	"io"
	"strings"
)

// mmdetWriter writes the proposal file that MMDetection 3.x loads: a pickle of
//
//	{"val2017/000000000139.jpg": {"bboxes": array, "scores": array}, ...}
//
// with one entry per image: its boxes x0 y0 x1 y1 as float32 of shape (n, 4), and its scores as float32
// of shape (n,), which have to decrease strictly, because MMDetection uses the first ones. An image with
// an error has no boxes.
//
// The key is the one that MMDetection derives from the path of the image: the name of its folder and
// its own. For a File without a folder, Row.Folder is used; without that the key is File. Keys have to
// be unique.
//
// It keeps one image, and about 40 bytes per image written, in memory.
type mmdetWriter struct{ pickleWriter }

func newMMDet(w io.Writer) Writer {
	return &mmdetWriter{pickleWriter{w: w, key: mmdetKey, head: pickleHead + "\x8c\x06bboxesq\x030" + "\x8c\x06scoresq\x040" + "}"}}
}

// mmdetKey returns the last two elements of the path of an image.
func mmdetKey(r *Row) string {
	file := r.File
	if r.Folder != "" && !strings.HasPrefix(file, "/") {
		file = r.Folder + "/" + file
	}
	i := strings.LastIndexByte(file, '/')
	folder := strings.TrimRight(file[:i+1], "/")
	folder = folder[strings.LastIndexByte(folder, '/')+1:]
	if folder == "" {
		return validUTF8(file[i+1:])
	}
	return validUTF8(folder + "/" + file[i+1:])
}

// Write writes a row.
func (m *mmdetWriter) Write(r *Row) error {
	return m.write(r, func(dst []byte, key string) []byte {
		dst = append(appendPickledString(dst, key), '}')
		dst = appendPickledBoxes(append(dst, "h\x03"...), r.Boxes)
		dst = appendPickledScores(append(dst, "sh\x04"...), r.Scores)
		return append(dst, "ss"...)
	})
}
