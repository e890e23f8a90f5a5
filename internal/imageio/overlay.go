package imageio

import (
	"bufio"
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
	if format != "png" && format != "jpeg" {
		return fmt.Errorf("imageio: overlay as %q: want png or jpeg", format)
	}
	if img.Space != raster.RGB && img.Space != raster.Gray {
		return fmt.Errorf("imageio: overlay on an image in %v: want RGB or I", img.Space)
	}
	out := image.NewRGBA(image.Rect(0, 0, img.Width, img.Height))
	last := img.Space.Planes() - 1 // 0 if the image is gray
	r, g, b := img.Plane(0), img.Plane(last/2), img.Plane(last)
	for i := range r {
		copy(out.Pix[4*i:], []uint8{r[i], g[i], b[i], 255})
	}
	line := int32(max(1, (max(img.Width, img.Height)+160)/320))
	whole := box.Box{X1: int32(img.Width), Y1: int32(img.Height)}
	for rank := len(boxes) - 1; rank >= 0; rank-- {
		drawBorder(out, boxes[rank].Intersect(whole), line, rankColor(rank))
	}
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
