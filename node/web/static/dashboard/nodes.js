/** The nodes as a table, and the totals over it. */
import { byId, counted, make, mirror, setText } from "../view/dom.js";
import { bytes, count, duration, milliseconds, percent, rate } from "./figures.js";

/** @typedef {import("./feed.js").NodeFigures} NodeFigures */
/** @typedef {import("./feed.js").ClusterFigures} ClusterFigures */

const body = byId("nodes");
const totals = byId("totals");
const addresses = byId("node-addresses");

/** @type {{name: string, show: (node: NodeFigures) => string}[]} */
const COLUMNS = [
  { name: "Sessions", show: (node) => count(node.sessions) },
  { name: "Received", show: (node) => rate(node.received_per_second) },
  { name: "Delivered", show: (node) => rate(node.delivered_per_second) },
  { name: "Inbox", show: (node) => count(node.inbox) },
  { name: "Heartbeat", show: heartbeat },
  { name: "CPU", show: (node) => percent(node.cpu_percent) },
  { name: "Memory", show: (node) => bytes(node.rss_bytes) },
  { name: "Loop lag", show: (node) => milliseconds(node.lag_ms) },
];

/** @param {NodeFigures} node */
function heartbeat(node) {
  return node.heartbeat_age_s === null ? "ended" : `${duration(node.heartbeat_age_s)} ago`;
}

/** @param {(name: string) => void} onDrain */
export function wireNodes(onDrain) {
  body.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const name = target.closest("button")?.dataset["node"];
    if (name !== undefined) onDrain(name);
  });
}

/** @param {ClusterFigures} figures */
export function showNodes(figures) {
  mirror(body, figures.nodes, (node) => node.endpoint, createRow, fillRow);
  const others = figures.nodes.filter((node) => node.state === "live");
  mirror(
    addresses,
    others,
    (node) => node.address,
    (node) => make("option", { value: node.address }, node.name),
    () => {},
  );
  showTotals(figures);
}

/** @param {NodeFigures} node */
function createRow(node) {
  const button = make("button", { type: "button", class: "quiet drain" }, "Drain");
  button.dataset["node"] = node.name;
  button.setAttribute("aria-label", `Drain ${node.name}`);
  const row = make(
    "tr",
    {},
    cell("th", "", make("span", { class: "node-name" }), make("span", { class: "address" })),
    cell("td", "State", make("span", { class: "badge" })),
    ...COLUMNS.map(({ name }) => cell("td", name)),
    cell("td", "", button),
  );
  row.setAttribute("role", "row");
  return row;
}

/**
 * The roles are said again: as cards, on a phone, the row is no table row to the browser.
 *
 * @param {"th" | "td"} tag
 * @param {string} label what the card calls it; "" for a cell without a name
 * @param {...Node} children
 */
function cell(tag, label, ...children) {
  const element = make(tag, {}, ...children);
  element.setAttribute("role", tag === "th" ? "rowheader" : "cell");
  if (tag === "th") element.setAttribute("scope", "row");
  if (label) element.dataset["label"] = label;
  if (label && label !== "State") element.className = "figure";
  return element;
}

/** @param {HTMLElement} row @param {NodeFigures} node */
function fillRow(row, node) {
  /** @param {string} name */
  const part = (name) => /** @type {HTMLElement} */ (row.querySelector(`.${name}`));
  row.dataset["state"] = node.state;
  setText(part("node-name"), node.name);
  setText(part("address"), node.address);
  setText(part("badge"), node.state);
  part("badge").dataset["state"] = node.state;
  for (const { name, show } of COLUMNS) {
    setText(/** @type {Element} */ (row.querySelector(`[data-label="${name}"]`)), show(node));
  }
  const drain = /** @type {HTMLButtonElement} */ (row.querySelector("button"));
  // Whoever has the focus there would lose it; what it asks says that there is nothing to drain.
  drain.hidden = node.state !== "live" && document.activeElement !== drain;
}

/** @param {ClusterFigures} figures */
function showTotals(figures) {
  /** @param {string} state */
  const inState = (state) => figures.nodes.filter((node) => node.state === state).length;
  const away = [
    [inState("draining"), "draining"],
    [inState("lost"), "lost"],
  ].filter(([many]) => many);
  const sum = sumOf(Object.values(figures.per_second));
  const items = [
    {
      name: "Nodes live",
      value: count(inState("live")),
      hint: away.map(([many, word]) => `${many} ${word}`).join(", "),
      tone: inState("lost") ? "bad" : inState("draining") ? "warn" : "",
    },
    { name: "Sessions", value: count(figures.sessions), hint: usersOf(figures) },
    { name: "Messages", value: rate(sum), hint: "" },
    {
      name: "Latency p99",
      value: milliseconds(figures.latency_ms.p99),
      hint: `p50 ${milliseconds(figures.latency_ms.p50)}`,
    },
    { name: "In inboxes", value: count(sumOf(figures.nodes.map((node) => node.inbox))), hint: "" },
    { name: "Rescues", value: count(figures.rescues), hint: fencesOf(figures) },
  ];
  mirror(totals, items, (item) => item.name, createTotal, fillTotal);
}

/** @param {ClusterFigures} figures */
const usersOf = ({ users }) => (users === null ? "" : counted(users, "user"));
/** @param {ClusterFigures} figures */
const fencesOf = ({ fences }) => (fences === null ? "" : counted(fences, "fence"));

/** @param {(number | null)[]} values @returns {number | null} null when nothing is known */
function sumOf(values) {
  /** @type {number[]} */
  const known = [];
  for (const value of values) if (value !== null) known.push(value);
  return known.length > 0 ? known.reduce((a, b) => a + b, 0) : null;
}

/** @typedef {{name: string, value: string, hint: string, tone?: string}} Total */

/** @param {Total} item */
function createTotal({ name }) {
  return make(
    "div",
    { class: "total" },
    make("dt", {}, name),
    make("dd", { class: "total-value" }),
    make("dd", { class: "hint" }),
  );
}

/** @param {HTMLElement} element @param {Total} item */
function fillTotal(element, { value, hint, tone = "" }) {
  element.dataset["tone"] = tone;
  setText(/** @type {Element} */ (element.querySelector(".total-value")), value);
  setText(/** @type {Element} */ (element.querySelector(".hint")), hint);
}
