// A tree of regions, and how it looks after any number of merges.

/**
 * @typedef {object} Answer  the service's "tree"
 * @property {number} strategy
 * @property {number} width  of the searched picture
 * @property {number} height
 * @property {number} leaves  first regions, nodes 0..leaves−1; then the merges in their order
 * @property {number[]} parents  by node; −1 of the last, the root
 * @property {(number|null)[]} similarities  of a node's two children when they were merged
 * @property {number[]} sizes  in pixels of the searched picture
 * @property {[number, number, number, number][]} boxes  in pixels of the original
 * @property {number[]} labels  label, length, label, length, …: runs of first regions, row-major
 */

export class Tree {
  /**
   * A picture of more than most pixels is sampled, by the pixels at the samples' middles.
   * An answer that does not hold together is a RangeError.
   *
   * @param {Answer} answer
   */
  constructor(answer, most = 1 << 20) {
    const { width, height, leaves, parents, labels } = answer;
    const last = 2 * leaves - 2;
    if (parents.length !== last + 1 || parents.some((p, n) => (n === last ? p !== -1 : p <= n || p < leaves || p > last))) {
      throw new RangeError(`the tree's parents are no tree of ${leaves} first regions`);
    }
    Object.assign(this, { leaves, parents, sizes: answer.sizes, boxes: answer.boxes, similarities: answer.similarities });
    const shrink = Math.min(1, Math.sqrt(most / (width * height)));
    /** The samples across and down. */
    this.width = Math.max(1, Math.floor(width * shrink));
    this.height = Math.max(1, Math.floor(height * shrink));
    /** The samples' first regions, row-major. */
    this.labels = this.#sample(labels, width, height);
    this.colours = null;
  }

  get nodes() {
    return this.parents.length;
  }

  /** How many merges there are. */
  get merges() {
    return this.leaves - 1;
  }

  /** The first number of merges after which a node is there. */
  birth(node) {
    return Math.max(0, node - this.leaves + 1);
  }

  /** A node's place from the root, which is 1: what evidence calls its position. */
  position(node) {
    return this.nodes - node;
  }

  /** The similarity at which a node was merged away; 0 for the root. */
  death(node) {
    return this.parents[node] < 0 ? 0 : this.similarities[this.parents[node]];
  }

  /**
   * The nodes that the first regions belong to after so many merges. Parents have
   * higher numbers, so one pass downwards finds them all.
   *
   * @returns {Int32Array} by node; of nodes that are not there yet it says nothing
   */
  after(merges) {
    const there = this.leaves + merges;
    const of = new Int32Array(there);
    for (let n = there - 1; n >= 0; n--) {
      const parent = this.parents[n];
      of[n] = parent >= 0 && parent < there ? of[parent] : n;
    }
    return of;
  }

  /** The node at a sample after so many merges. */
  at(x, y, merges) {
    const there = this.leaves + merges;
    let n = this.labels[y * this.width + x];
    while (this.parents[n] >= 0 && this.parents[n] < there) {
      n = this.parents[n];
    }
    return n;
  }

  /**
   * Gives every node the mean colour of its samples.
   *
   * @param {Uint8ClampedArray|null} rgba  the picture at the samples; null: there is none to
   *   be had, and nodes get colours that merely differ
   */
  colour(rgba) {
    const sums = new Float64Array(4 * this.nodes); // red, green, blue and count
    const { labels } = this;
    for (let at = 0; at < labels.length; at++) {
      const n = 4 * labels[at];
      for (let c = 0; c < 3; c++) {
        sums[n + c] += rgba ? rgba[4 * at + c] : arbitrary(labels[at], c);
      }
      sums[n + 3]++;
    }
    this.colours = new Uint32Array(this.nodes);
    for (let n = 0; n < this.nodes; n++) {
      const [r, g, b, count] = sums.subarray(4 * n, 4 * n + 4);
      if (count > 0) { // a small region may lie between the samples
        this.colours[n] = pack(r / count, g / count, b / count);
      }
      const parent = this.parents[n];
      for (let c = 0; parent >= 0 && c < 4; c++) {
        sums[4 * parent + c] += sums[4 * n + c];
      }
    }
  }

  /**
   * Paints the regions that there are after so many merges, in time linear in the samples.
   *
   * @param {Uint32Array} out  the samples' pixels, as ImageData has them
   * @param {number} merges
   * @param {"mean"|"outline"} look  mean colours, or lines between the regions on nothing
   * @param {number} focus  the node to point out; −1: none
   */
  paint(out, merges, look, focus) {
    const { width, height, labels } = this;
    const of = this.after(merges);
    const mean = look === "mean";
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const n = of[labels[at]];
        const right = x + 1 < width ? of[labels[at + 1]] : n;
        const below = y + 1 < height ? of[labels[at + width]] : n;
        const border = right !== n || below !== n;
        if (border && (n === focus || right === focus || below === focus)) {
          out[at] = focusBorder;
        } else if (n === focus) {
          out[at] = mean ? halfway(this.colours[n], focusBorder) : focusInside;
        } else if (mean) {
          out[at] = this.colours[n];
        } else {
          out[at] = border ? line : 0;
        }
      }
    }
  }

  #sample(labels, width, height) {
    let sum = 0;
    for (let run = 0; run < labels.length; run += 2) {
      if (!(labels[run] >= 0 && labels[run] < this.leaves && labels[run + 1] > 0)) {
        throw new RangeError(`the tree's run ${run / 2} is ${labels[run]}, ${labels[run + 1]}: want a first region and a length`);
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

/** Merges are walked by the logarithm of what is left: the last hundred tell the most. */
export const scale = {
  /** @param {number} t  0..1 */
  merges: (t, leaves) => leaves - Math.round(leaves ** (1 - t)),
  t: (merges, leaves) => (leaves > 1 ? 1 - Math.log(leaves - merges) / Math.log(leaves) : 0),
};

const line = pack(255, 255, 255);
const focusBorder = pack(255, 176, 0);
const focusInside = (focusBorder & 0x77ffffff) >>> 0;

/** A pixel of ImageData as a word, of a machine that has the low byte first. */
function pack(r, g, b) {
  return (Math.round(r) | (Math.round(g) << 8) | (Math.round(b) << 16) | (255 << 24)) >>> 0;
}

function halfway(a, b) {
  return ((((a >>> 1) & 0x7f7f7f7f) + ((b >>> 1) & 0x7f7f7f7f)) | (255 << 24)) >>> 0;
}

/** A channel of a colour of medium lightness that differs from those of the numbers nearby. */
function arbitrary(n, channel) {
  return 128 + 70 * Math.sin(n * 2.4 + (channel * 2 * Math.PI) / 3);
}
