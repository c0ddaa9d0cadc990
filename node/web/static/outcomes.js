/** What an outcome means, in plain words: one table. */

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
