// The page's requests: a newer request replaces an older one for the same purpose, errors
// are shown with a button to retry, and a token is asked for when the service requires one.

import * as api from "./api.js";
import { element, plural } from "./format.js";

const $ = (id) => document.getElementById(id);

const pending = new Map(); // AbortControllers by purpose
let unauthorized = []; // requests to retry once there is a token

/** Callbacks: change when a request begins or ends, failure when one fails. */
export const on = { change: () => {}, failure: () => {} };

/** Reports whether a request for one of these purposes is pending. */
export const isPending = (...purposes) => purposes.some((p) => pending.has(p));

/** Aborts the request for a purpose. */
export function abort(purpose) {
  pending.get(purpose)?.abort();
  pending.delete(purpose);
  on.change();
}

/**
 * Sends a request, aborting an earlier one for the same purpose, and passes the answer on
 * unless it has been aborted meanwhile.
 *
 * @param {string} purpose
 * @param {(signal: AbortSignal) => Promise<T>} request
 * @param {(answer: T) => void} then  may throw a RangeError about an inconsistent answer
 * @template T
 */
export async function send(purpose, request, then) {
  abort(purpose);
  const control = new AbortController();
  pending.set(purpose, control);
  on.change();
  try {
    const answer = await request(control.signal);
    if (!control.signal.aborted) {
      clearError();
      then(answer);
    }
  } catch (e) {
    if (!control.signal.aborted) {
      showError(e, () => send(purpose, request, then));
    }
  } finally {
    if (pending.get(purpose) === control) {
      pending.delete(purpose);
    }
    on.change();
  }
}

/** Shows an error with a button that calls retry. */
export function showError(e, retry) {
  if (!(e instanceof api.Problem || e instanceof RangeError || e instanceof SyntaxError)) {
    throw e; // a bug in the page
  }
  on.failure();
  if (e.status === 401) {
    unauthorized.push(retry);
    $("token").hidden = false;
    $("bearer").focus();
    if (!api.token.get()) {
      return; // the form asks for a token: not an error yet
    }
  }
  const message = e instanceof api.Problem ? e.message : `the service's answer is invalid: ${e.message}`;
  const parts = [element("p", "", message.charAt(0).toUpperCase() + message.slice(1))];
  const fields = e.fields?.filter(({ want }) => !e.message.includes(want)) ?? []; // not in the message already
  if (fields.length > 0) {
    parts.push(element("ul", "", ...fields.map(({ name, value, want }) =>
      element("li", "", element("code", "", name), value ? ` is ${value}; want ${want}` : `: want ${want}`))));
  }
  const button = (label, kind, action) => {
    const b = element("button", `button ${kind}`, label);
    b.type = "button";
    b.addEventListener("click", () => { clearError(); action(); });
    return b;
  };
  parts.push(element("p", "choices",
    button(e.retryAfter ? `Try again in ${plural(e.retryAfter, "second")}` : "Try again", "", retry),
    button("Dismiss", "plain", () => {})));
  $("problem").replaceChildren(...parts);
}

/** Removes the error that is shown. */
export function clearError() {
  $("problem").replaceChildren();
}

$("token").addEventListener("submit", (e) => {
  e.preventDefault();
  api.token.set($("bearer").value);
  $("bearer").value = "";
  $("token").hidden = true;
  clearError();
  const retries = unauthorized;
  unauthorized = [];
  for (const retry of retries) {
    retry();
  }
});
