// The view of the boxes: which are shown, which one is pointed out, and its region.

import * as ranks from "./boxes.js";
import * as evidence from "./evidence.js";
import { List } from "./list.js";
import { crop, tint } from "./rle.js";
import { number, score, several, size } from "./text.js";

const $ = (id) => document.getElementById(id);
const reach = 5; // how near to a border a pointer means it, in CSS pixels

export class BoxPane {
  #list = new List($("list"), $("rows"));
  #count = 25; // how many are wanted
  #colours = [];
  #shown = []; // ranks
  #hovered = -1; // a rank; −1: none
  #held = -1;
  #region = { rank: -1, part: null }; // the last that was decoded

  /** What the service's requests for this view are for. */
  purpose = "boxes";
  /** The service's answer, or null, and its text. */
  answer = null;
  json = "";

  /**
   * @param {import("./view.js").View} view
   * @param {{bitmap: ImageBitmap|null}} picture  the one there is, kept up to date by the page
   * @param {() => void} changed  called when something else is to be shown
   * @param {(strategy: number, position: number) => void} ontree  called to see a region in its tree
   * @param {(e: RangeError) => void} broken  called about a mask that cannot be decoded
   */
  constructor(view, picture, changed, ontree, broken) {
    Object.assign(this, { view, picture, changed, ontree, broken });
    $("filter").addEventListener("submit", (e) => e.preventDefault());
    $("filter").addEventListener("input", (e) => {
      if (e.target.id === "count" && this.answer) {
        this.#count = ranks.scale.count(Number(e.target.value), this.answer.boxes.length);
      }
      this.#filter();
    });
    $("count").addEventListener("keydown", (e) => this.answer && this.#countKey(e.key) && e.preventDefault());
    $("list").addEventListener("keydown", (e) => {
      if (e.key === "Escape") {
        this.release();
      } else if (e.ctrlKey || e.metaKey || e.altKey || !this.key(e.key)) {
        return;
      }
      e.preventDefault();
    });
    $("rows").addEventListener("pointermove", (e) => this.#point(this.#list.rankOf(e)));
    $("rows").addEventListener("pointerleave", () => this.#point(-1));
    $("rows").addEventListener("click", (e) => this.#hold(this.#list.rankOf(e), false));
    this.#filter();
  }

  /** What to ask the service besides the mode. */
  get query() {
    return { order: $("order").value, max: $("max").value, masks: "rle", evidence: 1 };
  }

  /** What to ask it for no more than is shown. */
  get command() {
    const { side, overlap } = this.#want();
    return { order: $("order").value, max: this.#count, ...(side > 0 && { "min-side": side }), ...(overlap < 1 && { nms: overlap }) };
  }

  take(answer, json) {
    if (!Array.isArray(answer.boxes)) {
      throw new RangeError("it has no boxes");
    }
    this.forget();
    Object.assign(this, { answer, json });
    const { boxes, scores, width, height } = answer;
    this.#colours = boxes.map((_, i) => ranks.colour(i, boxes.length));
    this.#list.fill(boxes, scores, this.#colours);
    $("score").max = Math.max(...scores, 0) || 1;
    $("score").step = $("score").max / 500;
    $("side").max = Math.ceil(Math.min(width, height) / 2);
    this.#filter();
  }

  forget() {
    Object.assign(this, { answer: null, json: "" });
    this.#colours = [];
    this.#shown = [];
    this.#hovered = this.#held = -1;
    this.#region = { rank: -1, part: null };
    this.#list.fill([], [], []);
  }

  /** The browser has read the picture, or cannot. */
  pictured() {}

  get summary() {
    return `${number(this.#shown.length)} of ${several(this.answer.boxes.length, "box", "boxes")}`;
  }

  /**
   * @returns {{scene: import("./view.js").Scene, name: string, describe?: () => Node[]}} what to draw, and
   *   what to tell of it under a name that changes with it
   */
  get shown() {
    const { answer } = this;
    const drawn = (i) => ({ box: answer.boxes[i], colour: this.#colours[i] });
    const rank = this.#hovered >= 0 ? this.#hovered : this.#held;
    if (!answer || rank < 0) {
      const scene = { boxes: this.#shown.map(drawn), focus: null, layer: null };
      const name = "Point at a box, or step through them with the arrow keys.";
      return answer && answer.boxes.length > 0
        ? { scene, name, describe: () => evidence.ofAll(name, answer.scores, this.#colours) }
        : { scene, name: answer ? "There are no boxes." : "Evidence for a box appears here." };
    }
    const { box, colour } = drawn(rank);
    const part = this.#regionOf(rank);
    return {
      scene: {
        boxes: this.#shown.filter((i) => i !== rank).map(drawn),
        focus: { box, colour, text: `${rank + 1}   ${score(answer.scores[rank])}` },
        layer: part && { image: tinted(part, colour, 0.4), box, opaque: false },
      },
      name: `box ${rank}`,
      describe: () => evidence.ofBox(rank, colour, answer, this.#cutting(box, part), this.ontree),
    };
  }

  /** A pointer is at a point of the picture; null: nowhere. */
  hover(at) {
    this.#point(at && this.answer ? this.#under(at)[0] ?? -1 : -1);
  }

  /** Holds what a click means: the next larger box if the first is held already. */
  pick(at) {
    const those = this.answer ? this.#under(at) : [];
    this.#hold(those[(those.indexOf(this.#held) + 1) % those.length] ?? -1);
  }

  release() {
    this.#hold(-1);
  }

  /** Does what a key means, of those that step through the boxes; tells whether it means anything. */
  key(key) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[key];
    if (by === undefined || this.#shown.length === 0) {
      return false;
    }
    const rank = this.#shown[Math.min(Math.max(this.#shown.indexOf(this.#held) + by, 0), this.#shown.length - 1)];
    this.#hold(rank);
    const box = this.answer.boxes[rank];
    const made = this.answer.evidence && `, made by ${several(this.answer.evidence[rank].strategies, "tree node")}`;
    $("announce").textContent = `Box ${rank + 1}, score ${score(this.answer.scores[rank])}, ${size(box)} pixels at ${box[0]}, ${box[1]}${made ?? ""}`;
    return true;
  }

  #want() {
    return { count: this.#count, score: Number($("score").value), side: Number($("side").value), overlap: Number($("nms").value) };
  }

  #filter() {
    const total = this.answer?.boxes.length ?? 0;
    const want = this.#want();
    const count = Math.min(want.count, total);
    $("count").value = ranks.scale.t(Math.max(count, 1), total);
    $("count").setAttribute("aria-valuetext", several(count, "box", "boxes"));
    $("count-out").textContent = total > 0 ? number(count) : "";
    $("score-out").textContent = want.score > 0 ? score(want.score) : "any";
    $("side-out").textContent = want.side > 0 ? `${want.side} px` : "any";
    $("nms-out").textContent = want.overlap < 1 ? `IoU ${want.overlap.toFixed(2)}` : "any";
    for (const slider of $("filter").querySelectorAll("input")) {
      const { min, max, value } = slider;
      slider.style.setProperty("--at", `${(100 * (value - min)) / (max - min)}%`); // the style sheet fills it so far
    }
    if (!this.answer) {
      return;
    }
    this.#shown = ranks.select(this.answer.boxes, this.answer.scores, want);
    if (!this.#shown.includes(this.#held)) {
      this.#held = -1;
    }
    this.#hovered = -1;
    this.changed();
    requestAnimationFrame(() => setTimeout(() => this.answer && this.#list.show(this.#shown))); // the picture first
  }

  #countKey(key) {
    const total = this.answer.boxes.length;
    const count = Math.min(this.#count, total);
    const to = {
      ArrowRight: count + 1, ArrowUp: count + 1, ArrowLeft: count - 1, ArrowDown: count - 1,
      PageUp: Math.ceil(count * 1.5), PageDown: Math.floor(count / 1.5), Home: 1, End: total,
    }[key];
    if (to !== undefined) {
      this.#count = Math.min(Math.max(to, 1), total);
      this.#filter();
    }
    return to !== undefined;
  }

  #under(at) {
    return ranks.under(this.answer.boxes, this.#shown, ...at, this.view.reach(reach));
  }

  #point(rank) {
    if (rank !== this.#hovered) {
      this.#hovered = rank;
      this.#list.focus(rank >= 0 ? rank : this.#held);
      this.changed();
    }
  }

  #hold(rank, scroll = true) {
    this.#held = rank;
    this.#hovered = -1;
    this.#list.focus(rank, scroll);
    this.changed();
  }

  /** The region of a box inside the box, or null. */
  #regionOf(rank) {
    if (this.#region.rank !== rank) {
      this.#region = { rank, part: null };
      try {
        const mask = this.answer.masks?.[rank];
        this.#region.part = mask ? crop(mask, this.answer.boxes[rank]) : null;
      } catch (e) {
        this.broken(e);
      }
    }
    return this.#region.part;
  }

  /** What a box shows, its region bright and the rest dim; null: the browser cannot show it. */
  #cutting([x0, y0, x1, y1], part) {
    const { bitmap } = this.picture;
    if (!bitmap) {
      return null;
    }
    const across = bitmap.width / this.answer.width; // 1, if the browser reads the same sides as the service
    const down = bitmap.height / this.answer.height;
    const from = [x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down];
    const scale = Math.min(640 / (x1 - x0), 400 / (y1 - y0));
    const canvas = blank(Math.max(1, Math.round((x1 - x0) * scale)), Math.max(1, Math.round((y1 - y0) * scale)));
    canvas.className = "cutting";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "What the box shows");
    const whole = [0, 0, canvas.width, canvas.height];
    const ctx = canvas.getContext("2d");
    ctx.imageSmoothingQuality = "high";
    if (part) {
      ctx.drawImage(tinted(part, [0, 0, 0], 1), ...whole);
      ctx.globalCompositeOperation = "source-in";
    }
    ctx.drawImage(bitmap, ...from, ...whole);
    if (part) {
      ctx.globalCompositeOperation = "destination-over";
      ctx.globalAlpha = 0.25;
      ctx.drawImage(bitmap, ...from, ...whole);
      ctx.globalAlpha = 1;
      ctx.fillRect(...whole);
    }
    return canvas;
  }
}

function blank(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

function tinted(part, colour, alpha) {
  const canvas = blank(part.width, part.height);
  canvas.getContext("2d").putImageData(tint(part, colour, alpha), 0, 0);
  return canvas;
}
