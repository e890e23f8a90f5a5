// Client of the service's API. URLs are relative to the page's.

/**
 * An error reported by the service, or the failure to reach it.
 *
 * @typedef {{name: string, value: string, want: string}} Field  an invalid field and what would be valid
 */
export class Problem extends Error {
  /**
   * @param {number} status  HTTP status; 0: no answer
   * @param {string} detail
   * @param {Field[]} fields
   * @param {number} retryAfter  in seconds; 0: unknown
   */
  constructor(status, detail, fields = [], retryAfter = 0) {
    super(detail);
    this.status = status;
    this.fields = fields;
    this.retryAfter = retryAfter;
  }
}

const tokenKey = "proposer-token";

/** The bearer token, kept until the tab is closed; "": none. */
export const token = {
  get: () => sessionStorage.getItem(tokenKey) ?? "",
  set: (value) => sessionStorage.setItem(tokenKey, value),
};

/** GET /v1/modes: modes with their strategies, orders and limits. */
export async function modes(signal) {
  return (await request("v1/modes", { signal })).json();
}

/**
 * POST /v1/proposals with an image.
 *
 * @param {Blob} image
 * @param {Record<string, string|number>} options  query parameters
 * @returns {Promise<string>} the JSON, unparsed
 */
export async function proposals(image, options, signal) {
  return (await request(`v1/proposals?${query(options)}`, { method: "POST", body: image, signal })).text();
}

/** Returns the equivalent curl command for a POSIX shell. */
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

async function request(path, init) {
  const headers = { Accept: "application/json" };
  if (token.get()) {
    headers.Authorization = `Bearer ${token.get()}`;
  }
  let response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (e) {
    if (e.name === "AbortError") {
      throw e;
    }
    throw new Problem(0, "The service does not answer.");
  }
  if (!response.ok) {
    throw await problemOf(response);
  }
  return response;
}

/** Converts an error response to a Problem. A proxy's response may not be JSON. */
async function problemOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const text = await response.text();
  try {
    const { detail, errors = [] } = JSON.parse(text);
    if (typeof detail === "string") {
      return new Problem(response.status, detail, errors, retryAfter);
    }
  } catch {
    // Not JSON: report the status.
  }
  return new Problem(response.status, `The service answered ${response.status} ${response.statusText}`.trim() + ".", [], retryAfter);
}
