package codec

import "io"

// detectron2Writer writes the precomputed proposals that Detectron2 loads: a pickle of
//
//	{"ids": [...], "boxes": [array...], "objectness_logits": [array...], "bbox_mode": 0}
//
// where the lists have one entry per image: its id, its boxes x0 y0 x1 y1 as float32 of shape (n, 4),
// and its scores as float32 of shape (n,). The mode is XYXY_ABS. An image with an error has no boxes.
//
// The id is [Row.ImageID], as an int if it is one without leading zeros and not Row.TextID. Detectron2
// compares ids as strings, so both COCO's 139 and VOC's "000005" are found; they have to be unique.
// Scores have to decrease strictly, so that Detectron2's sorting keeps the order.
//
// It keeps one image, and about 40 bytes per image written, in memory.
type detectron2Writer struct{ pickleWriter }

func newDetectron2(w io.Writer) Writer {
	return &detectron2Writer{pickleWriter{w: w, key: detectron2Key, head: pickleHead + "}" +
		"\x8c\x03ids]q\x03s" + "\x8c\x05boxes]q\x04s" + "\x8c\x11objectness_logits]q\x05s" + "\x8c\x09bbox_modeK\x00s"}}
}

// detectron2Key returns str(image_id).
func detectron2Key(r *Row) string { return validUTF8(r.ImageID()) }

// Write writes a row.
func (d *detectron2Writer) Write(r *Row) error {
	return d.write(r, func(dst []byte, id string) []byte {
		dst = append(dst, "h\x03"...)
		if r.TextID {
			dst = appendPickledString(dst, id)
		} else {
			dst = appendPickledID(dst, id)
		}
		dst = appendPickledBoxes(append(dst, "a0h\x04"...), r.Boxes)
		dst = appendPickledScores(append(dst, "a0h\x05"...), r.Scores)
		return append(dst, "a0"...)
	})
}
