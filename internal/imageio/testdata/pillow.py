"""Writes images with Pillow and OpenCV to a folder, and what Pillow reads of each image in it.

For each FILE there is FILE.rgb, the size and the pixels in RGB over white, or FILE.err.
"""

import os
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps, features

warnings.simplefilter("ignore")
folder = sys.argv[1]


def photo(width, height):
    """A smooth color image with some texture."""
    y, x = np.mgrid[:height, :width].astype(float)
    r = 128 + 90 * np.sin(x / 17) * np.cos(y / 23) + 20 * np.sin(x * y / 300)
    g = 120 + 80 * np.cos(x / 11 + y / 31)
    b = 100 + 100 * np.sin((x + 2 * y) / 40)
    return np.clip(np.dstack([r, g, b]), 0, 255).astype(np.uint8)


def write():
    def save(image, name, **options):
        image.save(os.path.join(folder, "python " + name), **options)

    rgb = Image.fromarray(photo(97, 61))
    gray = rgb.convert("L")
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 97).astype(np.uint8), (61, 1)))
    rgba = Image.merge("RGBA", (*rgb.split(), alpha))
    exif = Image.Exif()
    exif[0x0112] = 6
    # JPEG: sampling factors of chroma, progressive coding, orientations.
    for subsampling in range(3):
        for progressive in (False, True):
            for quality in (30, 95):
                save(rgb, f"{subsampling} {progressive} {quality}.jpg", subsampling=subsampling, progressive=progressive,
                     quality=quality)
    save(gray, "gray.jpg", quality=90)
    save(gray, "gray progressive.jpg", quality=90, progressive=True)
    save(rgb, "optimized.jpg", quality=90, optimize=True)
    save(rgb, "orientation.jpg", quality=95, exif=exif)
    save(rgb.convert("CMYK"), "cmyk.jpg", quality=95)
    save(rgb, "two pictures.mpo", quality=95, save_all=True, append_images=[gray.convert("RGB")])
    # WebP.
    save(rgb, "lossless.webp", lossless=True)
    save(rgba, "lossless alpha.webp", lossless=True, exact=True)
    save(rgb, "lossy.webp", quality=90)
    save(rgba, "lossy alpha.webp", quality=90, exact=True)
    save(rgb, "orientation.webp", lossless=True, exif=exif)
    # PNG.
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        save((rgba if "A" in mode else rgb).convert(mode), f"{mode}.png")
    save(rgb, "orientation.png", exif=exif)
    save(rgb.quantize(16), "palette of 16 colors.png", bits=4)
    # TIFF, by libtiff.
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        for mode in ("1", "L", "P", "RGB", "RGBA"):
            save((rgba if "A" in mode else rgb).convert(mode), f"{mode} {compression}.tiff", compression=compression)
    for compression in ("group3", "group4", "tiff_ccitt"):
        save(rgb.convert("1"), f"{compression}.tiff", compression=compression)
    save(rgb, "two pages.tiff", save_all=True, append_images=[gray])
    save(rgb, "orientation.tiff", exif=exif)
    for compression in ("jpeg", "zstd", "webp"):
        if features.check_codec("libtiff"):
            try:
                save(rgb, f"refused {compression}.tiff", compression=compression)
            except Exception:  # libtiff without it
                os.remove(os.path.join(folder, f"python refused {compression}.tiff"))
    save(rgb.convert("CMYK"), "refused CMYK.tiff")
    save(rgb.convert("YCbCr"), "refused YCbCr.tiff")
    save(rgb.convert("LAB"), "refused Lab.tiff")
    save(gray.convert("F"), "refused floating point.tiff")
    save(gray.convert("I"), "refused 32 bits.tiff")
    # BMP.
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        save((rgba if "A" in mode else rgb).convert(mode), f"{mode}.bmp")
    # GIF.
    save(rgb, "palette.gif")
    # Formats that are refused.
    for name in ("jp2", "ppm", "tga", "pcx", "sgi", "ico"):
        save(rgb, f"refused.{name}")


def read(path):
    image = Image.open(path)
    image.load()
    if image.format != "TIFF":  # which Pillow turns when it loads it
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        values = (np.asarray(image).astype(np.int64) * 255 + 32767) // 65535
        return np.dstack([values] * 3).astype(np.uint8)
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    if image.mode in ("LA", "RGBA"):
        pixels = np.asarray(image.convert("RGBA")).astype(float)
        a = pixels[:, :, 3:] / 255
        return np.rint(pixels[:, :, :3] * a + 255 * (1 - a)).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


write()
for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    try:
        pixels = read(path)
    except Exception as e:
        with open(path + ".err", "w") as f:
            f.write(f"{type(e).__name__}: {e}")
        continue
    with open(path + ".rgb", "wb") as f:
        f.write(b"%d %d\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes())
