/** What each chart shows: titles, lines, words and table, made of the history. Nothing is drawn here. */
import { count, milliseconds, rate } from "./figures.js";

/** @typedef {import("./history.js").History} History */
/** @typedef {import("./history.js").Sample} Sample */

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {string} colour the custom property that holds it
 * @property {(sample: Sample) => number | null} value
 * @property {boolean} [dashed] so that one below it shows
 */

/**
 * @typedef {object} Axis
 * @property {"linear" | "log"} type
 * @property {string} format of its ticks
 * @property {number} least where it ends at least
 */

/**
 * @typedef {object} Spec
 * @property {string} id
 * @property {string} title
 * @property {"stack" | "lines" | "steps"} look
 * @property {(history: History) => Line[]} lines
 * @property {(value: number | null | undefined) => string} show
 * @property {Axis} axis
 * @property {string} empty what is said while there is nothing to draw
 */

/** Outcomes from the bottom of the stack to its top: good ones below. */
const ORDER = [
  "acked",
  "delivered",
  "written",
  "accepted",
  "queued",
  "duplicate",
  "offline",
  "expired",
  "unknown",
  "dropped",
  "busy",
];
/** @param {string} outcome */
const place = (outcome) => (ORDER.includes(outcome) ? ORDER.indexOf(outcome) : ORDER.length);

/** @type {Spec[]} */
export const SPECS = [
  {
    id: "messages",
    title: "Messages a second, by outcome",
    look: "stack",
    lines: (history) =>
      history
        .outcomes()
        .sort((a, b) => place(a) - place(b))
        .map((outcome) => ({
          name: outcome,
          colour: ORDER.includes(outcome) ? `--outcome-${outcome}` : "--outcome-other",
          // An outcome that a sample does not name did not happen.
          value: ({ perSecond }) => (perSecond === null ? null : (perSecond[outcome] ?? 0)),
        })),
    show: rate,
    axis: { type: "linear", format: "~s", least: 1 },
    empty: "No message has been sent since you opened this page.",
  },
  {
    id: "latency",
    title: "Latency, from send to write",
    look: "lines",
    lines: () => [
      { name: "p50", colour: "--chart-first", value: (sample) => sample.p50 },
      { name: "p99", colour: "--chart-second", value: (sample) => sample.p99 },
    ],
    show: milliseconds,
    // The slowest of a hundred may take a thousand times as long as most.
    axis: { type: "log", format: "", least: 10 },
    empty: "No message was timed yet.",
  },
  {
    id: "sessions",
    title: "Sessions",
    look: "lines",
    lines: () => [
      { name: "sessions", colour: "--chart-first", value: (sample) => sample.sessions },
    ],
    show: count,
    axis: { type: "linear", format: ",d", least: 4 },
    empty: "No figures yet.",
  },
  {
    id: "rescues",
    title: "Rescues and fences, since you opened this page",
    look: "steps",
    lines: () => [
      { name: "rescues", colour: "--chart-second", value: (sample) => sample.rescues },
      { name: "fences", colour: "--chart-third", value: (sample) => sample.fences, dashed: true },
    ],
    show: count,
    axis: { type: "linear", format: ",d", least: 4 },
    empty: "No figures yet.",
  },
];

/**
 * @param {Spec} spec
 * @param {History} history
 * @returns {string} the newest figures as a sentence, for those who do not see the chart
 */
export function summary(spec, history) {
  const last = history.samples.at(-1);
  const lines = spec.lines(history);
  if (!last || lines.every((line) => line.value(last) === null)) return spec.empty;
  const parts = lines.map((line) => `${line.name} ${spec.show(line.value(last))}`);
  return `${spec.title}: now ${parts.join(", ")}.`;
}

const ROW_MS = 30_000;

/**
 * @param {Spec} spec
 * @param {History} history
 * @returns {{at: number, cells: string[]}[]} the newest sample of each half minute, newest first
 */
export function rows(spec, history) {
  const lines = spec.lines(history);
  /** @type {Map<number, Sample>} */
  const newest = new Map();
  for (const sample of history.samples) newest.set(Math.floor(sample.at / ROW_MS), sample);
  return [...newest.values()]
    .reverse()
    .map((sample) => ({
      at: sample.at,
      cells: lines.map((line) => spec.show(line.value(sample))),
    }));
}
