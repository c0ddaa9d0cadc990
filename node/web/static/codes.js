/** Tables: what a close code or an outcome means, in plain words, and what follows from it. */

/**
 * @typedef {object} Closing
 * @property {string} words ends the sentence "The connection ended: ..."
 * @property {boolean} reconnect whether to come back
 * @property {boolean} elsewhere whether another node is the better place to come back to
 */

const back = (words) => ({ words, reconnect: true, elsewhere: false });
const elsewhere = (words) => ({ words, reconnect: true, elsewhere: true });
const final = (words) => ({ words, reconnect: false, elsewhere: false });

/** @type {Record<number, Closing>} */
const CLOSINGS = {
  1000: back("the node said goodbye"),
  1001: elsewhere("the node is stopping"),
  1006: back("the node cannot be reached"),
  1008: final("the node refused what this page sent"),
  1009: back("a message was too large"),
  1012: elsewhere("the node is being drained"),
  1013: elsewhere("the node asked to try another one"),
  4401: final("the node does not know who this is, or the token has expired"),
  4403: final("this page or this user may not connect"),
  4408: back("this page read too slowly"),
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

/**
 * @typedef {object} OutcomeWords
 * @property {"good" | "warn" | "bad"} tone
 * @property {(user: string) => string} words a whole sentence
 */

/** @type {Record<string, OutcomeWords>} */
const OUTCOMES = {
  acked: { tone: "good", words: (user) => `${user}'s application acknowledged it.` },
  delivered: { tone: "good", words: (user) => `${user}'s client proved that it received it.` },
  written: { tone: "good", words: (user) => `Written to ${user}'s socket; no proof asked for.` },
  accepted: { tone: "good", words: (user) => `In the inbox of the node that holds ${user}.` },
  queued: { tone: "good", words: (user) => `Stored until ${user} connects.` },
  duplicate: { tone: "good", words: () => "The same message was sent before; nothing was sent." },
  offline: { tone: "warn", words: (user) => `${user} is not connected; nothing was kept.` },
  expired: { tone: "warn", words: () => "Its time ran out before it could be delivered." },
  dropped: { tone: "bad", words: (user) => `${user}'s connection was too slow or closing.` },
  busy: { tone: "bad", words: () => "No room for it now; nothing was sent. Try again later." },
  unknown: { tone: "warn", words: () => "No proof either way: it may or may not have arrived." },
};

/**
 * @param {string} outcome one of the words of the public contract
 * @returns {OutcomeWords}
 */
export function outcomeWords(outcome) {
  return OUTCOMES[outcome] ?? { tone: "warn", words: () => "This page does not know this word." };
}
