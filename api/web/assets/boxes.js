// Operations on boxes: filtering, hit testing and colors.
//
// A box is [x0, y0, x1, y1], half-open, in pixels of the upright image; a list of boxes is
// in rank order, best first.

/** Intersection over union of two boxes, 0..1. */
export function iou(a, b) {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (w <= 0 || h <= 0) {
    return 0;
  }
  return (w * h) / (area(a) + area(b) - w * h);
}

export function area(b) {
  return (b[2] - b[0]) * (b[3] - b[1]);
}

/**
 * Returns the ranks, from 0, of the boxes to show: non-maximum suppression drops boxes
 * that overlap a better one by more than an IoU. Time is quadratic in the number kept.
 *
 * @param {number[][]} boxes
 * @param {number[]} scores
 * @param {{count: number, score: number, side: number, overlap: number}} limits  maximum count, minimum score,
 *   minimum side in pixels, maximum IoU
 * @returns {number[]} ascending
 */
export function select(boxes, scores, limits) {
  const kept = [];
  for (let i = 0; i < boxes.length && kept.length < limits.count; i++) {
    const b = boxes[i];
    if (scores[i] < limits.score || Math.min(b[2] - b[0], b[3] - b[1]) < limits.side) {
      continue;
    }
    if (limits.overlap < 1 && kept.some((k) => iou(boxes[k], b) > limits.overlap)) {
      continue;
    }
    kept.push(i);
  }
  return kept;
}

/**
 * Returns the shown boxes at a pointer position, most likely target first: boxes whose border
 * is within tolerance, then boxes that contain the point, smaller ones first.
 */
export function boxesAt(boxes, shown, x, y, tolerance) {
  const found = [];
  for (const i of shown) {
    const [x0, y0, x1, y1] = boxes[i];
    const outside = Math.max(x0 - x, y0 - y, x - x1, y - y1);
    if (outside > tolerance) {
      continue;
    }
    const border = Math.abs(outside) <= tolerance;
    if (border || outside < 0) {
      found.push({ i, border, area: area(boxes[i]) });
    }
  }
  found.sort((a, b) => b.border - a.border || a.area - b.area || a.i - b.i);
  return found.map((f) => f.i);
}

/** A logarithmic scale for numbers of boxes, since the first ranks matter most. */
export const countScale = {
  /** @param {number} t  0..1 */
  count: (t, total) => Math.round(total ** t),
  t: (count, total) => (total > 1 ? Math.log(count) / Math.log(total) : 1),
};

// Best to last, in a palette safe for color blindness. The same as in style.css.
const stops = [[255, 176, 0], [254, 97, 0], [220, 38, 127], [120, 94, 240], [100, 143, 255]];

/**
 * Returns the color of a rank on the count scale, components 0..255.
 *
 * @param {number} rank  from 0
 * @param {number} total
 * @returns {[number, number, number]}
 */
export function rankColor(rank, total) {
  const t = total > 1 ? countScale.t(rank + 1, total) * (stops.length - 1) : 0;
  const i = Math.min(Math.floor(t), stops.length - 2);
  return stops[i].map((v, c) => Math.round(v + (stops[i + 1][c] - v) * (t - i)));
}

export function css([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}
