/**
 * The client of Switchboard for browsers and Node.js: an ES module without a build step.
 *
 *     import { connect } from "/static/switchboard.js";
 *
 *     const client = connect("/ws", { token: () => fetchToken(), device: "web" });
 *     client.on("message", async (message) => save(message.from, message.data));
 *     const { outcome } = await client.send("bob", { hi: 1 }, { durable: true });
 *
 * It stays connected, goes on where it was, acknowledges what the application has handled, and
 * drops repeats. switchboard.d.ts beside it tells of every option, event and result.
 */
import { Acks } from "./switchboard/acks.js";
import { Arrivals } from "./switchboard/arrivals.js";
import { Connections } from "./switchboard/connections.js";
import { Emitter } from "./switchboard/emitter.js";
import { SwitchboardError } from "./switchboard/errors.js";
import { Sends } from "./switchboard/sends.js";

export { SwitchboardError };

const EVENTS = ["message", "state", "outcome", "gap", "error"];
const DEFAULTS = {
  ack: "handled",
  since: "",
  maxSends: 1_000,
  maxMessages: 1_000,
  retryBaseMs: 500,
  retryCapMs: 30_000,
  pingIntervalMs: 20_000,
  dialTimeoutMs: 10_000,
};

/** @typedef {import("./switchboard.js").Options} Options */
/** @typedef {import("./switchboard.js").Urls} Urls */

/**
 * @param {Urls} urls
 * @param {Options} [options]
 */
export function connect(urls, options) {
  return new Client(urls, options);
}

export class Client {
  #acksByItself;
  #emitter = new Emitter(EVENTS, (thrown, name) => this.#handlerFailed(thrown, name));
  #connections;
  #sends;
  #arrivals;
  #acks;
  /** Whether messages were passed over for want of a handler. */
  #passedOver = false;

  /**
   * @param {Urls} urls
   * @param {Options} [options]
   */
  constructor(urls, options = {}) {
    const all = { ...DEFAULTS, WebSocket: globalThis.WebSocket, ...options };
    if (typeof all.WebSocket !== "function") {
      throw new TypeError("there is no WebSocket here: pass one, such as that of the package 'ws'");
    }
    this.#acksByItself = all.ack === "handled";
    this.#connections = new Connections(urls, all, {
      offset: () => this.#arrivals.offset,
      ready: () => this.#arrivals.room(),
      onWelcome: (frame) => this.#welcomed(frame),
      onFrame: (frame) => this.#receive(frame),
      onState: (status) => this.#entered(status),
      onLost: () => this.#sends.lost(),
      onProblem: (error) => this.#complain(error),
    });
    const write = (/** @type {object | string} */ frame) => this.#connections.write(frame);
    this.#acks = new Acks(write);
    this.#sends = new Sends({
      limit: all.maxSends,
      write,
      onOutcome: (result) => this.#emitter.tell("outcome", result),
    });
    this.#arrivals = new Arrivals(all.maxMessages, all.since, {
      isThere: () => this.#emitter.has("message"),
      handle: (frame) => this.#handle(frame),
      finished: (offset) => this.#acks.upTo(offset),
    });
    // Not before the caller has had a chance to register handlers.
    queueMicrotask(() => this.#connections.dial());
  }

  get state() {
    return this.#connections.status.state;
  }

  get status() {
    return this.#connections.status;
  }

  get offset() {
    return this.#arrivals.offset;
  }

  /** @param {string} name @param {(detail: any) => unknown} handler */
  on(name, handler) {
    const off = this.#emitter.on(name, handler);
    if (name === "message") this.#hasHandler();
    return off;
  }

  /**
   * @param {string | string[]} to
   * @param {unknown} data
   * @param {import("./switchboard.js").SendOptions} [options]
   */
  send(to, data, options = {}) {
    if (this.#connections.isClosed) {
      const words = "the client is closed; nothing was sent";
      return Promise.reject(new SwitchboardError("closed", words));
    }
    return this.#sends.add(to, data, options, this.status.maxMessageBytes);
  }

  /** @param {{id: string, offset?: string}} message @param {{upTo?: boolean}} [options] */
  ack(message, { upTo = false } = {}) {
    if (message.offset === undefined) this.#acks.one(message.id);
    else if (upTo) this.#arrivals.finishUpTo(message.offset);
    else this.#arrivals.finish(message.offset);
  }

  retryNow() {
    this.#connections.retryNow();
  }

  close() {
    this.#acks.flush();
    this.#connections.close();
  }

  /** @param {any} frame */
  async #handle(frame) {
    await this.#emitter.hand("message", messageOf(frame));
    return this.#acksByItself;
  }

  /** @param {any} frame */
  #welcomed({ resumed, offset, max_message_bytes: maxBytes }) {
    const since = this.offset;
    if (this.#arrivals.resume(offset, resumed)) {
      this.#acks.forget();
      queueMicrotask(() => this.#emitter.tell("gap", { since, offset })); // after `open`
    } else {
      // The last node may have gone before it had noted down what we told it last.
      if (since !== "") this.#acks.upTo(since);
      this.#acks.flush();
    }
    this.#sends.transmit(maxBytes);
  }

  /** @param {any} frame */
  #receive(frame) {
    switch (frame?.type) {
      case "message":
        this.#arrived(frame);
        break;
      case "outcome":
        this.#sends.settle(frame);
        break;
      case "error":
        if (this.#sends.refuse(frame)) break;
        this.#complain(new SwitchboardError(frame.code, frame.message));
        break;
      case undefined:
        this.#complain(new SwitchboardError("bad_frame", "the node sent what is no frame"));
        break;
      // `pong` has done its work in the link; a type of a later version is not for us.
    }
  }

  /** @param {any} frame */
  #arrived(frame) {
    if (this.#arrivals.take(frame)) return;
    // Without a handler nothing is shown, and nothing acknowledged. If one comes, they come again.
    if (!this.#emitter.has("message")) this.#passedOver = true;
    // A WebSocket cannot be told to wait. The node keeps what is durable; of the rest the senders
    // are told the truth: nobody is there.
    else this.#connections.pause();
  }

  #hasHandler() {
    this.#arrivals.work();
    if (this.#passedOver) this.#connections.pause();
    this.#passedOver = false;
  }

  /** @param {any} status */
  #entered(status) {
    if (status.state === "closed") {
      this.#arrivals.stop();
      this.#acks.forget();
      this.#sends.close();
    }
    this.#emitter.tell("state", status);
  }

  /** @param {unknown} cause @param {string} name */
  #handlerFailed(cause, name) {
    const words = `a handler of '${name}' has thrown: ${cause}`;
    const error = new SwitchboardError("handler_failed", words, { cause });
    if (name === "error") console.error(error);
    else this.#complain(error);
  }

  /** @param {SwitchboardError} error */
  #complain(error) {
    if (this.#emitter.has("error")) this.#emitter.tell("error", error);
    else console.error(error);
  }
}

/** @param {any} frame */
function messageOf({ type: _, sent_at, ...rest }) {
  return { ...rest, sentAt: new Date(sent_at * 1000) };
}
