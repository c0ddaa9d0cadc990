/** The charts on the page: drawn by plotly.js, told in words, and as tables. */
import { byId, make, mirror, setText, timeOfDay } from "../view/dom.js";
import { CONFIG, layout, traces } from "./drawing.js";
import { rows, SPECS, summary } from "./specs.js";

/** @typedef {import("./history.js").History} History */
/** @typedef {import("./specs.js").Spec} Spec */

/** @type {string} of the installed version: the node sends us on to it */
const SCRIPT = "/static/vendor/plotly.min.js";
const NO_CHARTS =
  "The charts cannot be drawn, because their script did not load; is plotly installed on this " +
  "node? The tables below have the figures.";

/** @type {any} plotly.js; null until it is there */
let plotly = null;
/** What somebody points at does not move away under them; a pointer that only lies there is nobody. */
const HOLD_MS = 5_000;

/**
 * `heldUntil`: when it may change again, by `performance.now`; `seen`: it is, or nearly is,
 * where somebody looks; `drawn`: at least once, as print and pictures of the whole page want it.
 *
 * @type {{spec: Spec, chart: HTMLElement, figure: HTMLElement, heldUntil: number, seen: boolean,
 *   drawn: boolean}[]}
 */
const charts = [];

/**
 * Put the charts onto the page, still empty, and load what draws them.
 *
 * @param {() => void} onDue called when something can be drawn that could not before
 */
export async function wireCharts(onDue) {
  const watch = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) {
        const entry = charts.find(({ figure }) => figure === target);
        if (entry) entry.seen = isIntersecting;
      }
      if (changes.some(({ isIntersecting }) => isIntersecting)) onDue();
    },
    { rootMargin: "200px" },
  );
  for (const spec of SPECS) {
    const chart = make("div", { class: "chart" });
    chart.setAttribute("role", "img");
    const figure = createFigure(spec, chart);
    const entry = { spec, chart, figure, heldUntil: 0, seen: false, drawn: false };
    charts.push(entry);
    chart.addEventListener("pointermove", () => {
      entry.heldUntil = performance.now() + HOLD_MS;
    });
    chart.addEventListener("pointerleave", () => {
      entry.heldUntil = 0;
    });
    byId("charts").append(figure);
    watch.observe(figure);
  }
  try {
    await import(SCRIPT);
    plotly = /** @type {any} */ (globalThis).Plotly;
    onDue();
  } catch {
    setText(byId("charts-problem"), NO_CHARTS);
  }
}

/** @param {Spec} spec @param {HTMLElement} chart */
function createFigure(spec, chart) {
  const title = make("h3", { id: `${spec.id}-title` }, spec.title);
  const head = make("tr", {});
  const table = make(
    "table",
    { class: "figures-table" },
    make("caption", { class: "visually-hidden" }, `${spec.title}, every half minute`),
    make("thead", {}, head),
    make("tbody", {}),
  );
  const scroller = make("div", { class: "table-box", tabIndex: 0 }, table);
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", `${spec.title}, as a table`);
  const summaryLine = make("summary", {}, "As a table");
  summaryLine.append(make("span", { class: "visually-hidden" }, `: ${spec.title}`));
  const figure = make(
    "figure",
    { class: "card" },
    make("figcaption", {}, title),
    make("ul", { class: "legend" }),
    chart,
    make("p", { class: "hint nothing" }),
    make("details", {}, summaryLine, scroller),
  );
  figure.dataset["chart"] = spec.id;
  return figure;
}

/**
 * Draw them, as far as somebody looks.
 *
 * @param {History} history
 * @param {boolean} [anyway] whether those that somebody points at change, too
 */
export function showCharts(history, anyway = false) {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} property */
  const colourOf = (property) => style.getPropertyValue(property).trim();
  for (const entry of charts) {
    const { spec, chart, figure, heldUntil, seen, drawn } = entry;
    const held = !anyway && performance.now() < heldUntil;
    fillWords(spec, history, figure, chart);
    if (figure.querySelector("details")?.open) fillTable(spec, history, figure);
    if (plotly === null || chart.hidden || (drawn && (held || !seen))) continue;
    entry.drawn = true;
    plotly.react(chart, traces(spec, history, colourOf), layout(spec, history, colourOf), CONFIG);
  }
}

/** @param {Spec} spec @param {History} history @param {HTMLElement} figure @param {HTMLElement} chart */
function fillWords(spec, history, figure, chart) {
  const last = history.samples.at(-1);
  const lines = spec.lines(history);
  const words = summary(spec, history);
  const nothing = words === spec.empty;
  chart.setAttribute("aria-label", words);
  chart.hidden = nothing;
  setText(/** @type {Element} */ (figure.querySelector(".nothing")), nothing ? words : "");
  mirror(
    /** @type {Element} */ (figure.querySelector(".legend")),
    nothing ? [] : lines,
    (line) => line.name,
    (line) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = `var(${line.colour})`;
      return make("li", {}, swatch, `${line.name} `, make("b", {}));
    },
    (item, line) => {
      const value = last ? spec.show(line.value(last)) : "";
      setText(/** @type {Element} */ (item.querySelector("b")), value);
    },
  );
}

/** @param {Spec} spec @param {History} history @param {HTMLElement} figure */
function fillTable(spec, history, figure) {
  const names = ["time", ...spec.lines(history).map((line) => line.name)];
  mirror(
    /** @type {Element} */ (figure.querySelector("thead tr")),
    names,
    (name) => name,
    (name) => Object.assign(make("th", {}, name), { scope: "col" }),
    () => {},
  );
  const all = rows(spec, history);
  mirror(
    /** @type {Element} */ (figure.querySelector("tbody")),
    all,
    (row) => String(row.at),
    (row) => {
      const time = make("th", {}, timeOfDay(new Date(row.at)));
      time.setAttribute("scope", "row");
      return make("tr", {}, time, ...row.cells.map((text) => make("td", {}, text)));
    },
    () => {},
  );
}
