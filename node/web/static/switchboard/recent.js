/** The last few ids, to recognise what comes twice. */
export class RecentIds {
  #ids = new Set();
  #limit;

  /** @param {number} limit how many are remembered; the oldest is forgotten first */
  constructor(limit) {
    this.#limit = limit;
  }

  /**
   * @param {string} id
   * @returns {boolean} whether it is new; from now on it is not
   */
  add(id) {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    // A Set keeps the order of insertion: its first value is the oldest.
    if (this.#ids.size > this.#limit) this.#ids.delete(this.#ids.values().next().value);
    return true;
  }
}
