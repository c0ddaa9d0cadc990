/** How long to wait before the next try: exponential, bounded, jittered. */

/**
 * The jitter spreads clients that lost the same node at the same moment; the lower half is kept
 * so that a first retry never comes at once.
 *
 * @param {number} failures how many tries have failed in a row, from 1
 * @param {{baseMs: number, capMs: number}} range wait after the first failure, and the longest wait
 * @param {() => number} random a number in [0, 1)
 * @returns {number} milliseconds
 */
export function backoffMs(failures, { baseMs, capMs }, random = Math.random) {
  const full = Math.min(capMs, baseMs * 2 ** Math.max(0, failures - 1));
  return Math.round(full * (0.5 + random() / 2));
}
