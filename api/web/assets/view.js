// The stage: two canvases, the picture and above it what is drawn on it, both with a
// pixel for each of the screen's. It knows where the picture lies on the screen, and
// boxes, regions and names on it; it does not know where they come from.

import { css } from "./boxes.js";

const margin = 16; // around a picture that fits, in CSS pixels
const mostZoom = 32; // screen pixels a picture pixel
const pixelated = 3; // from so many screen pixels a picture pixel on, pixels are shown as such

/**
 * @typedef {object} Scene  what is drawn on the picture
 * @property {{box: number[], colour: number[]}[]} boxes  the first on top
 * @property {{box: number[], colour: number[], text: string}|null} focus  the box that is pointed out
 * @property {{image: CanvasImageSource, box: number[], opaque: boolean}|null} layer  a picture to lay into a box
 */

export class View {
  #frame = 0;
  #stale = true; // the picture's canvas
  #source = null;
  #zoom = 1; // 1: the picture fits
  #centre = [0.5, 0.5]; // the picture's point in the middle of the stage, of its sides
  /** @type {Scene} */
  #scene = { boxes: [], focus: null, layer: null };

  /** The picture's sides in pixels, 0 for none. */
  width = 0;
  height = 0;

  /** Called after the zoom has changed. */
  onzoom = () => {};

  constructor(room, picture, overlay) {
    this.room = room;
    this.picture = picture;
    this.overlay = overlay;
    new ResizeObserver(() => this.#redraw(true)).observe(room);
    // The screen may change its density without a change of size.
    const density = () => {
      this.#redraw(true);
      matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", density, { once: true });
    };
    density();
    for (const scheme of ["dark", "light"]) {
      matchMedia(`(prefers-color-scheme: ${scheme})`).addEventListener("change", () => this.#redraw(true));
    }
  }

  /** @param {CanvasImageSource|null} source  null: a plain ground */
  show(source, width, height) {
    const same = width === this.width && height === this.height;
    Object.assign(this, { width, height });
    this.#source = source;
    if (!same) {
      this.fit();
    }
    this.#redraw(true);
  }

  /** @param {Scene} scene */
  draw(scene) {
    this.#scene = scene;
    this.#redraw(false);
  }

  /** Screen pixels a picture pixel. */
  get scale() {
    if (this.width === 0) {
      return devicePixelRatio;
    }
    const density = devicePixelRatio;
    const room = this.room.getBoundingClientRect();
    const fit = Math.min((room.width - 2 * margin) / this.width, (room.height - 2 * margin) / this.height) * density;
    return Math.max(fit, 1e-3) * this.#zoom;
  }

  get fits() {
    return this.#zoom === 1;
  }

  fit() {
    this.#zoom = 1;
    this.#centre = [0.5, 0.5];
    this.#redraw(true);
    this.onzoom();
  }

  /** Zooms by a factor, and keeps the picture where it is under a point of the window. */
  zoom(factor, clientX, clientY) {
    if (this.width === 0) {
      return;
    }
    const room = this.room.getBoundingClientRect();
    const x = clientX ?? room.left + room.width / 2;
    const y = clientY ?? room.top + room.height / 2;
    const [px, py] = this.locate(x, y);
    const most = Math.max(1, mostZoom / (this.scale / this.#zoom));
    this.#zoom = Math.min(Math.max(this.#zoom * factor, 1), most);
    const [qx, qy] = this.locate(x, y);
    this.#move(px - qx, py - qy);
    this.onzoom();
  }

  /** Moves the picture by CSS pixels. */
  pan(dx, dy) {
    const pixels = devicePixelRatio / this.scale;
    this.#move(-dx * pixels, -dy * pixels);
  }

  /** The picture's point, in its pixels, at a point of the window. */
  locate(clientX, clientY) {
    const room = this.room.getBoundingClientRect();
    const pixels = devicePixelRatio / this.scale;
    return [
      this.#centre[0] * this.width + (clientX - room.left - room.width / 2) * pixels,
      this.#centre[1] * this.height + (clientY - room.top - room.height / 2) * pixels,
    ];
  }

  /** How many of the picture's pixels so many CSS pixels are. */
  reach(css) {
    return (css * devicePixelRatio) / this.scale;
  }

  #move(dx, dy) {
    const limit = (v) => (this.fits ? 0.5 : Math.min(Math.max(v, 0), 1));
    this.#centre = [limit(this.#centre[0] + dx / this.width), limit(this.#centre[1] + dy / this.height)];
    this.#redraw(true);
  }

  #redraw(picture) {
    this.#stale ||= picture;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint() {
    const density = devicePixelRatio;
    const room = this.room.getBoundingClientRect();
    const w = Math.round(room.width * density);
    const h = Math.round(room.height * density);
    const scale = this.scale;
    const left = Math.round(w / 2 - this.#centre[0] * this.width * scale);
    const top = Math.round(h / 2 - this.#centre[1] * this.height * scale);
    /** The screen's rectangle of a box: left, top, width, height, whole pixels. */
    const place = ([x0, y0, x1, y1]) => {
      const x = left + Math.round(x0 * scale);
      const y = top + Math.round(y0 * scale);
      return [x, y, left + Math.round(x1 * scale) - x, top + Math.round(y1 * scale) - y];
    };
    if (this.#stale) {
      this.#stale = false;
      const ctx = cleared(this.picture, w, h);
      if (this.width > 0) {
        ctx.imageSmoothingEnabled = scale < pixelated;
        ctx.imageSmoothingQuality = "high";
        const at = place([0, 0, this.width, this.height]);
        if (this.#source) {
          ctx.drawImage(this.#source, ...at);
        } else {
          ctx.fillStyle = getComputedStyle(this.room).getPropertyValue("--plain");
          ctx.fillRect(...at);
        }
      }
    }
    const ctx = cleared(this.overlay, w, h);
    if (this.width === 0) {
      return;
    }
    const { boxes, focus, layer } = this.#scene;
    if (layer?.opaque) {
      this.#lay(ctx, layer, place, scale);
    }
    ctx.globalAlpha = focus ? 0.25 : 1;
    outline(ctx, boxes, place, 1.5 * density);
    ctx.globalAlpha = 1;
    if (layer && !layer.opaque) {
      this.#lay(ctx, layer, place, scale);
    }
    if (focus) {
      outline(ctx, [focus], place, 2.5 * density);
      this.#tag(ctx, place(focus.box), focus, density, w, h);
    }
  }

  #lay(ctx, { image, box }, place, scale) {
    ctx.imageSmoothingEnabled = scale < pixelated;
    ctx.drawImage(image, ...place(box));
  }

  /** Writes a box's name above its top left corner, or inside where there is no room. */
  #tag(ctx, [x, y, , height], { text, colour }, density, w, h) {
    ctx.font = `600 ${12 * density}px ${getComputedStyle(this.room).fontFamily}`;
    const pad = 6 * density;
    const tall = 20 * density;
    const wide = ctx.measureText(text).width + 2 * pad;
    const edge = 1.25 * density;
    const left = Math.min(Math.max(x - edge, 0), w - wide);
    const above = y - edge - tall;
    const top = above >= 0 ? above : Math.min(Math.max(y, 0), y + height, h - tall);
    ctx.fillStyle = css(colour);
    ctx.fillRect(left, top, wide, tall);
    const [r, g, b] = colour;
    ctx.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 125 ? "#000" : "#fff";
    ctx.textBaseline = "middle";
    ctx.fillText(text, left + pad, top + tall / 2 + density / 2);
  }
}

/** The canvas's context, with the canvas w × h pixels large and empty. */
function cleared(canvas, w, h) {
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const ctx = canvas.getContext("2d");
  ctx.clearRect(0, 0, w, h);
  return ctx;
}

/** Draws boxes as frames of whole pixels, with a dark seam that sets them off a light picture. */
function outline(ctx, boxes, place, line) {
  const width = Math.max(1, Math.round(line));
  const half = (width % 2) / 2;
  const rects = boxes.map((b) => place(b.box));
  ctx.lineJoin = "miter";
  ctx.lineWidth = width + 2;
  ctx.strokeStyle = "rgb(0 0 0 / 35%)";
  ctx.beginPath();
  for (const [x, y, w, h] of rects) {
    ctx.rect(x + half, y + half, w, h);
  }
  ctx.stroke();
  ctx.lineWidth = width;
  for (let i = rects.length - 1; i >= 0; i--) {
    const [x, y, w, h] = rects[i];
    ctx.strokeStyle = css(boxes[i].colour);
    ctx.strokeRect(x + half, y + half, w, h);
  }
}
