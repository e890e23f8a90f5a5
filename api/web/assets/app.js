// The page: the current image, the requests about it, and the two panels that show the answers.

import * as api from "./api.js";
import { abort, clearError, isPending, on, send, showError } from "./requests.js";
import { BoxesPanel } from "./boxes-panel.js";
import { placeholder } from "./evidence.js";
import { listen } from "./pointer-input.js";
import * as format from "./format.js";
import { TreePanel } from "./tree-panel.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const body = document.body;
const boxCounts = [100, 500, 1000, 2000]; // choices of the maximum number of boxes

/** The answer of /v1/modes; null until it has arrived. */
let capabilities = null;

/** The current image: its file, null if there is none, and its pixels, null if the browser cannot decode it. */
const image = { file: null, bitmap: null };

const view = new View($("canvas"), $("image"), $("stage"));
const panels = {
  boxes: new BoxesPanel(view, image, update, showInTree, (e) => showError(e, search)),
  tree: new TreePanel(view, image, update),
};

/** The active panel. */
function panel() {
  return panels[body.dataset.view];
}

// Requests.

function loadCapabilities() {
  send("modes", api.modes, (answer) => {
    capabilities = answer;
    $("version").textContent = answer.version;
    setOptions("mode", answer.modes.map((m) => [m.name, `${m.name}, ${format.plural(m.strategies.length, "tree")}`]), answer.default_mode);
    setOptions("order", answer.orders.map((o) => [o, o]), answer.orders[0]);
    const maxBoxes = answer.limits.max_boxes || Infinity;
    const counts = boxCounts.filter((n) => n < maxBoxes).concat(maxBoxes < boxCounts.at(-1) ? maxBoxes : []);
    setOptions("max", counts.map((n) => [n, format.plural(n, "box", "boxes")]), counts.includes(500) ? 500 : counts.at(-1));
    updateStrategies();
  });
}

function setOptions(id, options, selected) {
  $(id).replaceChildren(...options.map(([value, label]) => new Option(label, value, false, value === selected)));
}

function updateStrategies() {
  const mode = capabilities?.modes.find((m) => m.name === $("mode").value);
  setOptions("strategy", mode?.strategies.map((s, i) => [i, format.strategy(s)]) ?? [], 0);
}

/** Returns the request's options. Options that are unknown before the capabilities have arrived are omitted. */
function query(more) {
  return Object.fromEntries(Object.entries({ mode: $("mode").value, ...more }).filter(([, value]) => value !== ""));
}

/** Sends the request of the active panel. */
function search(then = () => {}) {
  if (!image.file) {
    return;
  }
  const { file } = image;
  const target = panel();
  const options = query(target.query);
  send(target.purpose, async (signal) => {
    const json = await api.proposals(file, options, signal);
    return [JSON.parse(json), json];
  }, ([answer, json]) => {
    inspected = null;
    layout(answer);
    target.setAnswer(answer, json);
    then();
  });
}

on.change = () => {
  const pending = isPending("boxes", "tree");
  $("progress").hidden = !pending;
  $("canvas").setAttribute("aria-busy", pending);
  updateStatus();
};

on.failure = () => {
  if (body.dataset.state === "waiting") {
    body.dataset.state = "empty";
  }
};

// The image.

async function open(file) {
  for (const p of Object.values(panels)) {
    abort(p.purpose);
    p.clear();
  }
  clearError();
  view.show(null, 0, 0);
  image.bitmap?.close(); // frees its memory now
  Object.assign(image, { file, bitmap: null });
  const focused = $("empty").contains(document.activeElement);
  body.dataset.state = "waiting";
  if (focused) { // the focused element is hidden now
    $("stage").focus({ preventScroll: true });
  }
  $("name").textContent = file.name;
  $("note").hidden = true;
  update();
  const maxBytes = capabilities?.limits.max_bytes ?? Infinity;
  if (file.size > maxBytes) { // the service would close the connection during the upload
    showError(new api.Problem(413, `${file.name} has ${format.number(file.size)} bytes: the service accepts at most ${format.number(maxBytes)}`), () => open(file));
    return;
  }
  search();
  let bitmap = null;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }); // upright, like the boxes
  } catch {
    // A format that only the service supports, or not an image: the service reports that.
  }
  if (image.file !== file) {
    return;
  }
  image.bitmap = bitmap;
  inspected = null;
  layout(panels.boxes.answer ?? panels.tree.answer ?? bitmap);
  for (const p of Object.values(panels)) {
    p.imageLoaded();
  }
  update();
}

/** Lays out the image, or a plain background and a note if the browser cannot decode it. */
function layout(size) {
  if (!size) {
    return;
  }
  body.dataset.state = "shown";
  view.show(image.bitmap, size.width, size.height);
  $("note").textContent = `The browser cannot show ${image.file.name}: its boxes are drawn on a plain background.`;
  $("note").hidden = image.bitmap !== null;
}

async function sample(name) {
  const answer = await fetch(`assets/${name}`);
  if (answer.ok) {
    open(new File([await answer.blob()], name, { type: "image/jpeg" }));
  } else {
    showError(new api.Problem(answer.status, `the sample ${name} cannot be loaded`), () => sample(name));
  }
}

// Display.

let inspected = null; // the name of the content in the inspector

/** Updates the canvas, the inspector and the status line. */
function update() {
  $("curl").disabled = !image.file;
  $("download").disabled = !panel().answer;
  const { scene, name, describe } = panel().content;
  view.draw(scene);
  if (inspected !== name) {
    inspected = name;
    $("evidence").replaceChildren(...(describe?.() ?? placeholder(name)));
  }
  updateStatus();
}

function updateStatus() {
  const { answer } = panel();
  const line = answer
    ? [panel().summary, `${answer.width} × ${answer.height}`, `decoded in ${format.seconds(answer.decode_seconds)}`, `searched in ${format.seconds(answer.seconds)}`, answer.warning].filter(Boolean).join(" · ")
    : "";
  $("status").textContent = isPending("tree") ? "Building the tree…" : isPending("boxes") ? "Searching…" : line;
  $("stage").setAttribute("aria-label", image.file ? `${image.file.name}, ${line}` : "No image yet");
}

function setView(name) {
  body.dataset.view = name;
  $("views").querySelector(`[value=${name}]`).checked = true;
  $("inspector").setAttribute("aria-label", name === "tree" ? "Region" : "Boxes");
  update();
}

function showInTree(strategy, position) {
  $("strategy").value = strategy;
  setView("tree");
  search(() => panels.tree.showNode(position));
}

// Files are chosen, pasted, dropped, or samples.

$("file").addEventListener("change", (e) => {
  if (e.target.files.length > 0) {
    open(e.target.files[0]);
  }
  e.target.value = ""; // so that the same file can be chosen again
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
    body.dataset.drop = "";
  }
});
addEventListener("dragleave", (e) => {
  if (e.relatedTarget === null) {
    delete body.dataset.drop;
  }
});
addEventListener("drop", (e) => {
  delete body.dataset.drop;
  if (e.dataTransfer.files.length > 0) {
    e.preventDefault();
    open(e.dataTransfer.files[0]);
  }
});

// Controls.

$("views").addEventListener("change", (e) => {
  setView(e.target.value);
  if (!panel().answer) {
    search();
  }
});

$("search").addEventListener("submit", (e) => e.preventDefault());
$("search").addEventListener("change", (e) => {
  if (e.target.id === "mode") {
    updateStrategies();
    const other = panel() === panels.tree ? panels.boxes : panels.tree;
    abort(other.purpose);
    other.clear(); // requested again when it becomes active
  }
  search();
});

$("curl").addEventListener("click", async () => {
  const line = api.curl(image.file.name, query(panel().command));
  try {
    await navigator.clipboard.writeText(line); // undefined without TLS, except on localhost
    $("announce").textContent = "Copied";
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
  link.href = URL.createObjectURL(new Blob([panel().json], { type: "application/json" }));
  link.download = `${image.file.name.replace(/\.[^.]*$/, "")}.${panel().purpose}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

listen(view, panel);
update();
loadCapabilities();
