// The page: what the controls, the stage and the service have to do with each other.

import * as api from "./api.js";
import * as ranks from "./boxes.js";
import * as evidence from "./evidence.js";
import { List } from "./list.js";
import { crop, tint } from "./rle.js";
import * as text from "./text.js";
import { Tree, scale } from "./tree.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const mosts = [100, 500, 1000, 2000]; // choices of how many boxes to ask for
const reach = 5; // how near to a border the pointer means it, in CSS pixels
const amber = [255, 176, 0]; // what is pointed out in a tree

const view = new View($("canvas"), $("picture"), $("stage"));
const list = new List($("list"), $("rows"));

/** What the service can do, as /v1/modes tells it; null until it has. */
let service = null;

/** The picture: its file, and its pixels unless the browser cannot read it. */
let picture = null;

/** The boxes: the service's answer, its text, how many are wanted, the ranks shown, and the rank pointed at and held. */
const boxes = { answer: null, json: "", colours: [], count: 25, shown: [], hovered: -1, held: -1, region: null };

/** The tree: the service's answer, how many merges are walked, and the sample pointed at and held, whose region is pointed out. */
const tree = { answer: null, tree: null, merges: 0, hovered: null, held: null, canvas: document.createElement("canvas"), image: null };

/** What is being asked of the service, by what it is for. */
const asking = { modes: null, boxes: null, tree: null };

/** What to do again once there is a token. */
let refused = [];

const showsTree = () => document.body.dataset.view === "tree";

// The service.

/**
 * Asks for something, instead of what was asked before for the same purpose, and hands
 * the answer on if it is still wanted.
 */
async function ask(purpose, question, then) {
  asking[purpose]?.abort();
  const control = new AbortController();
  asking[purpose] = control;
  busy();
  try {
    const answer = await question(control.signal);
    if (!control.signal.aborted) {
      then(answer);
    }
  } catch (e) {
    if (!control.signal.aborted) {
      failed(e, () => ask(purpose, question, then));
    }
  } finally {
    if (asking[purpose] === control) {
      asking[purpose] = null;
    }
    busy();
  }
}

function busy() {
  const on = asking.boxes !== null || asking.tree !== null;
  $("progress").hidden = !on;
  $("canvas").setAttribute("aria-busy", on);
  if (on) {
    $("status").textContent = asking.tree ? "Growing the tree…" : "Searching…";
  } else {
    tell();
  }
}

/** Says what went wrong, and offers to do it again. */
function failed(e, again) {
  if (!(e instanceof api.Problem) && !(e instanceof RangeError) && !(e instanceof SyntaxError)) {
    throw e; // a fault of the page
  }
  if (document.body.dataset.state === "waiting") {
    document.body.dataset.state = "empty";
  }
  if (e.status === 401) {
    refused.push(again);
    $("token").hidden = false;
    $("bearer").focus();
    if (!api.token.get()) {
      return;
    }
  }
  const line = e instanceof api.Problem ? e.message : `The service's answer cannot be used: ${e.message}.`;
  const parts = [text.element("p", "", line.charAt(0).toUpperCase() + line.slice(1))];
  if (e.fields?.length) {
    parts.push(text.element("ul", "", ...e.fields.map((f) =>
      text.element("li", "", text.element("code", "", f.name), f.value ? ` is ${f.value}; want ` : ": want ", f.want))));
  }
  const retry = text.element("button", "button", e.retryAfter ? `Try again (in ${text.several(e.retryAfter, "second")})` : "Try again");
  const close = text.element("button", "button plain", "Dismiss");
  retry.addEventListener("click", () => { settled(); again(); });
  close.addEventListener("click", settled);
  retry.type = close.type = "button";
  $("problem").replaceChildren(...parts, text.element("p", "choices", retry, close));
}

function settled() {
  $("problem").replaceChildren();
}

function meet() {
  return ask("modes", api.modes, (answer) => {
    service = answer;
    $("version").textContent = answer.version;
    choices($("mode"), answer.modes.map((m) => [m.name, `${m.name}, ${text.several(m.strategies.length, "tree")}`]), answer.default_mode);
    choices($("order"), answer.orders.map((o) => [o, o]), answer.orders[0]);
    const limit = answer.limits.max_boxes || Infinity;
    const offers = mosts.filter((n) => n < limit).concat(limit < mosts.at(-1) ? limit : []);
    choices($("max"), offers.map((n) => [n, text.several(n, "box", "boxes")]), offers.includes(500) ? 500 : offers.at(-1));
    strategies();
  });
}

function choices(field, options, chosen) {
  field.replaceChildren(...options.map(([value, label]) => new Option(label, value, false, String(value) === String(chosen))));
}

/** Offers the strategies of the mode. */
function strategies() {
  const mode = service?.modes.find((m) => m.name === $("mode").value);
  choices($("strategy"), mode?.strategies.map((s, i) => [i, text.strategy(s)]) ?? [], 0);
}

/** The options that have a value: before the service has been met there are none. */
function options(names, more) {
  const given = names.map((name) => [name, $(name).value]).filter(([, value]) => value !== "");
  return { ...Object.fromEntries(given), ...more };
}

function search() {
  if (!picture) {
    return;
  }
  const { file } = picture;
  const wanted = options(["mode", "order", "max"], { masks: "rle", evidence: 1 });
  ask("boxes", async (signal) => {
    const json = await api.proposals(file, wanted, signal);
    return { json, answer: JSON.parse(json) };
  }, found);
}

function grow(then = () => {}) {
  if (!picture) {
    return;
  }
  const { file } = picture;
  const wanted = options(["mode", "strategy"], { max: 1, tree: 1 });
  ask("tree", async (signal) => JSON.parse(await api.proposals(file, wanted, signal)), (answer) => {
    grown(answer);
    then();
  });
}

/** Drops what was, or is being, found. */
function forget(purpose) {
  asking[purpose]?.abort();
  if (purpose === "tree") {
    Object.assign(tree, { answer: null, tree: null, hovered: null, held: null });
  } else {
    Object.assign(boxes, { answer: null, json: "", colours: [], shown: [], hovered: -1, held: -1, region: null });
    list.fill([], [], []);
  }
}

// The picture.

async function open(file) {
  forget("boxes");
  forget("tree");
  settled();
  picture = { file, bitmap: null };
  document.body.dataset.state = "waiting";
  view.show(null, 0, 0);
  $("name").textContent = file.name;
  $("note").hidden = true;
  const limit = service?.limits.max_bytes;
  if (limit && file.size > limit) {
    picture = null;
    show();
    failed(new api.Problem(413, `${file.name} has ${text.number(file.size)} bytes: the service takes at most ${text.number(limit)}.`), () => open(file));
    return;
  }
  const opened = picture;
  (showsTree() ? grow : search)();
  try {
    // Upright, as the service's boxes are.
    opened.bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    // A format of the service's that is not the browser's, or no picture: the service will say.
  }
  if (picture === opened) {
    inspected = null;
    ground(boxes.answer ?? opened.bitmap);
    if (tree.tree) {
      dye();
    }
    show();
  }
}

/** Lays out the picture, or a ground in its place, by the sides that are known. */
function ground(sides) {
  if (!sides) {
    return;
  }
  document.body.dataset.state = "shown";
  view.show(picture.bitmap, sides.width, sides.height);
}

async function sample(name) {
  const answer = await fetch(`assets/${name}`);
  if (answer.ok) {
    open(new File([await answer.blob()], name, { type: "image/jpeg" }));
  } else {
    failed(new api.Problem(answer.status, `The sample ${name} is not to be had.`), () => sample(name));
  }
}

// Boxes.

function found({ json, answer }) {
  settled();
  inspected = null;
  const n = answer.boxes.length;
  Object.assign(boxes, { answer, json, hovered: -1, held: -1, region: null });
  boxes.colours = answer.boxes.map((_, i) => ranks.colour(i, n));
  list.fill(answer.boxes, answer.scores, boxes.colours);
  bound($("score"), n > 0 ? Math.max(...answer.scores) : 1);
  bound($("side"), Math.ceil(Math.min(answer.width, answer.height) / 2));
  sides(answer);
  filter();
}

/** Shows the picture in the answer's sides, and says so if the browser cannot. */
function sides(answer) {
  ground(answer);
  if (picture.bitmap === null) {
    $("note").textContent = `The browser cannot show ${picture.file.name}: its boxes lie on a plain ground.`;
  }
  $("note").hidden = picture.bitmap !== null;
}

function bound(slider, most) {
  slider.max = most;
  slider.step = slider.id === "score" ? most / 500 : 1;
}

/** Chooses the boxes that are shown. */
function filter() {
  const total = boxes.answer?.boxes.length ?? 0;
  const count = Math.min(boxes.count, total);
  $("count").value = ranks.scale.t(Math.max(count, 1), total);
  $("count").setAttribute("aria-valuetext", text.several(count, "box", "boxes"));
  const want = { count, score: Number($("score").value), side: Number($("side").value), overlap: Number($("nms").value) };
  $("count-out").textContent = total > 0 ? text.number(count) : "";
  $("score-out").textContent = want.score > 0 ? text.score(want.score) : "any";
  $("side-out").textContent = want.side > 0 ? `${want.side} px` : "any";
  $("nms-out").textContent = want.overlap < 1 ? `IoU ${want.overlap.toFixed(2)}` : "any";
  for (const slider of $("filter").querySelectorAll("input")) {
    const { min, max, value } = slider;
    slider.style.setProperty("--at", `${(100 * (value - min)) / (max - min)}%`);
  }
  if (!boxes.answer) {
    return;
  }
  boxes.shown = ranks.select(boxes.answer.boxes, boxes.answer.scores, want);
  for (const which of ["hovered", "held"]) {
    if (!boxes.shown.includes(boxes[which])) {
      boxes[which] = -1;
    }
  }
  show();
  requestAnimationFrame(() => setTimeout(() => list.show(boxes.shown))); // the picture first
}

/** Does what a key means for the number of boxes; tells whether it means anything. */
function countKey(key) {
  const total = boxes.answer.boxes.length;
  const { count } = boxes;
  const to = {
    ArrowRight: count + 1, ArrowUp: count + 1, ArrowLeft: count - 1, ArrowDown: count - 1,
    PageUp: Math.ceil(count * 1.5), PageDown: Math.floor(count / 1.5), Home: 1, End: total,
  }[key];
  if (to === undefined) {
    return false;
  }
  boxes.count = Math.min(Math.max(to, 1), total);
  filter();
  return true;
}

/** The region of a box inside the box, or null. The last one is kept. */
function region(rank) {
  const mask = boxes.answer.masks?.[rank];
  if (mask && boxes.region?.rank !== rank) {
    boxes.region = { rank, part: crop(mask, boxes.answer.boxes[rank]) };
  }
  return mask ? boxes.region.part : null;
}

/** A region as a canvas. */
function tinted(part, rgb, alpha) {
  const canvas = document.createElement("canvas");
  canvas.width = part.width;
  canvas.height = part.height;
  canvas.getContext("2d").putImageData(tint(part, rgb, alpha), 0, 0);
  return canvas;
}

/** What a box shows, its region bright and the rest dim; null: the browser cannot show it. */
function cutting(rank, part) {
  if (!picture.bitmap) {
    return null;
  }
  const { bitmap } = picture;
  const [x0, y0, x1, y1] = boxes.answer.boxes[rank];
  const across = bitmap.width / boxes.answer.width; // 1, if the browser reads the same sides as the service
  const down = bitmap.height / boxes.answer.height;
  const from = [x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down];
  const grow = Math.min(640 / (x1 - x0), 400 / (y1 - y0));
  const canvas = text.element("canvas", "cutting");
  canvas.width = Math.max(1, Math.round((x1 - x0) * grow));
  canvas.height = Math.max(1, Math.round((y1 - y0) * grow));
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "What the box shows");
  const to = [0, 0, canvas.width, canvas.height];
  const ctx = canvas.getContext("2d");
  ctx.imageSmoothingQuality = "high";
  if (part) {
    ctx.drawImage(tinted(part, [0, 0, 0], 1), ...to);
    ctx.globalCompositeOperation = "source-in";
  }
  ctx.drawImage(bitmap, ...from, ...to);
  if (part) {
    ctx.globalCompositeOperation = "destination-over";
    ctx.globalAlpha = 0.2;
    ctx.drawImage(bitmap, ...from, ...to);
  }
  return canvas;
}

function point(rank) {
  if (rank !== boxes.hovered) {
    boxes.hovered = rank;
    list.focus(rank >= 0 ? rank : boxes.held);
    show();
  }
}

function hold(rank, scroll = true) {
  boxes.held = rank;
  boxes.hovered = -1;
  list.focus(rank, scroll);
  show();
}

/** Holds the box so many places after the one that is held, of those shown; aloud. */
function step(by) {
  const { shown, held } = boxes;
  if (shown.length === 0) {
    return;
  }
  const rank = shown[Math.min(Math.max(shown.indexOf(held) + by, 0), shown.length - 1)];
  hold(rank);
  const e = boxes.answer.evidence?.[rank];
  const b = boxes.answer.boxes[rank];
  announce(`Box ${rank + 1}, score ${text.score(boxes.answer.scores[rank])}, ${text.size(b)} pixels at ${b[0]}, ${b[1]}` +
    (e ? `, made by ${text.several(e.strategies, "node")}` : ""));
}

// The tree.

function grown(answer) {
  settled();
  inspected = null;
  tree.tree = new Tree(answer.tree);
  Object.assign(tree, { answer, merges: scale.merges(0.5, tree.tree.leaves), hovered: null, held: null });
  tree.canvas.width = tree.tree.width;
  tree.canvas.height = tree.tree.height;
  tree.image = new ImageData(tree.tree.width, tree.tree.height);
  dye();
  sides(answer);
  walk(tree.merges);
}

/** Gives the regions their mean colours. */
function dye() {
  if (!picture.bitmap) {
    tree.tree.colour(null);
    return;
  }
  const ctx = tree.canvas.getContext("2d", { willReadFrequently: true });
  ctx.drawImage(picture.bitmap, 0, 0, tree.tree.width, tree.tree.height);
  tree.tree.colour(ctx.getImageData(0, 0, tree.tree.width, tree.tree.height).data);
}

/** Shows the regions after so many merges. */
function walk(merges) {
  tree.merges = Math.min(Math.max(merges, 0), tree.tree.merges);
  const slider = $("merges");
  const { leaves } = tree.tree;
  slider.value = scale.t(tree.merges, leaves);
  slider.disabled = leaves === 1;
  const told = `${text.number(leaves - tree.merges)} of ${text.number(leaves)}`;
  const last = tree.tree.similarities[leaves + tree.merges - 1]; // null before the first merge
  slider.setAttribute("aria-valuetext", `${told} regions`);
  $("merges-out").textContent = last === null ? told : `${told}, the last merged at similarity ${last.toFixed(3)}`;
  show();
}

/** The node that is pointed out, or −1. */
function node() {
  const sample = tree.hovered ?? tree.held;
  return sample ? tree.tree.at(...sample, tree.merges) : -1;
}

/** The sample of the tree at a point of the picture, or null. */
function sampleAt([x, y]) {
  if (!(x >= 0 && y >= 0 && x < view.width && y < view.height)) {
    return null;
  }
  return [Math.floor((x / view.width) * tree.tree.width), Math.floor((y / view.height) * tree.tree.height)];
}

/** Goes to a box's region in the tree of its strategy, when it was just made. */
function ontree(strategy, position) {
  $("strategy").value = strategy;
  look("tree");
  grow(() => {
    const n = tree.tree.nodes - position;
    const merges = tree.tree.birth(n);
    const of = tree.tree.after(merges);
    const at = tree.tree.labels.findIndex((label) => of[label] === n);
    if (at >= 0) { // else it lies between the samples
      tree.held = [at % tree.tree.width, Math.floor(at / tree.tree.width)];
    }
    walk(merges);
  });
}

/** Draws the similarities of the merges over the slider's scale. */
function curve() {
  const canvas = $("curve");
  const density = devicePixelRatio;
  canvas.width = Math.round(canvas.clientWidth * density);
  canvas.height = Math.round(canvas.clientHeight * density);
  const { leaves } = tree.tree;
  const similarities = tree.tree.similarities.slice(leaves); // by merge
  const style = getComputedStyle(canvas);
  const inset = 8 * density; // half of the slider's thumb
  const x = (merges) => inset + scale.t(merges, leaves) * (canvas.width - 2 * inset);
  const most = similarities.reduce((a, b) => Math.max(a, b), 0);
  const least = similarities.reduce((a, b) => Math.min(a, b), most);
  const y = (s) => 2 * density + (most > least ? (most - s) / (most - least) : 0) * (canvas.height - 4 * density);
  const ctx = canvas.getContext("2d");
  ctx.lineWidth = 1.5 * density;
  ctx.lineJoin = "round";
  ctx.strokeStyle = style.getPropertyValue("--muted");
  ctx.beginPath();
  similarities.forEach((s, i) => ctx.lineTo(x(i + 1), y(s)));
  ctx.stroke();
  ctx.fillStyle = style.getPropertyValue("--ink");
  ctx.fillRect(Math.round(x(tree.merges)), 0, Math.max(1, Math.round(density)), canvas.height);
}

// What is seen.

function look(what) {
  document.body.dataset.view = what;
  for (const radio of $("views").querySelectorAll("input")) {
    radio.checked = radio.value === what;
  }
  $("inspector").setAttribute("aria-label", what === "tree" ? "Region" : "Boxes");
}

/** Brings stage, inspector and status up to what is known. */
function show() {
  $("curl").disabled = !picture;
  $("download").disabled = !boxes.answer;
  if (showsTree()) {
    showTree();
  } else {
    showBoxes();
  }
  tell();
}

function showBoxes() {
  const { answer, colours, shown, hovered, held } = boxes;
  const rank = hovered >= 0 ? hovered : held;
  if (!answer || rank < 0) {
    view.draw({ boxes: shown.map((i) => ({ box: answer.boxes[i], colour: colours[i] })), focus: null, layer: null });
    inspect(answer ? "Point at a box, or step through them with the arrow keys." : "Evidence for a box appears here.");
    return;
  }
  let part = null;
  try {
    part = region(rank);
  } catch (e) {
    failed(e, search);
  }
  const box = answer.boxes[rank];
  const rgb = colours[rank];
  view.draw({
    boxes: shown.filter((i) => i !== rank).map((i) => ({ box: answer.boxes[i], colour: colours[i] })),
    focus: { box, colour: rgb, text: `${rank + 1}   ${text.score(answer.scores[rank])}` },
    layer: part && { image: tinted(part, rgb, 0.4), box, opaque: false },
  });
  inspect(`box ${rank}`, () => evidence.ofBox(rank, rgb, answer, cutting(rank, part), ontree));
}

function showTree() {
  if (!tree.tree) {
    view.draw({ boxes: [], focus: null, layer: null });
    inspect("How regions merge appears here.");
    return;
  }
  const n = node();
  const how = document.querySelector("[name=look]:checked").value;
  tree.tree.paint(new Uint32Array(tree.image.data.buffer), tree.merges, how, n);
  tree.canvas.getContext("2d").putImageData(tree.image, 0, 0);
  view.draw({
    boxes: [],
    focus: n < 0 ? null : { box: tree.tree.boxes[n], colour: amber, text: `${text.number(tree.tree.sizes[n])} px` },
    layer: { image: tree.canvas, box: [0, 0, view.width, view.height], opaque: true },
  });
  curve();
  if (n < 0) {
    inspect("Point at a region, and move the slider to see it grow.");
  } else {
    inspect(`node ${n}`, () => evidence.ofNode(n, tree.tree, tree.answer.strategies[tree.answer.tree.strategy], amber));
  }
}

let inspected = null;

/** Fills the inspector with what describes the thing of a name, or the name itself; not again if it is there. */
function inspect(name, describe = () => evidence.nothing(name)) {
  if (inspected !== name) {
    inspected = name;
    $("evidence").replaceChildren(...describe());
  }
}

/** Says in a line what is shown. */
function tell() {
  if (asking.boxes || asking.tree) {
    return;
  }
  const parts = [];
  const answer = showsTree() ? tree.answer : boxes.answer;
  if (answer) {
    parts.push(
      showsTree()
        ? `${text.several(tree.tree.leaves - tree.merges, "region")} after ${text.several(tree.merges, "merge")}`
        : `${text.number(boxes.shown.length)} of ${text.several(answer.boxes.length, "box", "boxes")}`,
      `${answer.width} × ${answer.height}`,
      `decoded in ${text.seconds(answer.decode_seconds)}`,
      `searched in ${text.seconds(answer.seconds)}`,
    );
  }
  $("status").textContent = parts.join(" · ");
  $("stage").setAttribute("aria-label", picture ? [picture.file.name, ...parts].join(", ") : "No picture yet");
}

function announce(line) {
  $("announce").textContent = line;
}

// Events: files.

$("file").addEventListener("change", (e) => {
  if (e.target.files.length > 0) {
    open(e.target.files[0]);
  }
  e.target.value = ""; // or the same file could not be chosen again
});

for (const button of document.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", () => sample(button.dataset.sample));
}

addEventListener("paste", (e) => {
  if (e.clipboardData.files.length > 0) {
    e.preventDefault();
    open(e.clipboardData.files[0]);
  }
});

const carriesFile = (e) => e.dataTransfer.types.includes("Files");

addEventListener("dragover", (e) => {
  if (carriesFile(e)) {
    e.preventDefault();
    document.body.dataset.drop = "";
  }
});
addEventListener("dragleave", (e) => {
  if (e.relatedTarget === null) {
    delete document.body.dataset.drop;
  }
});
addEventListener("drop", (e) => {
  delete document.body.dataset.drop;
  if (carriesFile(e)) {
    e.preventDefault();
    open(e.dataTransfer.files[0]);
  }
});

// Events: controls.

$("views").addEventListener("change", (e) => {
  look(e.target.value);
  show();
  if (!(showsTree() ? tree.answer : boxes.answer)) {
    (showsTree() ? grow : search)();
  }
});

$("search").addEventListener("change", (e) => {
  if (e.target.id === "mode") {
    strategies();
    // The other view asks again when it is looked at.
    forget(showsTree() ? "boxes" : "tree");
  }
  (showsTree() ? grow : search)();
});

$("filter").addEventListener("input", (e) => {
  if (e.target.id === "count" && boxes.answer) {
    boxes.count = ranks.scale.count(Number(e.target.value), boxes.answer.boxes.length);
  }
  filter();
});
$("count").addEventListener("keydown", (e) => {
  if (boxes.answer && countKey(e.key)) {
    e.preventDefault();
  }
});
$("looks").addEventListener("change", show);
for (const id of ["search", "filter", "looks", "walk"]) {
  $(id).addEventListener("submit", (e) => e.preventDefault());
}

$("merges").addEventListener("input", (e) => {
  if (tree.tree) {
    walk(scale.merges(Number(e.target.value), tree.tree.leaves));
  }
});
$("merges").addEventListener("keydown", (e) => {
  if (tree.tree && walkKey(e.key)) {
    e.preventDefault();
  }
});

$("token").addEventListener("submit", async (e) => {
  e.preventDefault();
  api.token.set($("bearer").value);
  $("bearer").value = "";
  $("token").hidden = true;
  settled();
  const again = refused;
  refused = [];
  for (const f of again) {
    f();
  }
});

$("curl").addEventListener("click", async () => {
  const wanted = options(["mode", "order"], { max: boxes.count });
  if (Number($("side").value) > 0) {
    wanted["min-side"] = $("side").value;
  }
  if (Number($("nms").value) < 1) {
    wanted.nms = $("nms").value;
  }
  const line = api.curl(picture.file.name, wanted);
  try {
    await navigator.clipboard.writeText(line); // there is none but over TLS and on this machine
    announce("Copied");
    $("curl").classList.add("done");
    setTimeout(() => $("curl").classList.remove("done"), 1500);
  } catch {
    $("command-text").value = line;
    $("command").showModal();
    $("command-text").select();
  }
});

$("download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([boxes.json], { type: "application/json" }));
  link.download = `${picture.file.name.replace(/\.[^.]*$/, "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

// Events: the stage.

const stage = $("stage");
const fingers = new Map(); // by pointer: where it is
let dragged = false;

stage.addEventListener("pointerdown", (e) => {
  fingers.set(e.pointerId, [e.clientX, e.clientY]);
  dragged = fingers.size > 1;
  stage.setPointerCapture(e.pointerId);
});

stage.addEventListener("pointermove", (e) => {
  const last = fingers.get(e.pointerId);
  if (!last) {
    pointAt(e);
    return;
  }
  const other = [...fingers].find(([id]) => id !== e.pointerId)?.[1];
  if (other) {
    const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
    const now = Math.hypot(e.clientX - other[0], e.clientY - other[1]);
    view.zoom(now / Math.max(before, 1), (e.clientX + other[0]) / 2, (e.clientY + other[1]) / 2);
  } else if (!view.fits && (dragged || Math.hypot(e.clientX - last[0], e.clientY - last[1]) > 3)) {
    view.pan(e.clientX - last[0], e.clientY - last[1]);
    dragged = true;
  } else {
    return; // a click that trembles
  }
  fingers.set(e.pointerId, [e.clientX, e.clientY]);
});

stage.addEventListener("pointerup", (e) => {
  fingers.delete(e.pointerId);
  if (!dragged && e.button === 0) {
    take(e);
  }
});
stage.addEventListener("pointercancel", (e) => fingers.delete(e.pointerId));
stage.addEventListener("pointerleave", () => {
  if (showsTree() && tree.hovered) {
    tree.hovered = null;
    show();
  }
  point(-1);
});

function pointAt(e) {
  if (e.pointerType === "touch") {
    return; // a finger takes, it does not hover
  }
  const at = view.locate(e.clientX, e.clientY);
  if (!showsTree()) {
    point(boxes.answer ? ranks.under(boxes.answer.boxes, boxes.shown, ...at, view.reach(reach))[0] ?? -1 : -1);
  } else if (tree.tree) {
    const before = node();
    tree.hovered = sampleAt(at);
    if (node() !== before) {
      show();
    }
  }
}

/** Holds what a click means: of boxes the next larger one if the first is held already. */
function take(e) {
  const at = view.locate(e.clientX, e.clientY);
  if (showsTree()) {
    if (tree.tree) {
      tree.held = sampleAt(at);
      show();
    }
  } else if (boxes.answer) {
    const those = ranks.under(boxes.answer.boxes, boxes.shown, ...at, view.reach(reach));
    hold(those[(those.indexOf(boxes.held) + 1) % those.length] ?? -1);
  }
}

const fixed = matchMedia("(min-width: 75rem)"); // the style sheet's, from where on the page does not scroll

stage.addEventListener("wheel", (e) => {
  if (view.width > 0 && (fixed.matches || e.ctrlKey)) {
    e.preventDefault();
    const lines = e.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
    view.zoom(Math.exp(-e.deltaY * lines * (e.ctrlKey ? 0.01 : 0.002)), e.clientX, e.clientY);
  }
}, { passive: false });

$("zoom-in").addEventListener("click", () => view.zoom(1.5));
$("zoom-out").addEventListener("click", () => view.zoom(1 / 1.5));
$("zoom-fit").addEventListener("click", () => view.fit());
view.onzoom = () => {
  $("zoom-level").textContent = `${Math.round((100 * view.scale) / devicePixelRatio)} %`;
  stage.classList.toggle("zoomed", !view.fits);
};
new ResizeObserver(view.onzoom).observe(stage);
new ResizeObserver(() => {
  if (tree.tree && showsTree()) {
    curve();
  }
}).observe($("curve"));

// Events: keys.

/** Does what a key means for the merges; tells whether it means anything. */
function walkKey(key) {
  const { merges, leaves } = { merges: tree.merges, leaves: tree.tree.leaves };
  const to = {
    ArrowRight: merges + 1, ArrowUp: merges + 1, ArrowLeft: merges - 1, ArrowDown: merges - 1,
    PageUp: scale.merges(scale.t(merges, leaves) + 0.05, leaves), PageDown: scale.merges(scale.t(merges, leaves) - 0.05, leaves),
    Home: 0, End: leaves - 1,
  }[key];
  if (to === undefined) {
    return false;
  }
  walk(to);
  return true;
}

/** Does what a key means for the boxes; tells whether it means anything. */
function stepKey(key) {
  const by = {
    ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1,
    PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity,
  }[key];
  if (by === undefined) {
    return false;
  }
  step(by);
  return true;
}

stage.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) {
    return;
  }
  const zoom = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 }[e.key];
  if (zoom) {
    view.zoom(zoom);
  } else if (e.key === "0") {
    view.fit();
  } else if (e.key === "Escape") {
    tree.held = tree.hovered = null;
    hold(-1);
  } else if (showsTree() ? !(tree.tree && walkKey(e.key)) : !(boxes.answer && stepKey(e.key))) {
    return;
  }
  e.preventDefault();
});

$("list").addEventListener("keydown", (e) => {
  if (e.key === "Escape") {
    hold(-1);
  } else if (e.ctrlKey || e.metaKey || e.altKey || !boxes.answer || !stepKey(e.key)) {
    return;
  }
  e.preventDefault();
});
$("rows").addEventListener("pointermove", (e) => point(list.rankOf(e)));
$("rows").addEventListener("pointerleave", () => point(-1));
$("rows").addEventListener("click", (e) => hold(list.rankOf(e), false));

filter();
show();
meet();
