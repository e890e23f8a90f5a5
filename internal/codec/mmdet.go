package codec

import (
	"io"
	"strings"
)

// mmdetWriter writes what MMDetection 3.x loads as a proposal file: a pickle of
//
//	{"val2017/000000000139.jpg": {"bboxes": array, "scores": array}, ...}
//
// with an entry a picture: its boxes x0 y0 x1 y1 as float32 of the shape (n, 4), and its scores as float32
// of the shape (n,), which have to decrease strictly: MMDetection takes the first ones as the best. A picture
// with an error has no boxes.
//
// The key is what MMDetection makes of the picture's path: the name of the folder that the picture is in, and
// its own. A File without a folder is in the row's Folder; without that, too, the key is the File alone.
// No two pictures may have the same key.
//
// It holds one picture at a time, and some 40 bytes of each that is written. Coordinates are exact to 2^24.
type mmdetWriter struct{ pickleWriter }

func newMMDet(w io.Writer) Writer {
	return &mmdetWriter{pickleWriter{w: w, key: mmdetKey, head: pickleHead + "\x8c\x06bboxesq\x030" + "\x8c\x06scoresq\x040" + "}"}}
}

// mmdetKey is the last two names of a picture's path.
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

// Write writes a picture.
func (m *mmdetWriter) Write(r *Row) error {
	return m.write(r, func(dst []byte, key string) []byte {
		dst = append(appendPickledString(dst, key), '}')
		dst = appendPickledBoxes(append(dst, "h\x03"...), r.Boxes)
		dst = appendPickledScores(append(dst, "sh\x04"...), r.Scores)
		return append(dst, "ss"...)
	})
}
