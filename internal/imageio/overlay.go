package imageio

import (
	"bufio"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/raster"
)

// Overlay writes an image with boxes drawn on it, as "png" or "jpeg". The boxes are in pixels of
// img, best first; the best is drawn last, on top. Successive boxes have hues that differ by the
// golden angle, so that neighbors in rank are easy to tell apart. Lines are 2 pixels wide on an
// image of 640, and proportionally wider on larger ones. img must be RGB or Gray. The output is
// the same in both builds.
func Overlay(w io.Writer, img *raster.Image, boxes []box.Box, format string) error {
	out, err := newOverlay(img, format)
	if err != nil {
		return err
	}
	line := int32(max(1, (max(img.Width, img.Height)+160)/320))
	whole := box.Box{X1: int32(img.Width), Y1: int32(img.Height)}
	for rank := len(boxes) - 1; rank >= 0; rank-- {
		drawBorder(out, boxes[rank].Intersect(whole), line, rankColor(rank))
	}
	return writeOverlay(w, out, format)
}

// boundaryColor is that of scikit-image's mark_boundaries.
var boundaryColor = color.RGBA{255, 255, 0, 255}

// OverlayBoundaries writes an image with the boundaries of regions drawn on it, in yellow, as "png" or
// "jpeg". labels has the region of each pixel. Lines are 1 pixel wide on an image of 640, and
// proportionally wider on larger ones. img must be RGB or Gray. The output is the same in both builds.
func OverlayBoundaries(ctx context.Context, w io.Writer, img *raster.Image, labels []int32, format string) error {
	out, err := newOverlay(img, format)
	if err != nil {
		return err
	}
	width, line := img.Width, max(1, (max(img.Width, img.Height)+320)/640)
	// A line extends to the right of, and below, the last pixels before a boundary.
	below := make([]int, width) // by column: the number of rows that are still in a line
	for y := range img.Height {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("imageio: %w", err)
		}
		row := labels[y*width:][:width]
		next := row // the last row has no boundary below
		if y+1 < img.Height {
			next = labels[(y+1)*width:][:width]
		}
		right := 0 // the number of columns that are still in a line
		for x, label := range row {
			if label != next[x] || x+1 < width && label != row[x+1] {
				right = line
			}
			if right > 0 {
				right--
				below[x] = line
			}
			if below[x] > 0 {
				below[x]--
				out.SetRGBA(x, y, boundaryColor)
			}
		}
	}
	return writeOverlay(w, out, format)
}

// newOverlay returns a copy of an image to draw on.
func newOverlay(img *raster.Image, format string) (*image.RGBA, error) {
	if format != "png" && format != "jpeg" {
		return nil, fmt.Errorf("imageio: overlay as %q: want png or jpeg", format)
	}
	if img.Space != raster.RGB && img.Space != raster.Gray {
		return nil, fmt.Errorf("imageio: overlay on an image in %v: want RGB or I", img.Space)
	}
	out := image.NewRGBA(image.Rect(0, 0, img.Width, img.Height))
	last := img.Space.Planes() - 1 // 0 if the image is gray
	r, g, b := img.Plane(0), img.Plane(last/2), img.Plane(last)
	for i := range r {
		copy(out.Pix[4*i:], []uint8{r[i], g[i], b[i], 255})
	}
	return out, nil
}

func writeOverlay(w io.Writer, out *image.RGBA, format string) error {
	bw := bufio.NewWriter(w)
	var err error
	if format == "png" {
		err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(bw, out)
	} else {
		err = jpeg.Encode(bw, out, &jpeg.Options{Quality: 90})
	}
	if err == nil {
		err = bw.Flush()
	}
	if err != nil {
		return fmt.Errorf("imageio: overlay: %w", err)
	}
	return nil
}

// OverlayFormat returns the format for [Overlay] that the extension of a file name stands for:
// "png", "jpeg" or, for an unknown one, "".
func OverlayFormat(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png":
		return "png"
	case ".jpg", ".jpeg":
		return "jpeg"
	}
	return ""
}

// drawBorder draws lines along the edges of b, inside b.
func drawBorder(m *image.RGBA, b box.Box, line int32, c color.RGBA) {
	fill := func(x0, y0, x1, y1 int32) {
		for y := max(y0, b.Y0); y < min(y1, b.Y1); y++ {
			for x := max(x0, b.X0); x < min(x1, b.X1); x++ {
				m.SetRGBA(int(x), int(y), c)
			}
		}
	}
	fill(b.X0, b.Y0, b.X1, b.Y0+line)
	fill(b.X0, b.Y1-line, b.X1, b.Y1)
	fill(b.X0, b.Y0, b.X0+line, b.Y1)
	fill(b.X1-line, b.Y0, b.X1, b.Y1)
}

// rankColor returns a saturated color whose hue is rank times the golden angle, from red.
func rankColor(rank int) color.RGBA {
	hue := math.Mod(float64(rank)*0.6180339887498949, 1) * 6
	channel := func(shift float64) uint8 { // HSV with full saturation and value
		k := math.Mod(shift+hue, 6)
		return uint8(float64(255*(1-max(0, min(k, 4-k, 1)))) + 0.5)
	}
	return color.RGBA{channel(5), channel(3), channel(1), 255}
}
