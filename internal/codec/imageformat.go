package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/proposer/proposer/internal/npy"
)

// ImageFormat is a format of one file per image.
type ImageFormat struct {
	Name string
	// Labels reports whether the files contain the labels of a row instead of its boxes.
	Labels bool

	name   func(r *Row) string
	encode func(r *Row) ([]byte, error)
}

// ImageFormats returns all formats of one file per image.
func ImageFormats() []ImageFormat {
	return []ImageFormat{
		{Name: "npy", name: withExtension(".npy"), encode: func(r *Row) ([]byte, error) { return AppendNPY(nil, r) }},
		{Name: "detreg", name: detregName, encode: encodeDETReg},
		{Name: "siamese-detr", name: siameseName, encode: encodeSiamese},
		{Name: "hosang", name: hosangName, encode: encodeHosang},
		{Name: "labels-png", Labels: true, name: withExtension(".png"), encode: encodeLabelsPNG},
		{Name: "labels-npy", Labels: true, name: withExtension(".npy"), encode: encodeLabelsNPY},
		{Name: "wsod2", Labels: true, name: wsod2Name, encode: encodeWSOD2},
	}
}

// FindImageFormat returns the format with a name, and whether there is one.
func FindImageFormat(name string) (ImageFormat, bool) {
	for _, f := range ImageFormats() {
		if f.Name == name {
			return f, true
		}
	}
	return ImageFormat{}, false
}

// FileName returns the path of a row's file, which depends on File and ID alone. It may begin with a
// slash or contain "..", if File or ID do.
func (f ImageFormat) FileName(r *Row) string { return f.name(r) }

// Encode returns the content of a row's file. It is nil if the row has no file: an image that failed
// has one of no boxes, but none of labels. An invalid row is an error, as in [Writer]. It is safe for
// concurrent use.
func (f ImageFormat) Encode(r *Row) ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	if f.Labels {
		if r.Error != "" {
			return nil, nil
		}
		if len(r.Labels) != r.Width*r.Height {
			return nil, fmt.Errorf("codec: %q is %d × %d and has %d labels: want one per pixel", r.File, r.Width, r.Height, len(r.Labels))
		}
	}
	return f.encode(r)
}

// firstDot returns a path up to its first dot, as DETReg and Siamese DETR do.
func firstDot(name string) string {
	name, _, _ = strings.Cut(name, ".")
	return name
}

// detregName is the base name up to its first dot: DETReg has all files in one folder.
func detregName(r *Row) string { return firstDot(path.Base(r.File)) + ".npy" }

// encodeDETReg encodes what DETReg's SelfDet loads from its cache: a float32 array of shape (n, 4), one
// box per row,
//
//	x0 y0 x1 y1
//
// in the order of the boxes: the loader draws the first ones with a higher probability, and replaces an
// image with fewer than two boxes by another.
func encodeDETReg(r *Row) ([]byte, error) {
	if err := checkFloats(r); err != nil {
		return nil, err
	}
	return appendCorners(npy.AppendHeader(nil, "<f4", len(r.Boxes), 4), r), nil
}

func appendCorners(dst []byte, r *Row) []byte {
	for _, b := range r.Boxes {
		dst = appendFloat(dst, float32(b.X0))
		dst = appendFloat(dst, float32(b.Y0))
		dst = appendFloat(dst, float32(b.X1))
		dst = appendFloat(dst, float32(b.Y1))
	}
	return dst
}

// siameseName is the path up to its first dot, without leading ".." elements, which are no names.
func siameseName(r *Row) string { return firstDot(path.Clean("/" + r.File)[1:]) + ".npy" }

// encodeSiamese encodes what Siamese DETR's data sources load with allow_pickle: an object array without
// dimensions, of the dictionary
//
//	box      (n, 4)  float32  x0 y0 x1 y1
//	score    (n,)    float32
//
// The loader takes the first boxes, and replaces an image without boxes by another.
func encodeSiamese(r *Row) ([]byte, error) {
	if err := checkFloats(r); err != nil {
		return nil, err
	}
	dst := npy.AppendHeader(nil, "|O")
	dst = append(dst, pickleHead...)
	// numpy.dtype("O8", False, True) in the state (3, "|", None, None, None, -1, -1, 63), and the state
	// (1, (), dtype, False, [dictionary]) of the array.
	dst = append(dst, "h\x00h\x01R(K\x01)"+
		"cnumpy\ndtype\n\x8c\x02O8\x89\x88\x87R(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb"+
		"\x89]}("...)
	dst = appendPickledString(dst, "box")
	dst = appendPickledBoxes(dst, r.Boxes)
	dst = appendPickledString(dst, "score")
	dst = appendPickledScores(dst, r.Scores)
	return append(dst, "uatb."...), nil
}

// hosangName is the base name without its extension, in the folders in which read_candidates_mat of
// Hosang's detection-proposals looks: named by the first 4 characters or, for COCO's names of 2014,
// by the first 14 and the first 22.
func hosangName(r *Row) string {
	name := path.Base(r.File)
	name = strings.TrimSuffix(name, path.Ext(name))
	folder := name[:min(4, len(name))]
	if strings.HasPrefix(name, "COCO_") && len(name) >= 22 {
		folder = name[:14] + "/" + name[:22]
	}
	return folder + "/" + name + ".mat"
}

// encodeHosang encodes what Hosang's detection-proposals loads: a MAT-file of level 5 with doubles,
//
//	boxes           (n, 4)  one box per row: x1 y1 x2 y2, counted from 1, inclusive
//	scores          (n, 1)  descending
//	num_candidates  (0, 0)  as in files that can be filtered by score
func encodeHosang(r *Row) ([]byte, error) {
	if err := checkOneBased(r); err != nil {
		return nil, err
	}
	n := len(r.Boxes)
	dst := append([]byte(nil), matHead...)
	matrix := func(name string, rows, columns int, kind uint32, values int) {
		start := len(dst)
		dst = appendArrayHead(dst, mxDOUBLE, rows, columns, name)
		head := appendTag(nil, miMATRIX, len(dst)-start+8+values)
		dst = append(dst[:start], append(head, dst[start:]...)...)
		dst = appendTag(dst, kind, values)
	}
	matrix("boxes", n, 4, miINT32, 16*n)
	for _, b := range r.Boxes {
		dst = appendInt32(dst, b.X0+1)
	}
	for _, b := range r.Boxes {
		dst = appendInt32(dst, b.Y0+1)
	}
	for _, b := range r.Boxes {
		dst = appendInt32(dst, b.X1)
	}
	for _, b := range r.Boxes {
		dst = appendInt32(dst, b.Y1)
	}
	matrix("scores", n, 1, miDOUBLE, 8*n)
	for _, s := range r.Scores {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(float64(s)))
	}
	matrix("num_candidates", 0, 0, miDOUBLE, 0)
	return dst, nil
}

// withExtension returns the path with another extension.
func withExtension(extension string) func(r *Row) string {
	return func(r *Row) string { return strings.TrimSuffix(r.File, path.Ext(r.File)) + extension }
}

// encodeLabelsNPY encodes an int32 array of shape (height, width).
func encodeLabelsNPY(r *Row) ([]byte, error) {
	return AppendLabelsNPY(nil, r.Width, r.Height, r.Labels), nil
}

// AppendLabelsNPY appends a label image as a .npy file: a little-endian int32 array of shape
// (height, width), byte for byte as numpy.save does.
func AppendLabelsNPY(dst []byte, width, height int, labels []int32) []byte {
	dst = npy.AppendHeader(slices.Grow(dst, 128+4*len(labels)), "<i4", height, width)
	for _, label := range labels {
		dst = appendInt32(dst, label)
	}
	return dst
}

// encodeLabelsPNG encodes a gray image whose samples are the labels: 8 bits for up to 256 regions, 16
// bits for up to 65,536. More are an error.
func encodeLabelsPNG(r *Row) ([]byte, error) {
	if len(r.Labels) == 0 || slices.Max(r.Labels) > math.MaxUint8 {
		data, err := EncodeLabelsPNG(r.Width, r.Height, r.Labels)
		if e, ok := errors.AsType[*TooManyRegionsError](err); ok {
			return nil, fmt.Errorf("codec: %q has %d initial regions, and a PNG at most %d: want a larger k or min-size, or format labels-npy",
				r.File, e.Regions, MaxPNGRegions)
		}
		return data, err
	}
	img := image.NewGray(image.Rect(0, 0, r.Width, r.Height))
	for i, label := range r.Labels {
		img.Pix[i] = byte(label)
	}
	return encodePNG(img)
}

// MaxPNGRegions is the number of regions that a PNG can tell apart.
const MaxPNGRegions = math.MaxUint16 + 1

// TooManyRegionsError reports a label image with more than [MaxPNGRegions].
type TooManyRegionsError struct{ Regions int }

func (e *TooManyRegionsError) Error() string {
	return fmt.Sprintf("%d regions: a PNG has at most %d", e.Regions, MaxPNGRegions)
}

// EncodeLabelsPNG encodes a label image as a gray PNG of 16 bits whose samples are the labels. The error
// is a *[TooManyRegionsError].
func EncodeLabelsPNG(width, height int, labels []int32) ([]byte, error) {
	last := int32(0)
	for _, label := range labels {
		last = max(last, label)
	}
	if last >= MaxPNGRegions {
		return nil, &TooManyRegionsError{int(last) + 1}
	}
	// The encoder takes 16-bit samples as interfaces: those of an image.Gray16 are allocated.
	img := &gray16{image.Rect(0, 0, width, height), labels, make([]color.Color, last+1)}
	for label := range img.colors {
		img.colors[label] = color.Gray16{Y: uint16(label)}
	}
	return encodePNG(img)
}

// gray16 is an image of labels with 16 bits.
type gray16 struct {
	bounds image.Rectangle
	labels []int32
	colors []color.Color // by label
}

func (g *gray16) ColorModel() color.Model { return color.Gray16Model }

func (g *gray16) Bounds() image.Rectangle { return g.bounds }

func (g *gray16) At(x, y int) color.Color { return g.colors[g.labels[y*g.bounds.Max.X+x]] }

// wsod2Name is the name of WSOD2's SuperPixels: the id with .jpg, whatever the content is.
func wsod2Name(r *Row) string {
	if r.ID != "" {
		return r.ID + ".jpg"
	}
	name := path.Base(r.File)
	return strings.TrimSuffix(name, path.Ext(name)) + ".jpg"
}

// encodeWSOD2 encodes the labels as the colors of a PNG, R + 256·G + 65536·B, because WSOD2 decodes
// three channels of 8 bits, and tells regions apart by color.
func encodeWSOD2(r *Row) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, r.Width, r.Height))
	for i, label := range r.Labels {
		img.Pix[4*i] = byte(label)
		img.Pix[4*i+1] = byte(label >> 8)
		img.Pix[4*i+2] = byte(label >> 16)
		img.Pix[4*i+3] = math.MaxUint8
	}
	return encodePNG(img)
}

// pngEncoder encodes label images. Small files matter less than time: labels compress well anyway.
var pngEncoder = png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: new(pngBuffers)}

func encodePNG(img image.Image) ([]byte, error) {
	var out bytes.Buffer
	err := pngEncoder.Encode(&out, img)
	return out.Bytes(), err
}

// pngBuffers implements png.EncoderBufferPool.
type pngBuffers struct{ sync.Pool }

func (p *pngBuffers) Get() *png.EncoderBuffer {
	b, _ := p.Pool.Get().(*png.EncoderBuffer)
	return b
}

func (p *pngBuffers) Put(b *png.EncoderBuffer) { p.Pool.Put(b) }
