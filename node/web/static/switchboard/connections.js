/** One connection after the other: where to, when, with which token, and when to stop. */
import { Addresses } from "./addresses.js";
import { backoffMs } from "./backoff.js";
import { BYE, closing, NOT_AUTHENTICATED, SLOW, UNREACHABLE } from "./closings.js";
import { SwitchboardError } from "./errors.js";
import { Link } from "./link.js";

// A connection that lasted for so long ends a row of failures.
const HELD_MS = 10_000;
// What a subprotocol may be made of (RFC 9110 section 5.6.2); tokens of JWT are, and tickets.
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/**
 * @typedef {object} Listener
 * @property {() => string} offset after which the next connection goes on, "" for none
 * @property {() => Promise<void>} ready done when another connection can be of use
 * @property {(welcome: any) => void} onWelcome before the state is `open` for anybody else
 * @property {(frame: any) => void} onFrame of a type other than `welcome` and `goodbye`
 * @property {(status: any) => void} onState
 * @property {() => void} onLost before the state that follows
 * @property {(error: SwitchboardError) => void} onProblem
 */

export class Connections {
  #options;
  #addresses;
  /** @type {Listener} */
  #listener;
  /** @type {any} */
  #status = { state: "connecting", url: "" };
  /** Counts connections: what an earlier one still says is not heard. */
  #turn = 0;
  /** @type {Link | null} */
  #link = null;
  #situation = { failures: 0, elsewhere: false };
  /** @type {any} */
  #goodbye = null;
  #openedAt = 0;
  /** Whether the token was refused, and no newer one was accepted since. */
  #refused = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;

  /** @param {any} urls @param {any} options @param {Listener} listener */
  constructor(urls, options, listener) {
    this.#addresses = new Addresses(urls);
    this.#options = options;
    this.#listener = listener;
  }

  /** The last state that was told. */
  get status() {
    return this.#status;
  }

  get isOpen() {
    return this.#status.state === "open";
  }

  get isClosed() {
    return this.#status.state === "closed";
  }

  /**
   * @param {object | string} frame
   * @returns {boolean} false when there is no connection
   */
  write(frame) {
    if (!this.isOpen || this.#link === null) return false;
    this.#link.send(frame);
    return true;
  }

  /** Make the next connection now. */
  async dial() {
    if (this.isClosed) return;
    clearTimeout(this.#retryTimer);
    this.#goodbye = null;
    const turn = ++this.#turn;
    /** @param {(...details: any[]) => void} act */
    const ifCurrent = (act) => (/** @type {any[]} */ ...details) => {
      if (turn === this.#turn) act(...details);
    };
    try {
      const [url, token] = await inTime(this.#target(), this.#options.dialTimeoutMs);
      if (turn !== this.#turn) return;
      this.#enter({ state: "connecting", url: url.origin + url.pathname });
      if (turn !== this.#turn) return; // somebody who was told has closed us
      this.#link = new Link(url.href, {
        ...this.#options,
        token,
        onFrame: ifCurrent((frame) => this.#receive(frame)),
        onLost: ifCurrent((code, reason) => this.lose(code, reason)),
      });
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#listener.onProblem(asOurs(error));
      this.lose(UNREACHABLE, asOurs(error).message);
    }
  }

  /** Do not wait for the next try. Does nothing unless one is waited for. */
  retryNow() {
    if (this.#status.state === "waiting") this.dial();
  }

  /**
   * The connection has ended, or shall end now; come back if that is of use.
   *
   * @param {number} code WebSocket close code: why
   * @param {string} said the node's own words
   */
  lose(code, said) {
    const held = this.isOpen && Date.now() - this.#openedAt > HELD_MS;
    const failures = held ? 1 : this.#situation.failures + 1;
    const { words, reconnect, elsewhere } = closing(code);
    const why = { code, reason: words, said: said || (this.#goodbye?.reason ?? "") };
    this.#situation = { failures, elsewhere };
    const again = code === NOT_AUTHENTICATED && this.#mayAskForAnotherToken();
    if (reconnect || again) this.#wait(why, this.#waitMs(again));
    else this.close(why);
  }

  /** Go away until `ready`, for reasons of our own: nothing has failed. */
  pause() {
    if (this.isOpen) this.#wait({ code: SLOW, reason: closing(SLOW).words, said: "" }, 0);
  }

  /** @param {{code: number, reason: string, said: string}} why */
  close(why = { code: BYE, reason: "this client was closed", said: "" }) {
    if (this.isClosed) return;
    this.#letGo(BYE);
    this.#listener.onLost();
    this.#enter({ state: "closed", ...why });
  }

  /** @param {any} status */
  #enter(status) {
    this.#status = status;
    this.#listener.onState(status);
  }

  /** @returns {Promise<[URL, string | undefined]>} where to, and the token to come with */
  async #target() {
    const url = await this.#addresses.next({ ...this.#situation });
    const { user, device } = this.#options;
    const token = await this.#token();
    const since = this.#listener.offset() || undefined;
    const query = { user, device, since, ack: "manual" };
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    return [url, token];
  }

  /** @returns {Promise<string | undefined>} */
  async #token() {
    const token = await this.#freshToken();
    if (token === undefined || TOKEN.test(token)) return token;
    throw new SwitchboardError("no_token", "the token has characters that cannot be sent as one");
  }

  async #freshToken() {
    const { token } = this.#options;
    if (typeof token !== "function") return token;
    try {
      return await token();
    } catch (cause) {
      throw new SwitchboardError("no_token", `no token could be fetched: ${cause}`, { cause });
    }
  }

  #mayAskForAnotherToken() {
    const mayAsk = typeof this.#options.token === "function" && !this.#refused;
    this.#refused = true;
    return mayAsk;
  }

  /** @param {any} frame */
  #receive(frame) {
    if (frame?.type === "welcome") this.#welcomed(frame);
    else if (frame?.type === "goodbye") this.#goodbye = frame;
    else if (frame?.type === "expiring") this.#renew();
    else this.#listener.onFrame(frame);
  }

  /** Our token ends soon. With another one the session goes on; without, it ends with 4401. */
  async #renew() {
    if (typeof this.#options.token !== "function") return;
    const turn = this.#turn;
    try {
      const token = await inTime(this.#token(), this.#options.dialTimeoutMs);
      if (turn === this.#turn) this.write({ type: "refresh", token });
    } catch (error) {
      if (turn === this.#turn) this.#listener.onProblem(asOurs(error));
    }
  }

  /** @param {any} frame */
  #welcomed(frame) {
    const { type: _, max_message_bytes: maxMessageBytes, ...rest } = frame;
    this.#openedAt = Date.now();
    this.#situation.elsewhere = false;
    this.#refused = false;
    this.#status = { state: "open", ...rest, maxMessageBytes };
    this.#listener.onWelcome(frame);
    this.#enter(this.#status);
  }

  /** @param {boolean} tokenOnly @returns {number} until the next try */
  #waitMs(tokenOnly) {
    const { failures } = this.#situation;
    const { retryBaseMs: baseMs, retryCapMs: capMs } = this.#options;
    // What the node asks for is spread over all its clients already, and a fresh token is worth a
    // try at once. Not so when we come and go all the time.
    const asked = tokenOnly ? 0 : this.#goodbye?.reconnect_after_ms;
    const ownMs = backoffMs(failures, { baseMs, capMs });
    return Math.max(asked ?? ownMs, failures === 1 ? 0 : ownMs);
  }

  /** @param {{code: number, reason: string, said: string}} why @param {number} afterMs */
  #wait(why, afterMs) {
    this.#letGo(why.code >= 4000 ? why.code : BYE);
    this.#listener.onLost();
    const turn = this.#turn;
    this.#retryTimer = setTimeout(async () => {
      await this.#listener.ready();
      if (turn === this.#turn) this.dial();
    }, afterMs);
    this.#enter({ state: "waiting", afterMs, failures: this.#situation.failures, ...why });
  }

  /** @param {number} code */
  #letGo(code) {
    this.#turn += 1;
    clearTimeout(this.#retryTimer);
    this.#link?.drop(code);
    this.#link = null;
    this.#status = { state: "waiting" }; // nothing can be written from now on
  }
}

/** @param {unknown} thrown @returns {SwitchboardError} */
function asOurs(thrown) {
  if (thrown instanceof SwitchboardError) return thrown;
  const words = thrown instanceof Error ? thrown.message : String(thrown);
  return new SwitchboardError("no_address", words, { cause: thrown });
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} limitMs
 * @returns {Promise<T>}
 */
async function inTime(promise, limitMs) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    const words = `no token or address within ${limitMs} ms`;
    timer = setTimeout(() => reject(new SwitchboardError("no_token", words)), limitMs);
  });
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}
