// The view of a tree: its regions after any number of merges, and the one that is pointed out.

import * as evidence from "./evidence.js";
import { number, several } from "./text.js";
import { Tree, scale } from "./tree.js";

const $ = (id) => document.getElementById(id);
const amber = [255, 176, 0]; // what is pointed out

export class TreePane {
  #tree = null;
  #merges = 0; // walked
  #hovered = null; // a sample, x and y, whose region is pointed out
  #held = null;
  #canvas = document.createElement("canvas"); // of the samples
  #image = null; // its pixels

  /** What the service's requests for this view are for. */
  purpose = "tree";
  /** The service's answer, or null, and its text. */
  answer = null;
  json = "";

  /**
   * @param {import("./view.js").View} view
   * @param {{bitmap: ImageBitmap|null}} picture  the one there is, kept up to date by the page
   * @param {() => void} changed  called when something else is to be shown
   */
  constructor(view, picture, changed) {
    Object.assign(this, { view, picture, changed });
    for (const form of ["walk", "looks"]) {
      $(form).addEventListener("submit", (e) => e.preventDefault());
    }
    $("looks").addEventListener("change", changed);
    $("merges").addEventListener("input", (e) => this.#tree && this.#walk(scale.merges(Number(e.target.value), this.#tree.leaves)));
    $("merges").addEventListener("keydown", (e) => this.key(e.key) && e.preventDefault());
    new ResizeObserver(() => this.#tree && this.#curve()).observe($("curve"));
  }

  get query() {
    return { strategy: $("strategy").value, max: 1, tree: 1 };
  }

  get command() {
    return this.query;
  }

  take(answer, json) {
    if (!answer.tree) {
      throw new RangeError("it has no tree");
    }
    this.forget();
    const tree = new Tree(answer.tree);
    this.#tree = tree;
    Object.assign(this, { answer, json });
    Object.assign(this.#canvas, { width: tree.width, height: tree.height });
    this.#image = new ImageData(tree.width, tree.height);
    this.pictured();
    this.#walk(scale.merges(0.5, tree.leaves));
  }

  forget() {
    Object.assign(this, { answer: null, json: "" });
    this.#tree = this.#hovered = this.#held = null;
  }

  /** Gives the regions their mean colours: the browser has read the picture, or cannot. */
  pictured() {
    if (!this.#tree) {
      return;
    }
    const { width, height } = this.#tree;
    let rgba = null;
    if (this.picture.bitmap) {
      const ctx = new OffscreenCanvas(width, height).getContext("2d");
      ctx.drawImage(this.picture.bitmap, 0, 0, width, height);
      rgba = ctx.getImageData(0, 0, width, height).data;
    }
    this.#tree.colour(rgba);
  }

  get summary() {
    return `${several(this.#tree.leaves - this.#merges, "region")} after ${several(this.#merges, "merge")}`;
  }

  /** As BoxPane's. */
  get shown() {
    const tree = this.#tree;
    if (!tree) {
      return { scene: { boxes: [], focus: null, layer: null }, name: "How regions merge appears here." };
    }
    const node = this.#node();
    tree.paint(new Uint32Array(this.#image.data.buffer), this.#merges, $("looks").elements.look.value, node);
    this.#canvas.getContext("2d").putImageData(this.#image, 0, 0);
    this.#curve();
    const layer = { image: this.#canvas, box: [0, 0, this.view.width, this.view.height], opaque: true };
    if (node < 0) {
      return { scene: { boxes: [], focus: null, layer }, name: "Point at a region, and move the slider to see it grow." };
    }
    return {
      scene: { boxes: [], focus: { box: tree.boxes[node], colour: amber, text: `${number(tree.sizes[node])} px` }, layer },
      name: `node ${node}`,
      describe: () => evidence.ofNode(node, tree, this.answer.strategies[this.answer.tree.strategy], amber),
    };
  }

  hover(at) {
    if (this.#tree) {
      const before = this.#node();
      this.#hovered = at && this.#sample(at);
      if (this.#node() !== before) {
        this.changed();
      }
    }
  }

  pick(at) {
    this.#held = this.#tree && this.#sample(at);
    this.changed();
  }

  release() {
    this.#hovered = this.#held = null;
    this.changed();
  }

  /** Does what a key means, of those that walk the merges; tells whether it means anything. */
  key(key) {
    if (!this.#tree) {
      return false;
    }
    const { leaves } = this.#tree;
    const merges = this.#merges;
    const leap = (by) => scale.merges(Math.min(Math.max(scale.t(merges, leaves) + by, 0), 1), leaves);
    const to = {
      ArrowRight: merges + 1, ArrowUp: merges + 1, ArrowLeft: merges - 1, ArrowDown: merges - 1,
      PageUp: leap(0.05), PageDown: leap(-0.05), Home: 0, End: leaves - 1,
    }[key];
    if (to !== undefined) {
      this.#walk(to);
    }
    return to !== undefined;
  }

  /** Goes to where the node at a position from the root was just made, and holds it. */
  go(position) {
    const tree = this.#tree;
    const node = tree.nodes - position;
    const merges = tree.birth(node);
    const of = tree.after(merges);
    const at = tree.labels.findIndex((label) => of[label] === node);
    if (at >= 0) { // else it lies between the samples
      this.#held = [at % tree.width, Math.floor(at / tree.width)];
    }
    this.#walk(merges);
  }

  #walk(merges) {
    const { leaves, similarities } = this.#tree;
    this.#merges = Math.min(Math.max(merges, 0), leaves - 1);
    const slider = $("merges");
    slider.value = scale.t(this.#merges, leaves);
    slider.disabled = leaves === 1;
    const told = `${number(leaves - this.#merges)} of ${number(leaves)}`;
    slider.setAttribute("aria-valuetext", `${told} regions`);
    $("merges-out").textContent = this.#merges === 0 ? told
      : `${told}, last merge at ${similarities[leaves + this.#merges - 1].toFixed(3)}`;
    this.changed();
  }

  /** The node that is pointed out, or −1. */
  #node() {
    const sample = this.#hovered ?? this.#held;
    return sample ? this.#tree.at(...sample, this.#merges) : -1;
  }

  /** The sample at a point of the picture, or null outside. */
  #sample([x, y]) {
    const { width, height } = this.view;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) {
      return null;
    }
    return [Math.floor((x / width) * this.#tree.width), Math.floor((y / height) * this.#tree.height)];
  }

  /** Draws the similarities of the merges over the slider's scale. */
  #curve() {
    const canvas = $("curve");
    const density = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * density);
    canvas.height = Math.round(canvas.clientHeight * density);
    const { leaves } = this.#tree;
    const similarities = this.#tree.similarities.slice(leaves); // by merge
    const most = similarities.reduce((a, b) => Math.max(a, b), 0);
    const least = similarities.reduce((a, b) => Math.min(a, b), most);
    const inset = 8 * density; // half of the slider's thumb
    const x = (merges) => inset + scale.t(merges, leaves) * (canvas.width - 2 * inset);
    const y = (s) => 2 * density + (most > least ? (most - s) / (most - least) : 0) * (canvas.height - 4 * density);
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
