// The panel of the boxes: the filter, the list, and the highlighted box with its region.

import { boxesAt, countScale, rankColor, select } from "./boxes.js";
import * as evidence from "./evidence.js";
import { BoxList } from "./box-list.js";
import { crop, tint } from "./rle.js";
import { number, score, plural, size } from "./format.js";

const $ = (id) => document.getElementById(id);
const tolerance = 5; // CSS pixels from a border within which a pointer is on it

export class BoxesPanel {
  #list = new BoxList($("list"), $("rows"));
  #count = 25; // number of boxes to show
  #colors = [];
  #shown = []; // ranks
  #hovered = -1; // rank; −1: none
  #selected = -1;
  #region = { rank: -1, part: null }; // the last decoded region

  /** The purpose of this panel's requests, see requests.js. */
  purpose = "boxes";
  /** The service's answer, or null, and its JSON text. */
  answer = null;
  json = "";

  /**
   * @param {import("./view.js").View} view
   * @param {{bitmap: ImageBitmap|null}} image  the current image, updated by the page
   * @param {() => void} onChange  called when the content has changed
   * @param {(strategy: number, position: number) => void} onShowInTree  called to show a region in its tree
   * @param {(e: RangeError) => void} onMaskError  called when a mask cannot be decoded
   */
  constructor(view, image, onChange, onShowInTree, onMaskError) {
    Object.assign(this, { view, image, onChange, onShowInTree, onMaskError });
    $("filter").addEventListener("submit", (e) => e.preventDefault());
    $("filter").addEventListener("input", (e) => {
      if (e.target.id === "count" && this.answer) {
        this.#count = countScale.count(Number(e.target.value), this.answer.boxes.length);
      }
      this.#filter();
    });
    $("count").addEventListener("keydown", (e) => this.answer && this.#countKey(e.key) && e.preventDefault());
    $("list").addEventListener("keydown", (e) => {
      if (e.key === "Escape") {
        this.deselect();
      } else if (e.ctrlKey || e.metaKey || e.altKey || !this.handleKey(e.key)) {
        return;
      }
      e.preventDefault();
    });
    $("rows").addEventListener("pointermove", (e) => this.#hover(this.#list.rankOf(e)));
    $("rows").addEventListener("pointerleave", () => this.#hover(-1));
    $("rows").addEventListener("click", (e) => this.#select(this.#list.rankOf(e), false));
    this.#filter();
  }

  /** Request options besides the mode. */
  get query() {
    return { order: $("order").value, max: $("max").value, masks: "rle", evidence: 1 };
  }

  /** Request options that return just the boxes shown. */
  get command() {
    const { side, overlap } = this.#limits();
    return { order: $("order").value, max: this.#count, ...(side > 0 && { "min-side": side }), ...(overlap < 1 && { nms: overlap }) };
  }

  setAnswer(answer, json) {
    if (!Array.isArray(answer.boxes)) {
      throw new RangeError("it contains no boxes");
    }
    this.clear();
    Object.assign(this, { answer, json });
    const { boxes, scores, width, height } = answer;
    this.#colors = boxes.map((_, i) => rankColor(i, boxes.length));
    this.#list.fill(boxes, scores, this.#colors);
    $("score").max = Math.max(...scores, 0) || 1;
    $("score").step = $("score").max / 500;
    $("side").max = Math.ceil(Math.min(width, height) / 2);
    this.#filter();
  }

  clear() {
    Object.assign(this, { answer: null, json: "" });
    this.#colors = [];
    this.#shown = [];
    this.#hovered = this.#selected = -1;
    this.#region = { rank: -1, part: null };
    this.#list.fill([], [], []);
  }

  /** Called once the browser has decoded the image, or has failed to. */
  imageLoaded() {}

  get summary() {
    return `${number(this.#shown.length)} of ${plural(this.answer.boxes.length, "box", "boxes")}`;
  }

  /**
   * @returns {{scene: import("./view.js").Scene, name: string, describe?: () => Node[]}} what to draw,
   *   and its description, under a name that changes with it
   */
  get content() {
    const { answer } = this;
    const drawn = (i) => ({ box: answer.boxes[i], color: this.#colors[i] });
    const rank = this.#hovered >= 0 ? this.#hovered : this.#selected;
    if (!answer || rank < 0) {
      const scene = { boxes: this.#shown.map(drawn), focus: null, layer: null };
      const name = "Point at a box, or step through the boxes with the arrow keys.";
      return answer && answer.boxes.length > 0
        ? { scene, name, describe: () => evidence.ofAll(name, answer.scores, this.#colors) }
        : { scene, name: answer ? "No boxes." : "Evidence for a box appears here." };
    }
    const { box, color } = drawn(rank);
    const part = this.#regionOf(rank);
    return {
      scene: {
        boxes: this.#shown.filter((i) => i !== rank).map(drawn),
        focus: { box, color, text: `${rank + 1}   ${score(answer.scores[rank])}` },
        layer: part && { image: tinted(part, color, 0.4), box, opaque: false },
      },
      name: `box ${rank}`,
      describe: () => evidence.ofBox(rank, color, answer, this.#preview(box, part), this.onShowInTree),
    };
  }

  /** Handles a pointer at a point of the image; null: outside. */
  hover(at) {
    this.#hover(at && this.answer ? this.#boxesAt(at)[0] ?? -1 : -1);
  }

  /** Selects the box at a point, or the next larger one if that is selected already. */
  select(at) {
    const candidates = this.answer ? this.#boxesAt(at) : [];
    this.#select(candidates[(candidates.indexOf(this.#selected) + 1) % candidates.length] ?? -1);
  }

  deselect() {
    this.#select(-1);
  }

  /** Handles the keys that step through the boxes; reports whether the key is one of them. */
  handleKey(key) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[key];
    if (step === undefined || this.#shown.length === 0) {
      return false;
    }
    const rank = this.#shown[Math.min(Math.max(this.#shown.indexOf(this.#selected) + step, 0), this.#shown.length - 1)];
    this.#select(rank);
    const box = this.answer.boxes[rank];
    const origins = this.answer.evidence && `, from ${evidence.origins(this.answer.evidence[rank])}`;
    $("announce").textContent = `Box ${rank + 1}, score ${score(this.answer.scores[rank])}, ${size(box)} pixels at ${box[0]}, ${box[1]}${origins ?? ""}`;
    return true;
  }

  #limits() {
    return { count: this.#count, score: Number($("score").value), side: Number($("side").value), overlap: Number($("nms").value) };
  }

  #filter() {
    const total = this.answer?.boxes.length ?? 0;
    const limits = this.#limits();
    const count = Math.min(limits.count, total);
    $("count").value = countScale.t(Math.max(count, 1), total);
    $("count").setAttribute("aria-valuetext", plural(count, "box", "boxes"));
    $("count-out").textContent = total > 0 ? number(count) : "";
    $("score-out").textContent = limits.score > 0 ? score(limits.score) : "any";
    $("side-out").textContent = limits.side > 0 ? `${limits.side} px` : "any";
    $("nms-out").textContent = limits.overlap < 1 ? `IoU ${limits.overlap.toFixed(2)}` : "any";
    for (const slider of $("filter").querySelectorAll("input")) {
      const { min, max, value } = slider;
      slider.style.setProperty("--at", `${(100 * (value - min)) / (max - min)}%`); // the filled part, see style.css
    }
    if (!this.answer) {
      return;
    }
    this.#shown = select(this.answer.boxes, this.answer.scores, limits);
    if (!this.#shown.includes(this.#selected)) {
      this.#selected = -1;
    }
    this.#hovered = -1;
    this.onChange();
    requestAnimationFrame(() => setTimeout(() => this.answer && this.#list.show(this.#shown))); // draw the image first
  }

  #countKey(key) {
    const total = this.answer.boxes.length;
    const count = Math.min(this.#count, total);
    const target = {
      ArrowRight: count + 1, ArrowUp: count + 1, ArrowLeft: count - 1, ArrowDown: count - 1,
      PageUp: Math.ceil(count * 1.5), PageDown: Math.floor(count / 1.5), Home: 1, End: total,
    }[key];
    if (target !== undefined) {
      this.#count = Math.min(Math.max(target, 1), total);
      this.#filter();
    }
    return target !== undefined;
  }

  #boxesAt(at) {
    return boxesAt(this.answer.boxes, this.#shown, ...at, this.view.imagePixels(tolerance));
  }

  #hover(rank) {
    if (rank !== this.#hovered) {
      this.#hovered = rank;
      this.#list.focus(rank >= 0 ? rank : this.#selected);
      this.onChange();
    }
  }

  #select(rank, scroll = true) {
    this.#selected = rank;
    this.#hovered = -1;
    this.#list.focus(rank, scroll);
    this.onChange();
  }

  /** The part of a box's region inside the box, or null. */
  #regionOf(rank) {
    if (this.#region.rank !== rank) {
      this.#region = { rank, part: null };
      try {
        const mask = this.answer.masks?.[rank];
        this.#region.part = mask ? crop(mask, this.answer.boxes[rank]) : null;
      } catch (e) {
        this.onMaskError(e);
      }
    }
    return this.#region.part;
  }

  /** The image inside a box, with the region bright and the rest dim; null if the browser cannot decode it. */
  #preview([x0, y0, x1, y1], part) {
    const { bitmap } = this.image;
    if (!bitmap) {
      return null;
    }
    const across = bitmap.width / this.answer.width; // 1 unless the browser decodes to another size than the service
    const down = bitmap.height / this.answer.height;
    const from = [x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down];
    const scale = Math.min(640 / (x1 - x0), 400 / (y1 - y0));
    const canvas = createCanvas(Math.max(1, Math.round((x1 - x0) * scale)), Math.max(1, Math.round((y1 - y0) * scale)));
    canvas.className = "preview";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "The image inside the box");
    const area = [0, 0, canvas.width, canvas.height];
    const ctx = canvas.getContext("2d");
    ctx.imageSmoothingQuality = "high";
    if (part) {
      ctx.drawImage(tinted(part, [0, 0, 0], 1), ...area);
      ctx.globalCompositeOperation = "source-in";
    }
    ctx.drawImage(bitmap, ...from, ...area);
    if (part) {
      ctx.globalCompositeOperation = "destination-over";
      ctx.globalAlpha = 0.25;
      ctx.drawImage(bitmap, ...from, ...area);
      ctx.globalAlpha = 1;
      ctx.fillRect(...area);
    }
    return canvas;
  }
}

function createCanvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

function tinted(part, color, alpha) {
  const canvas = createCanvas(part.width, part.height);
  canvas.getContext("2d").putImageData(tint(part, color, alpha), 0, 0);
  return canvas;
}
