// Two canvases at the screen's resolution: the image, and above it an overlay of boxes, regions
// and labels. The view maps between image and screen coordinates.

import { css } from "./boxes.js";

const margin = 16; // around an image that fits, in CSS pixels
const maxScale = 32; // screen pixels per image pixel
const pixelatedScale = 3; // the scale from which pixels are drawn as squares

/**
 * @typedef {object} Scene  what is drawn over the image
 * @property {{box: number[], color: number[]}[]} boxes  the first on top
 * @property {{box: number[], color: number[], text: string}|null} focus  the highlighted box
 * @property {{image: CanvasImageSource, box: number[], opaque: boolean}|null} layer  an image to draw into a box
 */

export class View {
  #frame = 0;
  #stale = true; // whether the image's canvas must be redrawn
  #source = null;
  #zoom = 1; // 1: the image fits
  #center = [0.5, 0.5]; // the image point at the center of the container, as fractions of the sides
  /** @type {Scene} */
  #scene = { boxes: [], focus: null, layer: null };

  /** The image's sides in pixels; 0: no image. */
  width = 0;
  height = 0;

  /** Called after the zoom has changed. */
  onzoom = () => {};

  constructor(container, canvas, overlay) {
    this.container = container;
    this.canvas = canvas;
    this.overlay = overlay;
    new ResizeObserver(() => this.#redraw(true)).observe(container);
    // The pixel density may change without a change of size.
    const density = () => {
      this.#redraw(true);
      matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", density, { once: true });
    };
    density();
    for (const scheme of ["dark", "light"]) {
      matchMedia(`(prefers-color-scheme: ${scheme})`).addEventListener("change", () => this.#redraw(true));
    }
  }

  /** @param {CanvasImageSource|null} source  null: a plain background */
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

  /** Screen pixels per image pixel. */
  get scale() {
    if (this.width === 0) {
      return devicePixelRatio;
    }
    const density = devicePixelRatio;
    const bounds = this.container.getBoundingClientRect();
    const fit = Math.min((bounds.width - 2 * margin) / this.width, (bounds.height - 2 * margin) / this.height) * density;
    return Math.max(fit, 1e-3) * this.#zoom;
  }

  get fits() {
    return this.#zoom === 1;
  }

  fit() {
    this.#zoom = 1;
    this.#center = [0.5, 0.5];
    this.#redraw(true);
    this.onzoom();
  }

  /** Zooms by a factor around a point of the window, by default the center. */
  zoom(factor, clientX, clientY) {
    if (this.width === 0) {
      return;
    }
    const bounds = this.container.getBoundingClientRect();
    const x = clientX ?? bounds.left + bounds.width / 2;
    const y = clientY ?? bounds.top + bounds.height / 2;
    const [px, py] = this.locate(x, y);
    const maxZoom = Math.max(1, maxScale / (this.scale / this.#zoom));
    this.#zoom = Math.min(Math.max(this.#zoom * factor, 1), maxZoom);
    const [qx, qy] = this.locate(x, y);
    this.#move(px - qx, py - qy);
    this.onzoom();
  }

  /** Moves the image by CSS pixels. */
  pan(dx, dy) {
    const pixels = devicePixelRatio / this.scale;
    this.#move(-dx * pixels, -dy * pixels);
  }

  /** Returns the image point, in image pixels, at a point of the window. */
  locate(clientX, clientY) {
    const bounds = this.container.getBoundingClientRect();
    const pixels = devicePixelRatio / this.scale;
    return [
      this.#center[0] * this.width + (clientX - bounds.left - bounds.width / 2) * pixels,
      this.#center[1] * this.height + (clientY - bounds.top - bounds.height / 2) * pixels,
    ];
  }

  /** Converts a length from CSS pixels to image pixels. */
  imagePixels(css) {
    return (css * devicePixelRatio) / this.scale;
  }

  #move(dx, dy) {
    const limit = (v) => (this.fits ? 0.5 : Math.min(Math.max(v, 0), 1));
    this.#center = [limit(this.#center[0] + dx / this.width), limit(this.#center[1] + dy / this.height)];
    this.#redraw(true);
  }

  #redraw(imageChanged) {
    this.#stale ||= imageChanged;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint() {
    const density = devicePixelRatio;
    const bounds = this.container.getBoundingClientRect();
    const w = Math.round(bounds.width * density);
    const h = Math.round(bounds.height * density);
    const scale = this.scale;
    const left = Math.round(w / 2 - this.#center[0] * this.width * scale);
    const top = Math.round(h / 2 - this.#center[1] * this.height * scale);
    /** The screen rectangle of a box: left, top, width and height in whole pixels. */
    const toScreen = ([x0, y0, x1, y1]) => {
      const x = left + Math.round(x0 * scale);
      const y = top + Math.round(y0 * scale);
      return [x, y, left + Math.round(x1 * scale) - x, top + Math.round(y1 * scale) - y];
    };
    if (this.#stale) {
      this.#stale = false;
      const ctx = clearCanvas(this.canvas, w, h);
      if (this.width > 0) {
        ctx.imageSmoothingEnabled = scale < pixelatedScale;
        ctx.imageSmoothingQuality = "high";
        const at = toScreen([0, 0, this.width, this.height]);
        if (this.#source) {
          ctx.drawImage(this.#source, ...at);
        } else {
          ctx.fillStyle = getComputedStyle(this.container).getPropertyValue("--plain");
          ctx.fillRect(...at);
        }
      }
    }
    const ctx = clearCanvas(this.overlay, w, h);
    if (this.width === 0) {
      return;
    }
    const { boxes, focus, layer } = this.#scene;
    if (layer?.opaque) {
      this.#drawLayer(ctx, layer, toScreen, scale);
    }
    ctx.globalAlpha = focus ? 0.25 : 1;
    outline(ctx, boxes, toScreen, 1.5 * density);
    ctx.globalAlpha = 1;
    if (layer && !layer.opaque) {
      this.#drawLayer(ctx, layer, toScreen, scale);
    }
    if (focus) {
      outline(ctx, [focus], toScreen, 2.5 * density);
      this.#drawLabel(ctx, toScreen(focus.box), focus, density, w, h);
    }
  }

  #drawLayer(ctx, { image, box }, toScreen, scale) {
    ctx.imageSmoothingEnabled = scale < pixelatedScale;
    ctx.drawImage(image, ...toScreen(box));
  }

  /** Draws a label above a box's top left corner, or inside the box at the top edge of the canvas. */
  #drawLabel(ctx, [x, y, , height], { text, color }, density, w, h) {
    ctx.font = `600 ${12 * density}px ${getComputedStyle(this.container).fontFamily}`;
    const padding = 6 * density;
    const labelHeight = 20 * density;
    const labelWidth = ctx.measureText(text).width + 2 * padding;
    const edge = 1.25 * density;
    const left = Math.min(Math.max(x - edge, 0), w - labelWidth);
    const above = y - edge - labelHeight;
    const top = above >= 0 ? above : Math.min(Math.max(y, 0), y + height, h - labelHeight);
    ctx.fillStyle = css(color);
    ctx.fillRect(left, top, labelWidth, labelHeight);
    const [r, g, b] = color;
    ctx.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 125 ? "#000" : "#fff";
    ctx.textBaseline = "middle";
    ctx.fillText(text, left + padding, top + labelHeight / 2 + density / 2);
  }
}

/** Resizes and clears a canvas, and returns its context. */
function clearCanvas(canvas, w, h) {
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const ctx = canvas.getContext("2d");
  ctx.clearRect(0, 0, w, h);
  return ctx;
}

/** Draws boxes as outlines of whole pixels, with a dark edge for contrast with a bright image. */
function outline(ctx, boxes, toScreen, line) {
  const width = Math.max(1, Math.round(line));
  const half = (width % 2) / 2;
  const rects = boxes.map((b) => toScreen(b.box));
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
    ctx.strokeStyle = css(boxes[i].color);
    ctx.strokeRect(x + half, y + half, w, h);
  }
}
