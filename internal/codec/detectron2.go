package codec

import "io"

// detectron2Writer writes what Detectron2 loads as precomputed proposals: a pickle of
//
//	{"ids": [...], "boxes": [array...], "objectness_logits": [array...], "bbox_mode": 0}
//
// with an entry a picture in each list: its id, its boxes x0 y0 x1 y1 as float32 of the shape (n, 4), and
// its scores as float32 of the shape (n,). The mode is XYXY_ABS. A picture with an error has no boxes.
//
// The id is the row's ID as it is, an int where it is written as one, else the row's Identity. Detectron2
// compares ids as texts, so COCO's 139 and VOC's "000005" are both found, and no two pictures may have
// the same. Scores have to decrease strictly: Detectron2's sorting then keeps the order.
//
// It holds one picture at a time, and some 40 bytes of each that is written. Coordinates are exact to 2^24.
type detectron2Writer struct{ pickleWriter }

func newDetectron2(w io.Writer) Writer {
	return &detectron2Writer{pickleWriter{w: w, key: detectron2Key, head: pickleHead + "}" +
		"\x8c\x03ids]q\x03s" + "\x8c\x05boxes]q\x04s" + "\x8c\x11objectness_logits]q\x05s" + "\x8c\x09bbox_modeK\x00s"}}
}

// detectron2Key is str(image_id).
func detectron2Key(r *Row) string {
	if r.ID != "" {
		return validUTF8(r.ID)
	}
	return validUTF8(r.ImageID())
}

// Write writes a picture.
func (d *detectron2Writer) Write(r *Row) error {
	return d.write(r, func(dst []byte, id string) []byte {
		dst = appendPickledID(append(dst, "h\x03"...), id)
		dst = appendPickledBoxes(append(dst, "a0h\x04"...), r.Boxes)
		dst = appendPickledScores(append(dst, "a0h\x05"...), r.Scores)
		return append(dst, "a0"...)
	})
}
