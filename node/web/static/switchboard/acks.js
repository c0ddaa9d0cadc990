/** Acknowledgements on their way to the node: cumulative, and at most one batch per interval. */
import { isAfter } from "./offsets.js";

const EVERY_MS = 100;
const MAX_IDS = 1_000;

export class Acks {
  #write;
  #offset = "";
  /** @type {Set<string>} */
  #ids = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {(frame: object) => boolean} write false when there is no connection now */
  constructor(write) {
    this.#write = write;
  }

  /**
   * Acknowledge everything up to an offset. What cannot leave now leaves with the next connection.
   *
   * @param {string} offset
   */
  upTo(offset) {
    if (!isAfter(offset, this.#offset)) return;
    this.#offset = offset;
    this.#due();
  }

  /**
   * Acknowledge one message. Of those that cannot leave, the oldest is forgotten first.
   *
   * @param {string} id
   */
  one(id) {
    this.#ids.add(id);
    if (this.#ids.size > MAX_IDS) this.#ids.delete([...this.#ids][0]);
    this.#due();
  }

  /**
   * Write what has collected.
   *
   * @returns {boolean} whether anything was written
   */
  flush() {
    let written = false;
    if (this.#offset !== "" && this.#write({ type: "ack", offset: this.#offset })) {
      this.#offset = "";
      written = true;
    }
    for (const id of this.#ids) {
      if (!this.#write({ type: "ack", id })) break;
      this.#ids.delete(id);
      written = true;
    }
    return written;
  }

  /** Forget what has collected, and write nothing any more until something new comes. */
  forget() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#offset = "";
    this.#ids.clear();
  }

  /** The first one leaves at once; those that follow within the interval leave at its end. */
  #due() {
    if (this.#timer !== undefined || !this.flush()) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#due();
    }, EVERY_MS);
  }
}
