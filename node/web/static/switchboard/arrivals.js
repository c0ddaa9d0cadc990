/**
 * Messages on their way through the application: each durable one once and in order, one at a
 * time, until the application has finished with it. Every queue here is bounded.
 */
import { isAfter } from "./offsets.js";
import { RecentIds } from "./recent.js";

const REMEMBERED = 10_000;

/** @typedef {{id: string, from: string, data: any, sent_at: number, offset?: string, replay?: true}} Frame */

/**
 * @typedef {object} Application
 * @property {() => boolean} isThere whether there is anybody to give messages to
 * @property {(frame: Frame) => Promise<boolean>} handle gives it one; resolves to whether it has
 *   finished with it, else `finish` will be called
 * @property {(offset: string) => void} finished told each time it has finished with more: with
 *   everything up to here
 */

export class Arrivals {
  #limit;
  /** @type {Application} */
  #application;
  /** What was not given to the application yet, and what it has now. @type {Frame[]} */
  #queue = [];
  /** Offsets of what it has not finished with; true for what it finished ahead of its turn. */
  /** @type {Map<string, boolean>} */
  #unfinished = new Map();
  #working = false;
  #recent = new RecentIds(REMEMBERED);
  /** Offset of the last durable message that was taken. */
  #position;
  #offset;
  /** @type {(() => void) | null} */
  #onRoom = null;

  /**
   * @param {number} limit of messages that the application has not finished with
   * @param {string} since where to start, "" when the node is to say
   * @param {Application} application
   */
  constructor(limit, since, application) {
    this.#limit = limit;
    this.#position = since;
    this.#offset = since;
    this.#application = application;
  }

  /**
   * Up to here the application has finished with everything, and the next connection goes on.
   * What it has still before it comes again then: only so can the new node be told of its end.
   */
  get offset() {
    return this.#offset;
  }

  /**
   * A connection is there: go on from where the node says.
   *
   * @param {string} offset
   * @param {boolean} resumed whether everything after our offset comes
   * @returns {boolean} whether there is a gap: we asked to go on, and the node could not. What the
   *   application has still before it says nothing of the mailbox as it is now.
   */
  resume(offset, resumed) {
    const asked = this.#offset !== "";
    if (asked && resumed) return false;
    this.#unfinished.clear();
    this.#position = offset;
    this.#offset = offset;
    return asked;
  }

  /**
   * @param {Frame} frame
   * @returns {boolean} false when too many wait already: it was not taken
   */
  take(frame) {
    const { id, from, offset } = frame;
    if (offset !== undefined && !isAfter(offset, this.#position)) return true; // a repeat
    if (Math.max(this.#queue.length, this.#unfinished.size) >= this.#limit) return false;
    // Ids are their sender's: two senders may use the same one.
    const isNew = this.#recent.add(JSON.stringify([from, id]));
    if (offset !== undefined) {
      this.#position = offset;
      this.#unfinished.set(offset, false);
      if (!isNew) this.finish(offset);
    }
    if (isNew) this.#queue.push(frame);
    this.work();
    return true;
  }

  /**
   * The application has finished with a message, in its turn or ahead of it.
   *
   * @param {string} offset
   */
  finish(offset) {
    if (!this.#unfinished.has(offset)) return;
    this.#unfinished.set(offset, true);
    this.#advance();
  }

  /**
   * The application has finished with everything up to here.
   *
   * @param {string} offset
   */
  finishUpTo(offset) {
    for (const each of this.#unfinished.keys()) {
      if (!isAfter(each, offset)) this.#unfinished.set(each, true);
    }
    this.#advance();
  }

  /** Give out what waits, unless that is being done already. */
  async work() {
    if (this.#working || !this.#application.isThere()) return;
    this.#working = true;
    // A message leaves the queue only when its handlers have.
    for (let frame = this.#queue[0]; frame !== undefined; frame = this.#queue[0]) {
      const finished = await this.#application.handle(frame);
      if (this.#queue[0] !== frame) break; // stopped meanwhile
      this.#queue.shift();
      if (finished && frame.offset !== undefined) this.finish(frame.offset);
      this.#tellOfRoom();
    }
    this.#working = false;
  }

  /** @returns {Promise<void>} done when half of the room is free again */
  room() {
    return new Promise((resolve) => {
      this.#onRoom = resolve;
      this.#tellOfRoom();
    });
  }

  /** Give out nothing more. */
  stop() {
    this.#queue = [];
    this.#unfinished.clear();
  }

  #advance() {
    const before = this.#offset;
    for (const [offset, finished] of this.#unfinished) {
      if (!finished) break;
      this.#unfinished.delete(offset);
      this.#offset = offset;
    }
    if (this.#offset !== before) this.#application.finished(this.#offset);
    this.#tellOfRoom();
  }

  #tellOfRoom() {
    const busy = Math.max(this.#queue.length, this.#unfinished.size);
    if (this.#onRoom === null || busy > this.#limit / 2) return;
    this.#onRoom();
    this.#onRoom = null;
  }
}
