// The panel of a merge tree: its regions after any number of merges, and the highlighted one.

import * as evidence from "./evidence.js";
import { number, plural } from "./format.js";
import { Tree, mergeScale } from "./tree.js";

const $ = (id) => document.getElementById(id);
const highlight = [255, 176, 0];

export class TreePanel {
  #tree = null;
  #merges = 0; // the slider's position
  #hovered = null; // [x, y] of the sample under the pointer
  #selected = null;
  #canvas = document.createElement("canvas"); // one pixel per sample
  #pixels = null; // the canvas's ImageData

  /** The purpose of this panel's requests, see requests.js. */
  purpose = "tree";
  /** The service's answer, or null, and its JSON text. */
  answer = null;
  json = "";

  /**
   * @param {import("./view.js").View} view
   * @param {{bitmap: ImageBitmap|null}} image  the current image, updated by the page
   * @param {() => void} onChange  called when the content has changed
   */
  constructor(view, image, onChange) {
    Object.assign(this, { view, image, onChange });
    for (const form of ["merge-form", "style-form"]) {
      $(form).addEventListener("submit", (e) => e.preventDefault());
    }
    $("style-form").addEventListener("change", onChange);
    $("merges").addEventListener("input", (e) => this.#tree && this.#setMerges(mergeScale.merges(Number(e.target.value), this.#tree.leaves)));
    $("merges").addEventListener("keydown", (e) => this.handleKey(e.key) && e.preventDefault());
    new ResizeObserver(() => this.#tree && this.#plotSimilarities()).observe($("curve"));
  }

  get query() {
    return { strategy: $("strategy").value, max: 1, tree: 1 };
  }

  get command() {
    return this.query;
  }

  setAnswer(answer, json) {
    if (!answer.tree) {
      throw new RangeError("it contains no tree");
    }
    this.clear();
    const tree = new Tree(answer.tree);
    this.#tree = tree;
    Object.assign(this, { answer, json });
    Object.assign(this.#canvas, { width: tree.width, height: tree.height });
    this.#pixels = new ImageData(tree.width, tree.height);
    this.imageLoaded();
    this.#setMerges(mergeScale.merges(0.5, tree.leaves));
  }

  clear() {
    Object.assign(this, { answer: null, json: "" });
    this.#tree = this.#hovered = this.#selected = null;
  }

  /** Computes the regions' colors once the browser has decoded the image, or has failed to. */
  imageLoaded() {
    if (!this.#tree) {
      return;
    }
    const { width, height } = this.#tree;
    let rgba = null;
    if (this.image.bitmap) {
      const ctx = new OffscreenCanvas(width, height).getContext("2d");
      ctx.drawImage(this.image.bitmap, 0, 0, width, height);
      rgba = ctx.getImageData(0, 0, width, height).data;
    }
    this.#tree.computeColors(rgba);
  }

  get summary() {
    return `${plural(this.#tree.leaves - this.#merges, "region")} after ${plural(this.#merges, "merge")}`;
  }

  /** See BoxesPanel.content. */
  get content() {
    const tree = this.#tree;
    if (!tree) {
      return { scene: { boxes: [], focus: null, layer: null }, name: "The regions of a merge tree appear here." };
    }
    const node = this.#node();
    tree.paint(new Uint32Array(this.#pixels.data.buffer), this.#merges, $("style-form").elements.style.value, node);
    this.#canvas.getContext("2d").putImageData(this.#pixels, 0, 0);
    this.#plotSimilarities();
    const layer = { image: this.#canvas, box: [0, 0, this.view.width, this.view.height], opaque: true };
    if (node < 0) {
      return { scene: { boxes: [], focus: null, layer }, name: "Point at a region, and move the slider to see it grow." };
    }
    return {
      scene: { boxes: [], focus: { box: tree.boxes[node], color: highlight, text: `${number(tree.sizes[node])} px` }, layer },
      name: `node ${node}`,
      describe: () => evidence.ofNode(node, tree, this.answer.strategies[this.answer.tree.strategy], highlight),
    };
  }

  hover(at) {
    if (this.#tree) {
      const before = this.#node();
      this.#hovered = at && this.#sample(at);
      if (this.#node() !== before) {
        this.onChange();
      }
    }
  }

  select(at) {
    this.#selected = this.#tree && this.#sample(at);
    this.onChange();
  }

  deselect() {
    this.#hovered = this.#selected = null;
    this.onChange();
  }

  /** Handles the keys that step through the merges; reports whether the key is one of them. */
  handleKey(key) {
    if (!this.#tree) {
      return false;
    }
    const { leaves } = this.#tree;
    const merges = this.#merges;
    const jump = (by) => mergeScale.merges(Math.min(Math.max(mergeScale.t(merges, leaves) + by, 0), 1), leaves);
    const target = {
      ArrowRight: merges + 1, ArrowUp: merges + 1, ArrowLeft: merges - 1, ArrowDown: merges - 1,
      PageUp: jump(0.05), PageDown: jump(-0.05), Home: 0, End: leaves - 1,
    }[key];
    if (target !== undefined) {
      this.#setMerges(target);
    }
    return target !== undefined;
  }

  /** Shows the merge that creates the node at a position from the root, and selects the node. */
  showNode(position) {
    const tree = this.#tree;
    const node = tree.nodes - position;
    const merges = tree.mergesBefore(node);
    const ancestors = tree.ancestorsAfter(merges);
    const at = tree.labels.findIndex((label) => ancestors[label] === node);
    if (at >= 0) { // else it contains no sample
      this.#selected = [at % tree.width, Math.floor(at / tree.width)];
    }
    this.#setMerges(merges);
  }

  #setMerges(merges) {
    const { leaves, similarities } = this.#tree;
    this.#merges = Math.min(Math.max(merges, 0), leaves - 1);
    const slider = $("merges");
    slider.value = mergeScale.t(this.#merges, leaves);
    slider.disabled = leaves === 1;
    const progress = `${number(leaves - this.#merges)} of ${number(leaves)}`;
    slider.setAttribute("aria-valuetext", `${progress} regions`);
    $("merges-out").textContent = this.#merges === 0 ? progress
      : `${progress}, last merge at ${similarities[leaves + this.#merges - 1].toFixed(3)}`;
    this.onChange();
  }

  /** The highlighted node, or −1. */
  #node() {
    const sample = this.#hovered ?? this.#selected;
    return sample ? this.#tree.nodeAt(...sample, this.#merges) : -1;
  }

  /** The sample at a point of the image, or null outside. */
  #sample([x, y]) {
    const { width, height } = this.view;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) {
      return null;
    }
    return [Math.floor((x / width) * this.#tree.width), Math.floor((y / height) * this.#tree.height)];
  }

  /** Plots the similarity of each merge on the slider's scale. */
  #plotSimilarities() {
    const canvas = $("curve");
    const density = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * density);
    canvas.height = Math.round(canvas.clientHeight * density);
    const { leaves } = this.#tree;
    const similarities = this.#tree.similarities.slice(leaves); // by merge
    const max = similarities.reduce((a, b) => Math.max(a, b), 0);
    const min = similarities.reduce((a, b) => Math.min(a, b), max);
    const inset = 8 * density; // half of the slider's thumb
    const x = (merges) => inset + mergeScale.t(merges, leaves) * (canvas.width - 2 * inset);
    const y = (s) => 2 * density + (max > min ? (max - s) / (max - min) : 0) * (canvas.height - 4 * density);
    const style = getComputedStyle(canvas);
    const ctx = canvas.getContext("2d");
    ctx.lineWidth = 1.5 * density;
    ctx.lineJoin = "round";
    ctx.strokeStyle = style.getPropertyValue("--muted");
    ctx.beginPath();
    similarities.forEach((s, i) => ctx.lineTo(x(i + 1), y(s)));
    ctx.stroke();
    ctx.fillStyle = style.getPropertyValue("--ink");
    ctx.fillRect(Math.round(x(this.#merges)), 0, Math.max(1, Math.round(density)), canvas.height);
  }
}
