// The page: the picture, what is asked of the service about it, and the two views of the answers.

import * as api from "./api.js";
import { abort, ask, busy, fail, on, settle } from "./asking.js";
import { BoxPane } from "./boxpane.js";
import { nothing } from "./evidence.js";
import { listen } from "./stage.js";
import * as text from "./text.js";
import { TreePane } from "./treepane.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const body = document.body;
const offers = [100, 500, 1000, 2000]; // how many boxes to ask for

/** What the service can do, as /v1/modes tells it; null until it has. */
let service = null;

/** The picture: its file, null for none, and its pixels, null if the browser cannot read it. */
const picture = { file: null, bitmap: null };

const view = new View($("canvas"), $("picture"), $("stage"));
const panes = {
  boxes: new BoxPane(view, picture, show, showInTree, (e) => fail(e, search)),
  tree: new TreePane(view, picture, show),
};

/** The view that is looked at. */
function pane() {
  return panes[body.dataset.view];
}

// The service.

function meet() {
  ask("modes", api.modes, (answer) => {
    service = answer;
    $("version").textContent = answer.version;
    choices("mode", answer.modes.map((m) => [m.name, `${m.name}, ${text.several(m.strategies.length, "tree")}`]), answer.default_mode);
    choices("order", answer.orders.map((o) => [o, o]), answer.orders[0]);
    const most = answer.limits.max_boxes || Infinity;
    const counts = offers.filter((n) => n < most).concat(most < offers.at(-1) ? most : []);
    choices("max", counts.map((n) => [n, text.several(n, "box", "boxes")]), counts.includes(500) ? 500 : counts.at(-1));
    offerTrees();
  });
}

function choices(id, options, chosen) {
  $(id).replaceChildren(...options.map(([value, label]) => new Option(label, value, false, value === chosen)));
}

function offerTrees() {
  const mode = service?.modes.find((m) => m.name === $("mode").value);
  choices("strategy", mode?.strategies.map((s, i) => [i, text.strategy(s)]) ?? [], 0);
}

/** The mode and options; those that are not known before the service has been met are left out. */
function query(more) {
  return Object.fromEntries(Object.entries({ mode: $("mode").value, ...more }).filter(([, value]) => value !== ""));
}

/** Asks for what the view that is looked at shows. */
function search(then = () => {}) {
  if (!picture.file) {
    return;
  }
  const { file } = picture;
  const wanted = pane();
  const options = query(wanted.query);
  ask(wanted.purpose, async (signal) => {
    const json = await api.proposals(file, options, signal);
    return [JSON.parse(json), json];
  }, ([answer, json]) => {
    inspected = null;
    ground(answer);
    wanted.take(answer, json);
    then();
  });
}

on.change = () => {
  const on = busy("boxes", "tree");
  $("progress").hidden = !on;
  $("canvas").setAttribute("aria-busy", on);
  tell();
};

on.failure = () => {
  if (body.dataset.state === "waiting") {
    body.dataset.state = "empty";
  }
};

// The picture.

async function open(file) {
  for (const p of Object.values(panes)) {
    abort(p.purpose);
    p.forget();
  }
  settle();
  view.show(null, 0, 0);
  picture.bitmap?.close(); // or its memory would wait for the collector
  Object.assign(picture, { file, bitmap: null });
  const focused = $("empty").contains(document.activeElement);
  body.dataset.state = "waiting";
  if (focused) { // what has the focus is hidden now
    $("stage").focus({ preventScroll: true });
  }
  $("name").textContent = file.name;
  $("note").hidden = true;
  show();
  const most = service?.limits.max_bytes ?? Infinity;
  if (file.size > most) { // the service would hang up in the middle
    fail(new api.Problem(413, `${file.name} has ${text.number(file.size)} bytes: the service takes at most ${text.number(most)}`), () => open(file));
    return;
  }
  search();
  let bitmap = null;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }); // upright, as the boxes are
  } catch {
    // A format of the service's that is not the browser's, or no picture: the service will say.
  }
  if (picture.file !== file) {
    return;
  }
  picture.bitmap = bitmap;
  inspected = null;
  ground(panes.boxes.answer ?? panes.tree.answer ?? bitmap);
  for (const p of Object.values(panes)) {
    p.pictured();
  }
  show();
}

/** Lays the picture out, or a plain ground and a note in its place, by the sides that are known. */
function ground(sides) {
  if (!sides) {
    return;
  }
  body.dataset.state = "shown";
  view.show(picture.bitmap, sides.width, sides.height);
  $("note").textContent = `The browser cannot show ${picture.file.name}: its boxes lie on a plain ground.`;
  $("note").hidden = picture.bitmap !== null;
}

async function sample(name) {
  const answer = await fetch(`assets/${name}`);
  if (answer.ok) {
    open(new File([await answer.blob()], name, { type: "image/jpeg" }));
  } else {
    fail(new api.Problem(answer.status, `the sample ${name} cannot be had`), () => sample(name));
  }
}

// What is seen.

let inspected = null; // the name of what the inspector describes

/** Brings stage, inspector and status up to what is known. */
function show() {
  $("curl").disabled = !picture.file;
  $("download").disabled = !pane().answer;
  const { scene, name, describe } = pane().shown;
  view.draw(scene);
  if (inspected !== name) {
    inspected = name;
    $("evidence").replaceChildren(...(describe?.() ?? nothing(name)));
  }
  tell();
}

/** Says in a line what is shown. */
function tell() {
  const { answer } = pane();
  const line = answer
    ? [pane().summary, `${answer.width} × ${answer.height}`, `decoded in ${text.seconds(answer.decode_seconds)}`, `searched in ${text.seconds(answer.seconds)}`].join(" · ")
    : "";
  $("status").textContent = busy("tree") ? "Growing the tree…" : busy("boxes") ? "Searching…" : line;
  $("stage").setAttribute("aria-label", picture.file ? `${picture.file.name}, ${line}` : "No picture yet");
}

function look(what) {
  body.dataset.view = what;
  $("views").querySelector(`[value=${what}]`).checked = true;
  $("inspector").setAttribute("aria-label", what === "tree" ? "Region" : "Boxes");
  show();
}

function showInTree(strategy, position) {
  $("strategy").value = strategy;
  look("tree");
  search(() => panes.tree.go(position));
}

// Files come by choice, paste, drop or as samples.

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
  look(e.target.value);
  if (!pane().answer) {
    search();
  }
});

$("search").addEventListener("submit", (e) => e.preventDefault());
$("search").addEventListener("change", (e) => {
  if (e.target.id === "mode") {
    offerTrees();
    const other = pane() === panes.tree ? panes.boxes : panes.tree;
    abort(other.purpose);
    other.forget(); // it asks again when it is looked at
  }
  search();
});

$("curl").addEventListener("click", async () => {
  const line = api.curl(picture.file.name, query(pane().command));
  try {
    await navigator.clipboard.writeText(line); // there is none without TLS, but on this machine
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
  link.href = URL.createObjectURL(new Blob([pane().json], { type: "application/json" }));
  link.download = `${picture.file.name.replace(/\.[^.]*$/, "")}.${pane().purpose}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

listen(view, pane);
show();
meet();
