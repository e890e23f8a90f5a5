// Descriptions of a box or a region for the inspector.

import { area, countScale, css } from "./boxes.js";
import { element, measures, number, score, plural, size } from "./format.js";

/**
 * @typedef {object} Evidence  the service's, of a box
 * @property {number} strategies  number of tree nodes, or of groups of them, that have this box
 * @property {"union"|"joined"} [kind]  how the box is made of several nodes; absent: it is that of a node
 * @property {{size: number}} [other]  the last of the nodes that together have this box
 * @property {number} strategy  strategy of the first origin: index into the answer's strategies
 * @property {number} position  the node's position in that tree; 1: the root
 * @property {number} size  in pixels
 * @property {number|null} birth  similarity at which the region was created; null: an initial region
 * @property {number} death  similarity at which it was merged away; 0: the root
 */

/**
 * Describes a box.
 *
 * @param {number} rank  from 0
 * @param {number[]} color
 * @param {{boxes: number[][], scores: number[], evidence?: Evidence[], strategies?: object[]}} answer
 * @param {HTMLCanvasElement|null} crop  the image inside the box
 * @param {(strategy: number, position: number) => void} onShowInTree  called to show the region in its tree
 */
export function ofBox(rank, color, answer, crop, onShowInTree) {
  const box = answer.boxes[rank];
  const parts = [title(`Box ${number(rank + 1)}`, `of ${number(answer.boxes.length)}`, color)];
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
      ["Region", e.other ? `${number(e.size)} and ${number(e.other.size)} px` : `${number(e.size)} px, ${fill(e.size, box)} of the box`],
      ["Origins", origins(e)],
      ["First tree", `${s.color}, k ${s.k}`],
      ["Measures", measures(s.measures).map(([name, w]) => (w === 1 ? name : `${name} × ${w}`)).join(", ")],
      ["Position", e.position === 1 ? "the root" : `${number(e.position)} from the root`],
      ...birthAndDeath(e.birth, e.death),
    );
    parts.push(list(terms), lifetimeBar(e.birth, e.death, maxSimilarity(s)));
    const button = element("button", "button", "Show in tree");
    button.type = "button";
    button.addEventListener("click", () => onShowInTree(e.strategy, e.position));
    parts[0].append(button);
  } else {
    parts.push(list(terms));
  }
  return parts;
}

/** @param {Evidence} e */
export function origins(e) {
  return e.kind ? `${plural(e.strategies, "group")} of tree nodes (${e.kind})` : plural(e.strategies, "tree node");
}

/** Describes a node of the tree of strategy s. */
export function ofNode(node, tree, s, color) {
  const birth = tree.similarities[node];
  const death = tree.death(node);
  return [
    title(`Region ${number(node + 1)}`, `of ${number(tree.nodes)}`, color),
    list([
      ["Box", corners(tree.boxes[node])],
      ["Size", `${size(tree.boxes[node])} px`],
      ["Region", `${number(tree.sizes[node])} px`],
      ["Position", tree.position(node) === 1 ? "the root" : `${number(tree.position(node))} from the root`],
      ...birthAndDeath(birth, death),
    ]),
    lifetimeBar(birth, death, maxSimilarity(s)),
  ];
}

/** A line of text in place of a description. */
export function placeholder(line) {
  return [element("p", "placeholder", line)];
}

/**
 * A line of text and a bar chart of the scores by rank, each bar in its rank's color, on the
 * count scale.
 */
export function ofAll(line, scores, colors) {
  const density = devicePixelRatio;
  const canvas = Object.assign(document.createElement("canvas"), { width: 304 * density, height: 128 * density });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Scores by rank");
  const ctx = canvas.getContext("2d");
  const max = Math.max(...scores);
  const x = (rank) => countScale.t(rank + 1, scores.length + 1) * canvas.width;
  scores.forEach((s, i) => {
    const left = Math.round(x(i));
    const width = Math.round(x(i + 1)) - left;
    const height = Math.max(s / max, 0) * canvas.height;
    ctx.fillStyle = css(colors[i]);
    ctx.fillRect(left, canvas.height - height, width < 6 ? Math.max(width, 1) : width - 1, height);
  });
  return [...placeholder(line), element("div", "scores",
    element("p", "", "Scores by rank", element("span", "", score(max))), canvas,
    element("p", "", element("span", "", "1"), element("span", "", number(scores.length))))];
}

/** The maximum similarity of a strategy: the sum of the weights, since each measure is in [0,1]. */
function maxSimilarity(s) {
  return measures(s.measures).reduce((sum, [, weight]) => sum + weight, 0);
}

function title(name, rest, color) {
  const swatch = element("span", "swatch");
  swatch.style.backgroundColor = css(color);
  return element("h2", "", swatch, name, " ", element("span", "of", rest));
}

function corners([x0, y0, x1, y1]) {
  return `${x0}, ${y0} – ${x1}, ${y1}`;
}

function fill(pixels, box) {
  return `${Math.round((100 * pixels) / area(box))} %`;
}

function birthAndDeath(birth, death) {
  return [
    ["Created", birth === null ? "initial region" : `at similarity ${birth.toFixed(3)}`],
    ["Merged", death === 0 ? "never" : `at similarity ${death.toFixed(3)}`],
  ];
}

function list(terms) {
  return element("dl", "terms", ...terms.map(([term, text]) => element("div", "", element("dt", "", term), element("dd", "", text))));
}

/** A bar from death to birth on a scale from 0 to max; that of an initial region extends to max. */
function lifetimeBar(birth, death, max) {
  const ends = [death, birth ?? max].sort((a, b) => a - b);
  const bar = element("span", "span");
  bar.style.left = `${(100 * ends[0]) / max}%`;
  bar.style.width = `${(100 * (ends[1] - ends[0])) / max}%`;
  const scale = element("div", "lifetime", element("span", "", "0"), element("span", "track", bar), element("span", "", String(max)));
  scale.setAttribute("role", "img");
  scale.setAttribute("aria-label", `On a scale of similarities from 0 to ${max}`);
  return scale;
}
