// Formatting of numbers and names, and creation of elements.

const whole = new Intl.NumberFormat("en");

/** 12345 → "12,345". */
export const number = (n) => whole.format(n);

/** 2, "box" → "2 boxes". */
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** A score or similarity, with enough digits to tell adjacent ranks apart. */
export const score = (v) => v.toFixed(4);

/** A duration in seconds → "61 ms", "1.24 s". */
export const seconds = (s) => (s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(2)} s`);

export const size = ([x0, y0, x1, y1]) => `${number(x1 - x0)} × ${number(y1 - y0)}`;

const names = { C: "color", T: "texture", S: "size", F: "fill" };

/** The similarity measures of a set with their weights: "C0.5TS" → [["color", 0.5], ["texture", 1], …]. */
export const measures = (set) =>
  Array.from(set.matchAll(/([CTSF])([\d.]*)/g), ([, letter, weight]) => [names[letter], weight === "" ? 1 : Number(weight)]);

/** "HSV 50 CTSF". */
export const strategy = (s) => `${s.color} ${s.k} ${s.measures}`;

/** Creates an element with a class and children. */
export function element(name, className, ...children) {
  const e = document.createElement(name);
  if (className) {
    e.className = className;
  }
  e.append(...children);
  return e;
}
