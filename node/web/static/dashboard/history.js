/** What the feed told in the last minutes: bounded, in order. Numbers only, nothing of the page. */

/**
 * @typedef {object} Sample
 * @property {number} at milliseconds since 1970, by this page's clock
 * @property {Record<string, number | null> | null} perSecond outcome -> messages; null in a gap
 * @property {number | null} p50 milliseconds
 * @property {number | null} p99 milliseconds
 * @property {number | null} sessions
 * @property {number | null} rescues since the page was opened
 * @property {number | null} fences since the page was opened
 */

export const SPAN_MS = 10 * 60_000;
/** One a second; a node that sent more often would not fill the memory. */
const MAX_SAMPLES = 700;
/** Two samples further apart than this have a gap between them. */
const GAP_MS = 5_000;

export class History {
  /** @type {Sample[]} oldest first */
  samples = [];
  #rescues = new Rises();
  #fences = new Rises();

  /**
   * @param {import("./feed.js").ClusterFigures} figures
   * @param {number} now milliseconds since 1970
   */
  add(figures, now) {
    const last = this.samples.at(-1);
    if (last && now - last.at > GAP_MS) this.samples.push(nothing(last.at + 1));
    this.samples.push({
      at: now,
      perSecond: figures.per_second,
      p50: figures.latency_ms.p50,
      p99: figures.latency_ms.p99,
      sessions: figures.sessions,
      rescues: this.#rescues.add(figures.rescues),
      fences: this.#fences.add(figures.fences),
    });
    const first = this.samples.findIndex((sample) => sample.at >= now - SPAN_MS);
    this.samples.splice(0, Math.max(first, this.samples.length - MAX_SAMPLES));
  }

  /** @returns {string[]} the outcomes that there were, in the order they were first told */
  outcomes() {
    const seen = new Set();
    for (const { perSecond } of this.samples) {
      for (const [outcome, rate] of Object.entries(perSecond ?? {})) if (rate) seen.add(outcome);
    }
    return [...seen];
  }
}

/** Lines break where nothing was heard. @param {number} at @returns {Sample} */
function nothing(at) {
  return { at, perSecond: null, p50: null, p99: null, sessions: null, rescues: null, fences: null };
}

/** How much a sum over processes has risen: it falls when one of them ends, that is no event. */
class Rises {
  /** @type {number | null} */
  #before = null;
  #total = 0;

  /** @param {number | null} sum @returns {number | null} */
  add(sum) {
    if (sum === null) return null;
    if (this.#before !== null) this.#total += Math.max(0, sum - this.#before);
    this.#before = sum;
    return this.#total;
  }
}
