/** One WebSocket, from the first try to its loss. It decides nothing but whether the node is there. */
import { BYE, UNREACHABLE } from "./closings.js";

const SUBPROTOCOL = "switchboard.v1.json";
// How a token travels: browsers let a page set no header, and what stands in the address is written
// down on its way. The node never answers with it.
const BEARER = "switchboard.bearer.";

export class Link {
  #socket;
  #onFrame;
  #onLost;
  #welcomed = false;
  /** Turns of the timer, half a ping interval each, since anything was heard. */
  #quiet = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #dialTimer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #quietTimer;
  #gone = false;

  /**
   * @param {string} url
   * @param {object} options
   * @param {any} options.WebSocket the constructor
   * @param {string} [options.token] who this is
   * @param {number} options.dialTimeoutMs until the welcome
   * @param {number} options.pingIntervalMs silence after which the node is asked whether it is
   *   there; two and a half times as long, and the connection is given up
   * @param {(frame: any) => void} options.onFrame `null` stands for one that is not JSON
   * @param {(code: number, reason: string) => void} options.onLost once, unless `drop` came first
   */
  constructor(url, { WebSocket, token, dialTimeoutMs, pingIntervalMs, onFrame, onLost }) {
    this.#onFrame = onFrame;
    this.#onLost = onLost;
    const bearer = token === undefined ? [] : [BEARER + token];
    this.#socket = new WebSocket(url, [SUBPROTOCOL, ...bearer]);
    this.#socket.onmessage = (/** @type {any} */ event) => this.#receive(event.data);
    this.#socket.onclose = (/** @type {any} */ event) => this.#lost(event.code, event.reason);
    this.#socket.onerror = () => {}; // a close follows; without a handler some would throw
    // A stopped process keeps its port: the kernel takes the connection and nobody answers.
    this.#dialTimer = setTimeout(() => this.#giveUp(), dialTimeoutMs);
    this.#quietTimer = setInterval(() => this.#listen(), pingIntervalMs / 2);
  }

  /** @param {object | string} frame */
  send(frame) {
    this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /**
   * Let go of it; nothing is told of it any more.
   *
   * @param {number} code for the close frame
   */
  drop(code = BYE) {
    if (this.#gone) return;
    this.#gone = true;
    clearTimeout(this.#dialTimer);
    clearInterval(this.#quietTimer);
    this.#socket.close(code);
  }

  /** @param {unknown} text */
  #receive(text) {
    if (this.#gone) return;
    this.#quiet = 0; // any frame proves that the node is there
    let frame = null;
    try {
      frame = JSON.parse(String(text));
    } catch {
      // told below as what it is
    }
    if (frame?.type === "welcome") {
      this.#welcomed = true;
      clearTimeout(this.#dialTimer);
    }
    this.#onFrame(frame);
  }

  /**
   * Browsers do not show WebSocket pings to a page: only an answer to a frame of ours tells a
   * silent connection from a dead one.
   */
  #listen() {
    if (!this.#welcomed) return;
    this.#quiet += 1;
    if (this.#quiet >= 5) this.#giveUp();
    else if (this.#quiet >= 2) this.send({ type: "ping" });
  }

  #giveUp() {
    const socket = this.#socket;
    this.#lost(UNREACHABLE, "");
    // Nobody answers a closing handshake. Browsers end it by themselves, Node.js would wait for it.
    socket.terminate?.();
  }

  /** @param {number} code @param {string} reason */
  #lost(code, reason) {
    if (this.#gone) return;
    this.drop();
    this.#onLost(code, reason ?? "");
  }
}
