/** Which address the next try goes to. */

/**
 * @typedef {object} Situation
 * @property {number} failures tries that have failed since the last connection that held
 * @property {boolean} elsewhere whether the last node asked to go to another one
 */

/** @typedef {(situation: Situation) => string | Promise<string>} Choose */

export class Addresses {
  #choose;

  /** @param {string | string[] | Choose} urls one, several to be tried in turn, or who chooses */
  constructor(urls) {
    this.#choose = typeof urls === "function" ? urls : inTurn([urls].flat().map(absolute));
  }

  /** @param {Situation} situation @returns {Promise<URL>} */
  async next(situation) {
    return new URL(absolute(await this.#choose(situation)));
  }
}

/** @param {string[]} urls @returns {Choose} */
function inTurn(urls) {
  if (urls.length === 0) throw new TypeError("urls: at least one address is needed");
  let tries = 0;
  return () => urls[tries++ % urls.length];
}

/** @param {string} url in a page it may be relative to the page, as in "/ws" */
function absolute(url) {
  const full = new URL(url, globalThis.location?.href);
  full.protocol = full.protocol.replace(/^http/, "ws");
  return full.href;
}
