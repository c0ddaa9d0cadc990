/** The node's API, with the operator's key. Nothing of the page. */

const TIMEOUT_MS = 10_000;

/** What a key may consist of: it travels as the name of a subprotocol too (RFC 9110, token). */
const KEY = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A refusal of the API, in its own words. */
export class Refusal extends Error {
  /**
   * @param {string} words
   * @param {number} status of the answer
   */
  constructor(words, status) {
    super(words);
    this.name = "Refusal";
    this.status = status;
  }

  /** Whether another key may help. */
  get wantsKey() {
    return this.status === 401 || this.status === 403;
  }
}

/** Event: `refused` (detail: a `Refusal` that another key may mend). */
export class Api extends EventTarget {
  /** Sent with every request; "" for none. */
  key = "";

  /**
   * Ask, and return the answer.
   *
   * @param {string} path
   * @param {{method?: string, body?: unknown, accept?: number[]}} [request] `accept`: statuses
   *   that are answers here and not refusals
   * @returns {Promise<any>} the JSON of the answer
   * @throws {Refusal} the API says no
   * @throws {Error} there is no answer; see `inWords`
   */
  async ask(path, { method = "GET", body, accept = [] } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (this.key) headers["Authorization"] = `Bearer ${this.key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const answer = await fetch(path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      cache: "no-store",
      credentials: "omit",
      redirect: "error", // a key goes where it was meant to go
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (answer.ok || accept.includes(answer.status)) return answer.json();
    const problem = await answer.json().catch(() => ({}));
    const words = problem.detail || problem.title || `it answered with status ${answer.status}`;
    const refusal = new Refusal(words, answer.status);
    if (refusal.status === 401) {
      this.dispatchEvent(new CustomEvent("refused", { detail: refusal }));
    }
    throw refusal;
  }
}

/** @param {unknown} error of `Api.ask` @returns {string} part of a sentence */
export function inWords(error) {
  if (error instanceof Refusal) return error.message;
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return "the node did not answer in time";
  }
  if (error instanceof SyntaxError) return "the node's answer makes no sense";
  return "the node cannot be reached";
}

/** @param {string} key @returns {string} what is wrong with it, in plain words; "" when nothing is */
export function keyProblem(key) {
  if (key === "") return "Please enter the key.";
  if (!KEY.test(key)) return "That is no key: a key has only letters, digits, _ and -.";
  return "";
}
