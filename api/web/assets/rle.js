// COCO's compressed run-length encoding of masks.
//
// The pixels are taken column by column, as runs that are not and are in the mask by
// turns, beginning with those that are not. A run's length, from the fourth on less the
// one two before it, is written in groups of five bits, lowest first, as characters from
// "0" on; the sixth bit says that more groups follow, and the fifth of the last is the sign.

/**
 * The lengths of a mask's runs.
 *
 * @param {string} counts
 * @param {number} pixels  which they must add up to
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
        throw new RangeError(`a mask's counts are broken at character ${at}`);
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
      throw new RangeError(`a mask has a run of ${value} at ${sum - value} of ${pixels} pixels`);
    }
    lengths.push(value);
  }
  if (sum !== pixels) {
    throw new RangeError(`a mask has runs of ${sum} pixels: want ${pixels}`);
  }
  return lengths;
}

/**
 * The part of a mask inside a box, a byte a pixel: 1 in the mask. A part that is larger
 * than most pixels is sampled, by the pixels at the samples' middles.
 *
 * @param {{size: [number, number], counts: string}} mask  size is height, width
 * @param {[number, number, number, number]} box  x0, y0, x1, y1 inside the picture
 * @param {number} most
 * @returns {{width: number, height: number, bits: Uint8Array}} row-major
 */
export function crop(mask, [x0, y0, x1, y1], most = 1 << 20) {
  const [height, width] = mask.size;
  const lengths = runs(mask.counts, height * width);
  const shrink = Math.min(1, Math.sqrt(most / ((x1 - x0) * (y1 - y0))));
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
 * A mask as a picture: its border in a solid colour, what is inside as opaque as is said.
 *
 * @param {{width: number, height: number, bits: Uint8Array}} part
 * @param {[number, number, number]} colour  0..255
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
