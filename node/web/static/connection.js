/**
 * A user's connection: one WebSocket at a time, and a new one whenever it is lost and may come
 * back. It knows nothing of the page.
 */
import { backoffMs } from "./backoff.js";
import { closing } from "./codes.js";
import { RecentIds } from "./recent.js";

const SUBPROTOCOL = "switchboard.v1.json";
const BACKOFF = { baseMs: 500, capMs: 15_000 };
const DIAL_TIMEOUT_MS = 10_000;
const PING_EVERY_MS = 20_000;
const STABLE_AFTER_MS = 10_000;
const REMEMBERED_IDS = 1_000;
const BYE = 1000;
const UNREACHABLE = 1006;

/** A send that the node refused, or that could not leave; `code` is the node's, or ours. */
export class SendError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = "SendError";
    this.code = code;
  }
}

/**
 * @typedef {object} State
 * @property {"idle" | "connecting" | "connected" | "waiting" | "ended"} name
 * @property {object} [welcome] with `connected`: the node's first frame
 * @property {number} [retryInMs] with `waiting`: until the next try
 * @property {number} [failures] tries that failed since the last connection that held
 * @property {string} [words] with `waiting` and `ended`: why, in plain words
 * @property {boolean} [byUser] with `ended`: `close` was called
 */

/**
 * Events: `state` (detail: State), `message` (detail: the frame; one that comes twice is told
 * once), `problem` (detail: words for something the node objects to that was not a send).
 */
export class Connection extends EventTarget {
  #urlFor;
  #state = { name: "idle" };
  /** The socket in use. An older one may still fire events: they are compared with this first. */
  #socket = null;
  #failures = 0;
  #elsewhere = false;
  #goodbye = null;
  #connectedAt = 0;
  #dialTimer;
  #pingTimer;
  #retryTimer;
  #pingUnanswered = false;
  #pending = new Map();
  #lastRef = 0;
  #recent = new RecentIds(REMEMBERED_IDS);

  /**
   * @param {(situation: {failures: number, elsewhere: boolean}) => string} urlFor says where the
   *   next try goes; `elsewhere` is true when the last node asked to go to another one
   */
  constructor(urlFor) {
    super();
    this.#urlFor = urlFor;
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** Connect, and stay connected until `close` or until the node says not to come back. */
  open() {
    if (this.#state.name !== "idle" && this.#state.name !== "ended") return;
    this.#failures = 0;
    this.#elsewhere = false;
    this.#dial();
  }

  /** Do not wait for the next try. Does nothing unless one is waited for. */
  retryNow() {
    if (this.#state.name === "waiting") this.#dial();
  }

  /** Leave for good. Safe to repeat. */
  close() {
    if (this.#state.name === "idle" || this.#state.name === "ended") return;
    this.#drop();
    this.#enter({ name: "ended", words: "", byUser: true });
  }

  /**
   * Send `data` to one user.
   *
   * @param {string} to user id
   * @param {unknown} data any JSON value
   * @param {{confirm?: "accepted" | "written" | "delivered"}} options how far to wait
   * @returns {Promise<{outcome: string, id?: string, reason?: string}>} `unknown` when the
   *   connection is lost before the answer
   * @throws {SendError} when the node refuses it, or there is no connection
   */
  send(to, data, options = {}) {
    if (this.#state.name !== "connected") {
      return Promise.reject(new SendError("not_connected", "not connected; nothing was sent"));
    }
    const ref = String(++this.#lastRef);
    const frame = JSON.stringify({ type: "send", ref, to, data, ...options });
    // The node would have to close the connection over it (RFC 6455 knows no other answer).
    const sizeBytes = new TextEncoder().encode(frame).length;
    const limitBytes = this.#state.welcome.max_message_bytes;
    if (sizeBytes > limitBytes) {
      const words = `with ${sizeBytes} bytes it is over the limit of ${limitBytes}`;
      return Promise.reject(new SendError("too_large", words));
    }
    return new Promise((resolve, reject) => {
      this.#pending.set(ref, { resolve, reject });
      this.#socket.send(frame);
    });
  }

  #enter(state) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  #dial() {
    clearTimeout(this.#retryTimer);
    this.#goodbye = null;
    const situation = { failures: this.#failures, elsewhere: this.#elsewhere };
    const socket = new WebSocket(this.#urlFor(situation), [SUBPROTOCOL]);
    this.#socket = socket;
    const ifCurrent = (act) => (event) => {
      if (this.#socket === socket) act(event);
    };
    socket.onmessage = ifCurrent((event) => this.#receive(event.data));
    socket.onclose = ifCurrent((event) => this.#lost(event.code));
    // A stopped process keeps its port: the kernel takes the connection and nobody answers.
    this.#dialTimer = setTimeout(() => this.#lost(UNREACHABLE), DIAL_TIMEOUT_MS);
    this.#enter({ name: "connecting", failures: this.#failures });
  }

  #receive(text) {
    this.#pingUnanswered = false; // any frame proves that the node is there
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      this.#complain("the node sent something that is not JSON");
      return;
    }
    switch (frame.type) {
      case "welcome":
        this.#welcomed(frame);
        break;
      case "message":
        // A node that dies between writing and noting it down leaves a copy for another node.
        if (this.#recent.add(frame.id)) {
          this.dispatchEvent(new CustomEvent("message", { detail: frame }));
        }
        break;
      case "outcome":
        this.#settle(frame.ref, (sent) => sent.resolve(frame));
        break;
      case "error":
        this.#refused(frame);
        break;
      case "goodbye":
        this.#goodbye = frame;
        break;
      // `pong` has done its work above; a type of a later version is not for this page.
    }
  }

  #welcomed(frame) {
    clearTimeout(this.#dialTimer);
    this.#connectedAt = performance.now();
    this.#elsewhere = false;
    this.#pingUnanswered = false;
    // Browsers do not show WebSocket pings to a page: only an answer to a frame of ours tells a
    // silent connection from a dead one.
    this.#pingTimer = setInterval(() => this.#ping(), PING_EVERY_MS);
    this.#enter({ name: "connected", welcome: frame });
  }

  #refused({ ref, code, message }) {
    const known = this.#settle(ref, (sent) => sent.reject(new SendError(code, message)));
    if (!known) this.#complain(message);
  }

  #ping() {
    if (this.#pingUnanswered) {
      this.#lost(UNREACHABLE);
      return;
    }
    this.#pingUnanswered = true;
    this.#socket.send('{"type":"ping"}');
  }

  #settle(ref, act) {
    const sent = this.#pending.get(ref);
    if (sent === undefined) return false;
    this.#pending.delete(ref);
    act(sent);
    return true;
  }

  #complain(words) {
    this.dispatchEvent(new CustomEvent("problem", { detail: words }));
  }

  #lost(code) {
    const held =
      this.#state.name === "connected" && performance.now() - this.#connectedAt > STABLE_AFTER_MS;
    this.#failures = held ? 1 : this.#failures + 1;
    const goodbye = this.#goodbye;
    this.#drop();
    const { words, reconnect, elsewhere } = closing(code);
    if (!reconnect) {
      this.#enter({ name: "ended", words, byUser: false });
      return;
    }
    this.#elsewhere = elsewhere;
    // What the node asks for is spread over all its clients already: it is obeyed as it is.
    const retryInMs = goodbye?.reconnect_after_ms ?? backoffMs(this.#failures, BACKOFF);
    this.#retryTimer = setTimeout(() => this.#dial(), retryInMs);
    this.#enter({ name: "waiting", retryInMs, failures: this.#failures, words });
  }

  /** Let go of the socket and of all that hangs on it. */
  #drop() {
    clearTimeout(this.#dialTimer);
    clearTimeout(this.#retryTimer);
    clearInterval(this.#pingTimer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(BYE);
    const reason = "the connection was lost before the node answered";
    for (const sent of this.#pending.values()) sent.resolve({ outcome: "unknown", reason });
    this.#pending.clear();
  }
}
