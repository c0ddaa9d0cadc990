/** Sends that wait for their outcome, whether they have left already or not. */
import { SwitchboardError } from "./errors.js";

const LOST = "the connection was lost before the node answered";
const AGAIN = "a try over an earlier connection was stored";

/**
 * @typedef {object} Send
 * @property {string} ref
 * @property {string | string[]} to
 * @property {string} data as JSON
 * @property {{durable?: boolean, confirm?: string, ttlMs?: number, key?: string}} options
 * @property {number} startedAt
 * @property {number} tries how often it has left
 * @property {boolean} underWay whether it has left on the connection of now
 * @property {ReturnType<typeof setTimeout> | undefined} timer
 * @property {(result: object) => void} resolve
 * @property {(error: Error) => void} reject
 */

export class Sends {
  #limit;
  #write;
  #onOutcome;
  /** @type {Map<string, Send>} in the order of `add` */
  #waiting = new Map();
  #count = 0;
  #keys = unique();

  /**
   * @param {object} options
   * @param {number} options.limit how many may wait for their outcome
   * @param {(text: string) => boolean} options.write false when there is no connection now
   * @param {(result: object) => void} options.onOutcome hears of every outcome
   */
  constructor({ limit, write, onOutcome }) {
    this.#limit = limit;
    this.#write = write;
    this.#onOutcome = onOutcome;
  }

  /**
   * Send now, or as soon as there is a connection.
   *
   * @param {string | string[]} to
   * @param {unknown} data
   * @param {{durable?: boolean, confirm?: string, ttlMs?: number, key?: string, timeoutMs?: number}} options
   * @param {number | undefined} maxBytes of a frame; undefined while there is no connection
   * @returns {Promise<any>} the outcome
   */
  add(to, data, { timeoutMs, ...options }, maxBytes) {
    if (this.#waiting.size >= this.#limit) {
      const words = `${this.#limit} sends wait for their outcome already; nothing was sent`;
      return Promise.reject(new SwitchboardError("queue_full", words));
    }
    const ref = String(++this.#count);
    // Without a key of its own a repeat could not be told from a second message.
    const key = options.key ?? (options.durable ? `${this.#keys}-${ref}` : undefined);
    return new Promise((resolve, reject) => {
      /** @type {Send} */
      const send = {
        ref,
        to,
        data: JSON.stringify(data) ?? "null",
        options: { ...options, key },
        startedAt: Date.now(),
        tries: 0,
        underWay: false,
        timer: undefined,
        resolve,
        reject,
      };
      this.#waiting.set(ref, send);
      if (timeoutMs !== undefined) {
        send.timer = setTimeout(() => this.#timedOut(send, timeoutMs), timeoutMs);
      }
      this.#transmit(send, maxBytes);
    });
  }

  /**
   * A connection is there: what was under way is repeated, what has waited leaves, in order.
   *
   * @param {number} maxBytes of a frame
   */
  transmit(maxBytes) {
    for (const send of [...this.#waiting.values()]) this.#transmit(send, maxBytes);
  }

  /** @param {any} frame of type `outcome` */
  settle({ ref, type: _, ...result }) {
    const send = this.#waiting.get(ref);
    if (send === undefined) return;
    // The node knows our key: an earlier try has arrived, and only its answer was lost.
    const repeated = send.tries > 1 && result.outcome === "duplicate";
    this.#resolve(send, repeated ? { reason: AGAIN, ...result, repeated } : result);
  }

  /**
   * @param {{ref?: string, code: string, message: string}} frame of type `error`
   * @returns {boolean} whether it was about a send
   */
  refuse({ ref, code, message }) {
    const send = this.#waiting.get(String(ref));
    if (send === undefined) return false;
    if (send.tries > 1) {
      // "Nothing was sent" is true of the last try only.
      const reason = `${message}; a try over an earlier connection may have arrived`;
      this.#resolve(send, { outcome: "unknown", reason });
    } else {
      this.#reject(send, code, message);
    }
    return true;
  }

  /** The connection is gone: what has a key waits for the next one, of the rest nobody can know. */
  lost() {
    for (const send of [...this.#waiting.values()]) {
      if (!send.underWay) continue;
      send.underWay = false;
      if (send.options.key === undefined) this.#resolve(send, { outcome: "unknown", reason: LOST });
    }
  }

  /** No connection will come any more. Call `lost` first. */
  close() {
    for (const send of [...this.#waiting.values()]) {
      if (send.tries > 0) this.#resolve(send, { outcome: "unknown", reason: LOST });
      else this.#reject(send, "closed", "the client is closed; nothing was sent");
    }
  }

  /** @param {Send} send @param {number | undefined} maxBytes */
  #transmit(send, maxBytes) {
    if (maxBytes === undefined) return;
    const { ttlMs, ...options } = send.options;
    const ttl_s = ttlMs === undefined ? undefined : (send.startedAt + ttlMs - Date.now()) / 1000;
    if (ttl_s !== undefined && ttl_s <= 0) {
      const reason = "its time passed before there was a connection";
      const never = send.tries === 0;
      this.#resolve(send, never ? { outcome: "expired", reason } : { outcome: "unknown", reason: LOST });
      return;
    }
    const head = JSON.stringify({ type: "send", ref: send.ref, to: send.to, ...options, ttl_s });
    const text = `${head.slice(0, -1)},"data":${send.data}}`;
    const sizeBytes = bytesOf(text, maxBytes);
    if (sizeBytes > maxBytes) {
      // The node would have to close the connection over it (RFC 6455 knows no other answer).
      const words = `with ${sizeBytes} bytes it is over the limit of ${maxBytes}`;
      this.#reject(send, "too_large", words);
      return;
    }
    if (!this.#write(text)) return;
    send.tries += 1;
    send.underWay = true;
  }

  /** @param {Send} send @param {number} timeoutMs */
  #timedOut(send, timeoutMs) {
    if (send.tries > 0) {
      this.#resolve(send, { outcome: "unknown", reason: `no answer within ${timeoutMs} ms` });
    } else {
      const words = `there was no connection within ${timeoutMs} ms; nothing was sent`;
      this.#reject(send, "not_connected", words);
    }
  }

  /** @param {Send} send @param {object} result */
  #resolve(send, result) {
    this.#forget(send);
    const { key } = send.options;
    const whole = { to: send.to, ...(key === undefined ? {} : { key }), ...result };
    send.resolve(whole);
    this.#onOutcome(whole);
  }

  /** @param {Send} send @param {string} code @param {string} message */
  #reject(send, code, message) {
    this.#forget(send);
    send.reject(new SwitchboardError(code, message));
  }

  /** @param {Send} send */
  #forget(send) {
    clearTimeout(send.timer);
    this.#waiting.delete(send.ref);
  }
}

/**
 * @param {string} text
 * @param {number} limit
 * @returns {number} its size in UTF-8; exact only where it could be over the limit
 */
function bytesOf(text, limit) {
  return text.length * 3 <= limit ? text.length : new TextEncoder().encode(text).length;
}

/** @returns {string} unlike that of any other client */
function unique() {
  const bytes = new Uint8Array(12);
  // Absent in Node.js 18. It must be unique, not secret.
  if (globalThis.crypto) globalThis.crypto.getRandomValues(bytes);
  else bytes.forEach((_, at) => (bytes[at] = Math.random() * 256));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
