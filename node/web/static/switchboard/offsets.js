/** Offsets are `"<ms>-<seq>"`: two numbers of any size, compared one after the other. */

/**
 * @param {string} a an offset; "" stands before every other
 * @param {string} b
 * @returns {boolean} whether `a` stands behind `b`
 */
export function isAfter(a, b) {
  if (a === "" || b === "") return b === "" && a !== "";
  const [aMs, aSeq = "0"] = a.split("-");
  const [bMs, bSeq = "0"] = b.split("-");
  return (compareDigits(aMs, bMs) || compareDigits(aSeq, bSeq)) > 0;
}

/**
 * Digits, not numbers: the second part has 64 bits, more than a number of JavaScript holds.
 *
 * @param {string} a
 * @param {string} b
 */
function compareDigits(a, b) {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : Number(a > b);
}
