// The service, as the page asks it. Addresses are relative to the page's own.

/**
 * An error that the service told of, or that kept it from answering.
 *
 * @typedef {{name: string, value: string, want: string}} Field  what is wrong, and what would be right
 */
export class Problem extends Error {
  /**
   * @param {number} status  of HTTP; 0: there was no answer
   * @param {string} detail
   * @param {Field[]} fields
   * @param {number} retryAfter  seconds; 0: not told
   */
  constructor(status, detail, fields = [], retryAfter = 0) {
    super(detail);
    this.status = status;
    this.fields = fields;
    this.retryAfter = retryAfter;
  }
}

const tokenKey = "proposer-token";

/** The bearer token, kept until the tab is closed; "" for none. */
export const token = {
  get: () => sessionStorage.getItem(tokenKey) ?? "",
  set: (value) => sessionStorage.setItem(tokenKey, value),
};

/** GET /v1/modes: the modes, their strategies, orders and limits. */
export async function modes(signal) {
  return (await ask("v1/modes", { signal })).json();
}

/**
 * POST /v1/proposals with a picture.
 *
 * @param {Blob} picture
 * @param {Record<string, string|number>} options  query parameters
 * @returns {Promise<string>} the JSON as it came
 */
export async function proposals(picture, options, signal) {
  return (await ask(`v1/proposals?${query(options)}`, { method: "POST", body: picture, signal })).text();
}

/** The command that asks for the same, in a POSIX shell. */
export function curl(file, options) {
  const words = ["curl"];
  if (token.get()) {
    words.push('-H "Authorization: Bearer $TOKEN"');
  }
  const address = new URL(`v1/proposals?${query(options)}`, document.baseURI);
  words.push("--data-binary", quote(`@${file}`), quote(address.href));
  return words.join(" ");
}

function query(options) {
  return new URLSearchParams(options).toString();
}

function quote(word) {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

async function ask(path, init) {
  const headers = { Accept: "application/json" };
  if (token.get()) {
    headers.Authorization = `Bearer ${token.get()}`;
  }
  let answer;
  try {
    answer = await fetch(path, { ...init, headers });
  } catch (e) {
    if (e.name === "AbortError") {
      throw e;
    }
    throw new Problem(0, "The service does not answer.");
  }
  if (!answer.ok) {
    throw await problemOf(answer);
  }
  return answer;
}

/** What an answer says went wrong; a proxy's may say nothing that can be read. */
async function problemOf(answer) {
  const retryAfter = Number(answer.headers.get("Retry-After")) || 0;
  const text = await answer.text();
  try {
    const { detail, errors = [] } = JSON.parse(text);
    if (typeof detail === "string") {
      return new Problem(answer.status, detail, errors, retryAfter);
    }
  } catch {
    // Not JSON: the status has to do.
  }
  return new Problem(answer.status, `The service answered ${answer.status} ${answer.statusText}`.trim() + ".", [], retryAfter);
}
