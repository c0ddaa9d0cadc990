/** How long to wait before the next try: exponential, bounded, with full jitter. */

/**
 * Clients that lost the same node at the same moment come back spread over the whole wait.
 *
 * @param {number} failures how many tries have failed in a row, from 1
 * @param {{baseMs: number, capMs: number}} range longest wait after the first failure, and after many
 * @param {() => number} random a number in [0, 1)
 * @returns {number} milliseconds
 */
export function backoffMs(failures, { baseMs, capMs }, random = Math.random) {
  return Math.round(random() * Math.min(capMs, baseMs * 2 ** Math.max(0, failures - 1)));
}
