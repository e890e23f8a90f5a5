// What is known of a box or a region, as a list of terms.

import { area, css, scale } from "./boxes.js";
import { element, measures, number, score, several, size } from "./text.js";

/**
 * @typedef {object} Evidence  of the service, for a box
 * @property {number} strategies  how many nodes made the box
 * @property {number} strategy  of its first origin: index into the answer's strategies
 * @property {number} position  its place in that tree, 1 the root
 * @property {number} size  in pixels
 * @property {number|null} birth  the similarity that it was born of; null: a first region
 * @property {number} death  the one at which it was merged away; 0: the root
 */

/**
 * Describes a box.
 *
 * @param {number} rank  from 0
 * @param {number[]} colour
 * @param {{boxes: number[][], scores: number[], evidence?: Evidence[], strategies?: object[]}} answer
 * @param {HTMLCanvasElement|null} crop  a picture of it
 * @param {(strategy: number, position: number) => void} ontree  for the wish to see the region in its tree
 */
export function ofBox(rank, colour, answer, crop, ontree) {
  const box = answer.boxes[rank];
  const parts = [title(`Box ${number(rank + 1)}`, `of ${number(answer.boxes.length)}`, colour)];
  if (crop) {
    parts.push(crop);
  }
  const terms = [
    ["Score", score(answer.scores[rank])],
    ["Box", corners(box)],
    ["Size", `${size(box)} px`],
  ];
  const e = answer.evidence?.[rank];
  if (e) {
    const s = answer.strategies[e.strategy];
    terms.push(
      ["Region", `${number(e.size)} px, ${fill(e.size, box)} of the box`],
      ["Made by", several(e.strategies, "tree node")],
      ["First tree", `${s.color}, k ${s.k}`],
      ["Measures", measures(s.measures).map(([name, w]) => (w === 1 ? name : `${name} × ${w}`)).join(", ")],
      ["Place", e.position === 1 ? "the root" : `${number(e.position)} from the root`],
      ...life(e.birth, e.death),
    );
    parts.push(list(terms), lifetime(e.birth, e.death, most(s)));
    const button = element("button", "button", "Show in tree");
    button.type = "button";
    button.addEventListener("click", () => ontree(e.strategy, e.position));
    parts[0].append(button);
  } else {
    parts.push(list(terms));
  }
  return parts;
}

/** Describes a node of a tree, of the strategy s. */
export function ofNode(node, tree, s, colour) {
  const birth = tree.similarities[node];
  const death = tree.death(node);
  return [
    title(`Region ${number(node + 1)}`, `of ${number(tree.nodes)}`, colour),
    list([
      ["Box", corners(tree.boxes[node])],
      ["Size", `${size(tree.boxes[node])} px`],
      ["Region", `${number(tree.sizes[node])} px`],
      ["Place", tree.position(node) === 1 ? "the root" : `${number(tree.position(node))} from the root`],
      ...life(birth, death),
    ]),
    lifetime(birth, death, most(s)),
  ];
}

/** A line in the place of a description. */
export function nothing(line) {
  return [element("p", "nothing", line)];
}

/**
 * A line, and the scores of all boxes by their ranks, each a bar in its rank's colour, on
 * the scale of numbers of boxes.
 */
export function ofAll(line, scores, colours) {
  const density = devicePixelRatio;
  const canvas = Object.assign(document.createElement("canvas"), { width: 304 * density, height: 128 * density });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Scores by rank");
  const ctx = canvas.getContext("2d");
  const most = Math.max(...scores);
  const x = (rank) => scale.t(rank + 1, scores.length + 1) * canvas.width;
  scores.forEach((s, i) => {
    const left = Math.round(x(i));
    const wide = Math.round(x(i + 1)) - left;
    const high = Math.max(s / most, 0) * canvas.height;
    ctx.fillStyle = css(colours[i]);
    ctx.fillRect(left, canvas.height - high, wide < 6 ? Math.max(wide, 1) : wide - 1, high);
  });
  return [...nothing(line), element("div", "scores",
    element("p", "", "Scores by rank", element("span", "", score(most))), canvas,
    element("p", "", element("span", "", "1"), element("span", "", number(scores.length))))];
}

/** What similarities of a strategy reach at most: each measure is 0..1 times its weight. */
function most(s) {
  return measures(s.measures).reduce((sum, [, weight]) => sum + weight, 0);
}

function title(name, rest, colour) {
  const swatch = element("span", "swatch");
  swatch.style.backgroundColor = css(colour);
  return element("h2", "", swatch, name, " ", element("span", "of", rest));
}

function corners([x0, y0, x1, y1]) {
  return `${x0}, ${y0} – ${x1}, ${y1}`;
}

function fill(pixels, box) {
  return `${Math.round((100 * pixels) / area(box))} %`;
}

function life(birth, death) {
  return [
    ["Born", birth === null ? "a first region" : `of similarity ${birth.toFixed(3)}`],
    ["Merged", death === 0 ? "never" : `at similarity ${death.toFixed(3)}`],
  ];
}

function list(terms) {
  return element("dl", "terms", ...terms.map(([term, text]) => element("div", "", element("dt", "", term), element("dd", "", text))));
}

/** A bar between birth and death on the scale of similarities, 0 to most; a first region's goes to the end. */
function lifetime(birth, death, most) {
  const ends = [death, birth ?? most].sort((a, b) => a - b);
  const bar = element("span", "span");
  bar.style.left = `${(100 * ends[0]) / most}%`;
  bar.style.width = `${(100 * (ends[1] - ends[0])) / most}%`;
  const scale = element("div", "lifetime", element("span", "", "0"), element("span", "track", bar), element("span", "", String(most)));
  scale.setAttribute("role", "img");
  scale.setAttribute("aria-label", `On a scale of similarities from 0 to ${most}`);
  return scale;
}
