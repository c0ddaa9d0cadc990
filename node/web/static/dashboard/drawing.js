/** From a spec and the history to what plotly.js is told. Nothing is drawn here. */
import { SPAN_MS } from "./history.js";

/** @typedef {import("./history.js").History} History */
/** @typedef {import("./specs.js").Spec} Spec */

/** The first minutes are not drawn as a sliver at the right edge. */
const SHORTEST_MS = 60_000;

/**
 * @param {Spec} spec
 * @param {History} history
 * @param {(property: string) => string} colourOf the value of a custom property
 * @returns {object[]} the traces of the figure
 */
export function traces(spec, history, colourOf) {
  const x = history.samples.map((sample) => new Date(sample.at));
  return spec.lines(history).map((line) => {
    const colour = colourOf(line.colour);
    const stacked = { stackgroup: "all", fillcolor: colour, line: { color: colour, width: 0 } };
    const shape = spec.look === "steps" ? "hv" : "linear";
    const dash = line.dashed ? "dash" : "solid";
    return {
      type: "scatter",
      mode: "lines",
      name: line.name,
      x,
      y: history.samples.map(line.value),
      customdata: history.samples.map((sample) => spec.show(line.value(sample))),
      hovertemplate: "%{customdata}",
      connectgaps: false,
      ...(spec.look === "stack" ? stacked : { line: { color: colour, width: 2, shape, dash } }),
    };
  });
}

/**
 * @param {Spec} spec
 * @param {History} history
 * @param {(property: string) => string} colourOf
 * @returns {object} the layout of the figure
 */
export function layout(spec, history, colourOf) {
  const end = history.samples.at(-1)?.at ?? 0;
  const begin = Math.max(end - SPAN_MS, history.samples[0]?.at ?? 0);
  const axis = {
    fixedrange: true, // a finger on a chart scrolls the page
    gridcolor: colourOf("--line"),
    linecolor: colourOf("--line"),
    zeroline: false,
  };
  return {
    height: 220,
    margin: { l: 8, r: 14, t: 8, b: 8 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: colourOf("--muted") },
    showlegend: false, // ours is text that wraps, and that everybody can read
    dragmode: false,
    hovermode: "x unified",
    hoverdistance: -1, // the nearest sample, however far
    hoverlabel: {
      bgcolor: colourOf("--card"),
      bordercolor: colourOf("--control"),
      font: { color: colourOf("--text"), size: 13 },
    },
    xaxis: {
      ...axis,
      type: "date",
      range: [new Date(Math.min(begin, end - SHORTEST_MS)), new Date(end)],
      tickformat: "%H:%M",
      hoverformat: "%H:%M:%S",
      nticks: 6,
      automargin: true,
      spikecolor: colourOf("--control"),
      spikethickness: -2, // a plain line, without a border of another colour
      // Else the seconds of a minute would all be called the same.
      ...(end - begin < 3 * 60_000 ? { tickformat: "%H:%M:%S", nticks: 4 } : {}),
    },
    yaxis: { ...axis, ...heights(spec, history), automargin: true },
  };
}

/** Latencies are told from here on: what is shorter is not worth a look. */
const SHORTEST_LATENCY_MS = 0.1;

/**
 * @param {Spec} spec
 * @param {History} history
 * @returns {object} how far the axis goes, and its ticks
 */
function heights(spec, history) {
  const highest = Math.max(top(spec, history) * 1.1, spec.axis.least);
  if (spec.axis.type === "linear") {
    return { range: [0, highest], nticks: 5, tickformat: spec.axis.format };
  }
  const ticks = [];
  for (let tick = SHORTEST_LATENCY_MS; tick <= highest; tick *= 10) ticks.push(tick);
  return {
    type: "log",
    range: [Math.log10(SHORTEST_LATENCY_MS), Math.log10(highest)],
    tickvals: ticks,
    ticktext: ticks.map((tick) => spec.show(tick)),
  };
}

/**
 * @param {Spec} spec
 * @param {History} history
 * @returns {number} the highest point
 */
function top(spec, history) {
  const lines = spec.lines(history);
  let highest = 0;
  for (const sample of history.samples) {
    const values = lines.map((line) => line.value(sample) ?? 0);
    const height = spec.look === "stack" ? values.reduce((a, b) => a + b, 0) : Math.max(...values);
    if (height > highest) highest = height;
  }
  return highest;
}

/** What plotly.js may do beside drawing: nothing. */
export const CONFIG = {
  displayModeBar: false,
  displaylogo: false,
  doubleClick: false,
  responsive: true,
  showTips: false,
  locale: "en-US",
};
