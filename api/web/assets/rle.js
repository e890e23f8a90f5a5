// COCO's compressed run-length encoding of masks.
//
// Pixels are in column-major order, in runs that are alternately outside and inside the mask,
// beginning with outside. From the fourth run on, the difference to the run two before is
// stored. A number is written in groups of five bits, lowest first, as characters starting at "0";
// the sixth bit means that more groups follow, and the fifth bit of the last group is the sign.

/**
 * Decodes the run lengths of a mask.
 *
 * @param {string} counts
 * @param {number} pixels  the required sum
 * @returns {number[]}
 */
export function runs(counts, pixels) {
  const lengths = [];
  let sum = 0;
  for (let at = 0; at < counts.length; ) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const group = counts.charCodeAt(at++) - 48;
      if (!(group >= 0 && group < 64) || shift > 30) { // NaN beyond the end
        throw new RangeError(`the mask's counts are invalid at character ${at}`);
      }
      value |= (group & 31) << shift;
      shift += 5;
      more = (group & 32) !== 0;
      if (!more && group & 16 && shift < 32) {
        value |= -1 << shift;
      }
    }
    if (lengths.length > 2) {
      value += lengths[lengths.length - 2];
    }
    sum += value;
    if (value < 0 || sum > pixels) {
      throw new RangeError(`the mask has a run of ${value} at ${sum - value} of ${pixels} pixels`);
    }
    lengths.push(value);
  }
  if (sum !== pixels) {
    throw new RangeError(`the mask's runs have ${sum} pixels: want ${pixels}`);
  }
  return lengths;
}

/**
 * Returns the part of a mask inside a box, one byte per pixel, 1 inside the mask. A part of more
 * than max pixels is subsampled at the centers of the samples.
 *
 * @param {{size: [number, number], counts: string}} mask  size is height, width
 * @param {[number, number, number, number]} box  x0, y0, x1, y1 inside the image
 * @param {number} max
 * @returns {{width: number, height: number, bits: Uint8Array}} row-major
 */
export function crop(mask, [x0, y0, x1, y1], max = 1 << 20) {
  const [height, width] = mask.size;
  const lengths = runs(mask.counts, height * width);
  const shrink = Math.min(1, Math.sqrt(max / ((x1 - x0) * (y1 - y0))));
  const w = Math.max(1, Math.floor((x1 - x0) * shrink));
  const h = Math.max(1, Math.floor((y1 - y0) * shrink));
  const rows = Int32Array.from({ length: h }, (_, i) => y0 + Math.floor(((i + 0.5) * (y1 - y0)) / h));
  const bits = new Uint8Array(w * h);
  let run = 0;
  let end = lengths[0];
  for (let i = 0; i < w; i++) {
    const column = (x0 + Math.floor(((i + 0.5) * (x1 - x0)) / w)) * height;
    for (let j = 0; j < h; j++) {
      while (column + rows[j] >= end) {
        end += lengths[++run];
      }
      bits[j * w + i] = run & 1;
    }
  }
  return { width: w, height: h, bits };
}

/**
 * Renders a mask: its border in a solid color, its inside with the given opacity.
 *
 * @param {{width: number, height: number, bits: Uint8Array}} part
 * @param {[number, number, number]} color  0..255
 * @param {number} alpha  0..1
 * @returns {ImageData}
 */
export function tint({ width, height, bits }, [r, g, b], alpha) {
  const image = new ImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  const rgb = r | (g << 8) | (b << 16);
  const inside = (rgb | (Math.round(255 * alpha) << 24)) >>> 0;
  const border = (rgb | (0xff << 24)) >>> 0;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (bits[at] === 0) {
        continue;
      }
      const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
        !(bits[at - 1] && bits[at + 1] && bits[at - width] && bits[at + width]);
      words[at] = edge ? border : inside;
    }
  }
  return image;
}
