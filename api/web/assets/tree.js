// A merge tree, and the regions that exist after any number of merges.

/**
 * @typedef {object} Answer  the service's "tree"
 * @property {number} strategy
 * @property {number} width  of the searched image
 * @property {number} height
 * @property {number} leaves  initial regions, nodes 0..leaves−1; merged regions follow in merge order
 * @property {number[]} parents  by node; −1 for the root, the last node
 * @property {(number|null)[]} similarities  by node: of its two children when they were merged
 * @property {number[]} sizes  in pixels of the searched image
 * @property {[number, number, number, number][]} boxes  in pixels of the original image
 * @property {number[]} labels  label, length, label, length, …: runs of initial regions, row-major
 */

export class Tree {
  /**
   * An image of more than maxPixels is subsampled at the centers of the samples. Throws a
   * RangeError if the answer is inconsistent.
   *
   * @param {Answer} answer
   */
  constructor(answer, maxPixels = 1 << 20) {
    const { width, height, leaves, parents, labels } = answer;
    const last = 2 * leaves - 2;
    if (parents.length !== last + 1 || parents.some((p, n) => (n === last ? p !== -1 : p <= n || p < leaves || p > last))) {
      throw new RangeError(`the parents do not form a tree of ${leaves} initial regions`);
    }
    Object.assign(this, { leaves, parents, sizes: answer.sizes, boxes: answer.boxes, similarities: answer.similarities });
    const shrink = Math.min(1, Math.sqrt(maxPixels / (width * height)));
    /** The number of samples per row and column. */
    this.width = Math.max(1, Math.floor(width * shrink));
    this.height = Math.max(1, Math.floor(height * shrink));
    /** The initial region of each sample, row-major. */
    this.labels = this.#sample(labels, width, height);
    this.colors = null;
  }

  get nodes() {
    return this.parents.length;
  }

  /** The number of merges. */
  get merges() {
    return this.leaves - 1;
  }

  /** The number of merges after which a node exists. */
  mergesBefore(node) {
    return Math.max(0, node - this.leaves + 1);
  }

  /** A node's position from the root, which has position 1. */
  position(node) {
    return this.nodes - node;
  }

  /** The similarity at which a node was merged away; 0 for the root. */
  death(node) {
    return this.parents[node] < 0 ? 0 : this.similarities[this.parents[node]];
  }

  /**
   * Returns, for each node that exists after a number of merges, the topmost ancestor that exists.
   * Parents have higher numbers than their children, so one descending pass suffices.
   *
   * @returns {Int32Array} by node
   */
  ancestorsAfter(merges) {
    const count = this.leaves + merges;
    const of = new Int32Array(count);
    for (let n = count - 1; n >= 0; n--) {
      const parent = this.parents[n];
      of[n] = parent >= 0 && parent < count ? of[parent] : n;
    }
    return of;
  }

  /** The node that contains a sample after a number of merges. */
  nodeAt(x, y, merges) {
    const count = this.leaves + merges;
    let n = this.labels[y * this.width + x];
    while (this.parents[n] >= 0 && this.parents[n] < count) {
      n = this.parents[n];
    }
    return n;
  }

  /**
   * Computes the mean color of each node.
   *
   * @param {Uint8ClampedArray|null} rgba  the image at the samples; null if it is not available:
   *   nodes then get arbitrary colors
   */
  computeColors(rgba) {
    const sums = new Float64Array(4 * this.nodes); // red, green, blue and count
    const { labels } = this;
    for (let at = 0; at < labels.length; at++) {
      const n = 4 * labels[at];
      for (let c = 0; c < 3; c++) {
        sums[n + c] += rgba ? rgba[4 * at + c] : arbitraryColor(labels[at], c);
      }
      sums[n + 3]++;
    }
    this.colors = new Uint32Array(this.nodes);
    for (let n = 0; n < this.nodes; n++) {
      const [r, g, b, count] = sums.subarray(4 * n, 4 * n + 4);
      if (count > 0) { // a small region may contain no sample
        this.colors[n] = pack(r / count, g / count, b / count);
      }
      const parent = this.parents[n];
      for (let c = 0; parent >= 0 && c < 4; c++) {
        sums[4 * parent + c] += sums[4 * n + c];
      }
    }
  }

  /**
   * Paints the regions that exist after a number of merges, in time linear in the samples.
   *
   * @param {Uint32Array} out  pixels in the layout of ImageData
   * @param {number} merges
   * @param {"mean"|"outline"} style  mean colors, or outlines on a transparent background
   * @param {number} focus  the node to highlight; −1: none
   */
  paint(out, merges, style, focus) {
    const { width, height, labels } = this;
    const of = this.ancestorsAfter(merges);
    const mean = style === "mean";
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const n = of[labels[at]];
        const right = x + 1 < width ? of[labels[at + 1]] : n;
        const below = y + 1 < height ? of[labels[at + width]] : n;
        const border = right !== n || below !== n;
        if (border && (n === focus || right === focus || below === focus)) {
          out[at] = focusBorder;
        } else if (n === focus) {
          out[at] = mean ? blend(this.colors[n], focusBorder) : focusInside;
        } else if (mean) {
          out[at] = this.colors[n];
        } else {
          out[at] = border ? outlineColor : 0;
        }
      }
    }
  }

  #sample(labels, width, height) {
    let sum = 0;
    for (let run = 0; run < labels.length; run += 2) {
      if (!(labels[run] >= 0 && labels[run] < this.leaves && labels[run + 1] > 0)) {
        throw new RangeError(`the tree's run ${run / 2} is ${labels[run]}, ${labels[run + 1]}: want an initial region and a length`);
      }
      sum += labels[run + 1];
    }
    if (sum !== width * height) {
      throw new RangeError(`the tree's runs have ${sum} pixels: want ${width * height}`);
    }
    const out = new Int32Array(this.width * this.height);
    let run = 0;
    let end = labels[1];
    for (let y = 0, at = 0; y < this.height; y++) {
      const row = Math.floor(((y + 0.5) * height) / this.height) * width;
      for (let x = 0; x < this.width; x++, at++) {
        const pixel = row + Math.floor(((x + 0.5) * width) / this.width);
        while (pixel >= end) {
          run += 2;
          end += labels[run + 1];
        }
        out[at] = labels[run];
      }
    }
    return out;
  }
}

/** A logarithmic scale of the remaining regions, since the last hundred merges matter most. */
export const mergeScale = {
  /** @param {number} t  0..1 */
  merges: (t, leaves) => leaves - Math.round(leaves ** (1 - t)),
  t: (merges, leaves) => (leaves > 1 ? 1 - Math.log(leaves - merges) / Math.log(leaves) : 0),
};

const outlineColor = pack(255, 255, 255);
const focusBorder = pack(255, 176, 0);
const focusInside = (focusBorder & 0x77ffffff) >>> 0;

/** A pixel of ImageData as a little-endian word. */
function pack(r, g, b) {
  return (Math.round(r) | (Math.round(g) << 8) | (Math.round(b) << 16) | (255 << 24)) >>> 0;
}

function blend(a, b) {
  return ((((a >>> 1) & 0x7f7f7f7f) + ((b >>> 1) & 0x7f7f7f7f)) | (255 << 24)) >>> 0;
}

/** A channel of a color of medium lightness, different for nearby numbers. */
function arbitraryColor(n, channel) {
  return 128 + 70 * Math.sin(n * 2.4 + (channel * 2 * Math.PI) / 3);
}
