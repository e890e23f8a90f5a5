// Requests as the page makes them: a newer one takes the place of an older one for the
// same purpose, errors are told and can be tried again, and a token is asked for when
// the service wants one.

import * as api from "./api.js";
import { element, several } from "./text.js";

const $ = (id) => document.getElementById(id);

const going = new Map(); // the AbortControllers by purpose
let refused = []; // what to ask again once there is a token

/** What to call when requests begin, end or fail. */
export const on = { change: () => {}, failure: () => {} };

/** Whether there is a request for one of these purposes. */
export const busy = (...purposes) => purposes.some((p) => going.has(p));

/** Gives up the request for a purpose. */
export function abort(purpose) {
  going.get(purpose)?.abort();
  going.delete(purpose);
  on.change();
}

/**
 * Asks a question, instead of what was asked before for the same purpose, and hands the
 * answer on if it is still wanted.
 *
 * @param {string} purpose
 * @param {(signal: AbortSignal) => Promise<T>} question
 * @param {(answer: T) => void} then  may throw a RangeError about an answer that does not hold together
 * @template T
 */
export async function ask(purpose, question, then) {
  abort(purpose);
  const control = new AbortController();
  going.set(purpose, control);
  on.change();
  try {
    const answer = await question(control.signal);
    if (!control.signal.aborted) {
      settle();
      then(answer);
    }
  } catch (e) {
    if (!control.signal.aborted) {
      fail(e, () => ask(purpose, question, then));
    }
  } finally {
    if (going.get(purpose) === control) {
      going.delete(purpose);
    }
    on.change();
  }
}

/** Says what went wrong, and offers to do it again. */
export function fail(e, again) {
  if (!(e instanceof api.Problem || e instanceof RangeError || e instanceof SyntaxError)) {
    throw e; // a fault of the page
  }
  on.failure();
  if (e.status === 401) {
    refused.push(again);
    $("token").hidden = false;
    $("bearer").focus();
    if (!api.token.get()) {
      return; // the first time it is a question, not an error
    }
  }
  const line = e instanceof api.Problem ? e.message : `the service's answer cannot be used: ${e.message}`;
  const parts = [element("p", "", line.charAt(0).toUpperCase() + line.slice(1))];
  const fields = e.fields?.filter(({ want }) => !e.message.includes(want)) ?? []; // what the line has not told
  if (fields.length > 0) {
    parts.push(element("ul", "", ...fields.map(({ name, value, want }) =>
      element("li", "", element("code", "", name), value ? ` is ${value}; want ${want}` : `: want ${want}`))));
  }
  const choice = (label, kind, does) => {
    const button = element("button", `button ${kind}`, label);
    button.type = "button";
    button.addEventListener("click", () => { settle(); does(); });
    return button;
  };
  parts.push(element("p", "choices",
    choice(e.retryAfter ? `Try again, in ${several(e.retryAfter, "second")}` : "Try again", "", again),
    choice("Dismiss", "plain", () => {})));
  $("problem").replaceChildren(...parts);
}

/** Takes back what went wrong. */
export function settle() {
  $("problem").replaceChildren();
}

$("token").addEventListener("submit", (e) => {
  e.preventDefault();
  api.token.set($("bearer").value);
  $("bearer").value = "";
  $("token").hidden = true;
  settle();
  const again = refused;
  refused = [];
  for (const f of again) {
    f();
  }
});
