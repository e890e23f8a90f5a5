// Boxes: which are shown, in what colour, and which one is meant.
//
// A box is [x0, y0, x1, y1], half-open, in pixels of the upright picture; a list of
// boxes is in their ranks' order, the best first.

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
 * The ranks, from 0, of the boxes that are to be shown. Those which overlap a better
 * one that stays by more than overlap are dropped, in time square in what stays.
 *
 * @param {number[][]} boxes
 * @param {number[]} scores
 * @param {{count: number, score: number, side: number, overlap: number}} want  at most, at least, at least (pixels), at most (IoU)
 * @returns {number[]} ascending
 */
export function select(boxes, scores, want) {
  const kept = [];
  for (let i = 0; i < boxes.length && kept.length < want.count; i++) {
    const b = boxes[i];
    if (scores[i] < want.score || Math.min(b[2] - b[0], b[3] - b[1]) < want.side) {
      continue;
    }
    if (want.overlap < 1 && kept.some((k) => iou(boxes[k], b) > want.overlap)) {
      continue;
    }
    kept.push(i);
  }
  return kept;
}

/**
 * Those of the shown boxes that a pointer at (x, y) may mean, the likeliest first: whose
 * border is within reach, then those around it, smaller ones first.
 */
export function under(boxes, shown, x, y, reach) {
  const found = [];
  for (const i of shown) {
    const [x0, y0, x1, y1] = boxes[i];
    const outside = Math.max(x0 - x, y0 - y, x - x1, y - y1);
    if (outside > reach) {
      continue;
    }
    const border = Math.abs(outside) <= reach;
    if (border || outside < 0) {
      found.push({ i, border, area: area(boxes[i]) });
    }
  }
  found.sort((a, b) => b.border - a.border || a.area - b.area || a.i - b.i);
  return found.map((f) => f.i);
}

/** Numbers of boxes by their logarithm: the first ranks are what one looks at. */
export const scale = {
  /** @param {number} t  0..1 */
  count: (t, of) => Math.round(of ** t),
  t: (count, of) => (of > 1 ? Math.log(count) / Math.log(of) : 1),
};

// From the best to the last, told apart by the colour-blind, too. The style sheet has the same.
const stops = [[255, 176, 0], [254, 97, 0], [220, 38, 127], [120, 94, 240], [100, 143, 255]];

/**
 * The colour of a rank, on the scale of numbers: 0..255 each.
 *
 * @param {number} rank  from 0
 * @param {number} of  how many there are
 * @returns {[number, number, number]}
 */
export function colour(rank, of) {
  const t = of > 1 ? scale.t(rank + 1, of) * (stops.length - 1) : 0;
  const i = Math.min(Math.floor(t), stops.length - 2);
  return stops[i].map((v, c) => Math.round(v + (stops[i + 1][c] - v) * (t - i)));
}

export function css([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}
