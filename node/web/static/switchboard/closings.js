/** What a close code means, in plain words, and what follows from it: one table. */

/**
 * @typedef {object} Closing
 * @property {string} words ends the sentence "The connection ended: ..."
 * @property {boolean} reconnect whether to come back
 * @property {boolean} elsewhere whether another node is the better place to come back to
 */

/** @param {string} words @returns {Closing} */
const back = (words) => ({ words, reconnect: true, elsewhere: false });
/** @param {string} words @returns {Closing} */
const elsewhere = (words) => ({ words, reconnect: true, elsewhere: true });
/** @param {string} words @returns {Closing} */
const final = (words) => ({ words, reconnect: false, elsewhere: false });

export const BYE = 1000;
export const UNREACHABLE = 1006;
export const NOT_AUTHENTICATED = 4401;
export const SLOW = 4408;

/** @type {Record<number, Closing>} */
const CLOSINGS = {
  [BYE]: back("the node said goodbye"),
  1001: elsewhere("the node is stopping"),
  [UNREACHABLE]: back("the node cannot be reached"),
  1008: final("the node refused what this client sent"),
  1009: back("a message was too large"),
  1012: elsewhere("the node is being drained"),
  1013: elsewhere("the node asked to try another one"),
  // A function that fetches tokens is asked once more before this is final.
  [NOT_AUTHENTICATED]: final("the node does not know who this is, or the token has expired"),
  4403: final("this page or this user may not connect"),
  [SLOW]: back("this client read too slowly"),
  4409: final("this user connected somewhere else, and only one connection is allowed"),
  4410: final("this session was disconnected by an operator"),
  4429: back("there were too many connections or messages"),
};

/**
 * @param {number} code WebSocket close code
 * @returns {Closing} a code nobody knows is worth another try
 */
export function closing(code) {
  return CLOSINGS[code] ?? back(`the node closed it with code ${code}`);
}
