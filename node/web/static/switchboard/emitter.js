/** Handlers by event name. */

/** @typedef {(detail: any) => unknown} Handler */

export class Emitter {
  /** @type {Map<string, Set<Handler>>} */
  #handlers = new Map();
  #onThrow;

  /**
   * @param {string[]} names of the events there are; others are mistakes
   * @param {(thrown: unknown, name: string) => void} onThrow hears what a handler of an event threw
   */
  constructor(names, onThrow) {
    for (const name of names) this.#handlers.set(name, new Set());
    this.#onThrow = onThrow;
  }

  /**
   * @param {string} name
   * @param {Handler} handler
   * @returns {() => void} takes the handler away again
   */
  on(name, handler) {
    const handlers = this.#handlers.get(name);
    if (handlers === undefined) throw new TypeError(`there is no event '${name}'`);
    // Wrapped, so that one function registered twice is two registrations.
    /** @type {Handler} */
    const registered = (detail) => handler(detail);
    handlers.add(registered);
    return () => void handlers.delete(registered);
  }

  /** @param {string} name @returns {boolean} whether anybody listens */
  has(name) {
    return (this.#handlers.get(name)?.size ?? 0) > 0;
  }

  /**
   * Tell every handler now; wait for none.
   *
   * @param {string} name
   * @param {unknown} detail
   */
  tell(name, detail) {
    for (const handler of this.#registered(name)) this.#call(name, handler, detail);
  }

  /**
   * Tell every handler in the order of registration; each has finished before the next one starts.
   *
   * @param {string} name
   * @param {unknown} detail
   */
  async hand(name, detail) {
    for (const handler of this.#registered(name)) await this.#call(name, handler, detail);
  }

  /** @param {string} name */
  #registered(name) {
    return [...(this.#handlers.get(name) ?? [])];
  }

  /** @param {string} name @param {Handler} handler @param {unknown} detail */
  async #call(name, handler, detail) {
    try {
      await handler(detail);
    } catch (thrown) {
      this.#onThrow(thrown, name);
    }
  }
}
