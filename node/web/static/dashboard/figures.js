/** Figures for people: one number in, a few characters out. Nothing of the page. */

/** What stands where nothing is known. */
export const UNKNOWN = "–";

/**
 * @param {number | null | undefined} value
 * @param {(value: number) => string} show
 */
const known = (value, show) =>
  value === null || value === undefined || !Number.isFinite(value) ? UNKNOWN : show(value);

/** @param {number} value @param {number} digits at most, after the point */
const plain = (value, digits) =>
  value.toLocaleString("en", { maximumFractionDigits: digits, useGrouping: true });

/** Three digits that count: 0.42, 4.2, 42, 4,200. @param {number} value */
const short = (value) => plain(value, value < 1 ? 2 : value < 10 ? 1 : 0);

/** @param {number | null | undefined} value */
export const count = (value) => known(value, (some) => plain(some, 0));

/** @param {number | null | undefined} value */
export const rate = (value) => known(value, (some) => `${short(some)}/s`);

/** @param {number | null | undefined} value */
export const percent = (value) => known(value, (some) => `${plain(some, some < 10 ? 1 : 0)} %`);

/** @param {number | null | undefined} ms */
export const milliseconds = (ms) =>
  known(ms, (some) => (some < 1000 ? `${short(some)} ms` : `${plain(some / 1000, 1)} s`));

/** @param {number | null | undefined} size in bytes */
export function bytes(size) {
  return known(size, (some) => {
    if (some < 1024 * 1024) return `${plain(some / 1024, 0)} KiB`;
    if (some < 1024 ** 3) return `${plain(some / 1024 ** 2, 0)} MiB`;
    return `${plain(some / 1024 ** 3, 1)} GiB`;
  });
}

/** @param {number | null | undefined} seconds @returns {string} with one unit, or two */
export function duration(seconds) {
  return known(seconds, (some) => {
    if (some < 10) return `${plain(Math.max(0, some), 1)} s`;
    if (some < 120) return `${Math.round(some)} s`;
    const minutes = Math.floor(some / 60);
    if (minutes < 120) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
  });
}
