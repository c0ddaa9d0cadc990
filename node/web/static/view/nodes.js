/** The nodes and their counters: where one sees that a message went to one node only. */
import { byId, counted, make, mirror, setText } from "./dom.js";

const list = byId("nodes");
const lastChange = byId("last-change");
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** What each process had received at the last look; null before the first. */
let before = null;
/** Which processes received something at the last change: key -> how many messages. */
let rises = new Map();

/** Totals belong to a process: a restarted node has another, one that was fenced keeps its own. */
const keyOf = (node) => `${node.name}/${node.pid}`;

/**
 * @param {object[]} nodes as the registry tells them
 * @param {{home: (node: object) => boolean, connectedTo: string}} page which node served the page,
 *   and the name of the one it is connected to, "" for none
 */
export function showNodes(nodes, page) {
  noteChange(nodes);
  mirror(list, nodes, keyOf, createCard, (card, node) => fillCard(card, node, page));
}

function noteChange(nodes) {
  const known = before ?? new Map();
  const first = before === null;
  before = new Map(nodes.map((node) => [keyOf(node), totalOf(node, known)]));
  if (first) return;
  const risen = new Map();
  for (const [key, total] of before) {
    const by = total - (known.get(key) ?? 0);
    if (by > 0) risen.set(key, by);
  }
  if (risen.size === 0) return;
  rises = risen;
  setText(lastChange, changeInWords(nodes));
}

/** A lost node tells no totals; should it come back, it goes on where it was. */
function totalOf(node, known) {
  return node.state === "lost" ? (known.get(keyOf(node)) ?? node.received) : node.received;
}

function changeInWords(nodes) {
  const received = nodes.filter((node) => rises.has(keyOf(node)));
  const who = received.map((node) => `${node.name} received ${counted(rises.get(keyOf(node)), "message")}`);
  const silent = nodes.filter((node) => node.state !== "lost").length - received.length;
  const others = { 0: "", 1: "; the other node received nothing" };
  const rest = others[silent] ?? `; the other ${silent} nodes received nothing`;
  return `${CLOCK.format(new Date())}: ${who.join(", ")}${rest}.`;
}

function createCard(node) {
  const part = (name, tag = "span") => make(tag, { class: name });
  return make(
    "li",
    { class: "node" },
    make("div", { class: "node-head" }, make("h3", {}, node.name), part("badge"), part("tag")),
    make(
      "p",
      { class: "counter" },
      part("number", "strong"),
      make("span", { class: "unit" }, "received"),
      part("rise"),
    ),
    part("facts", "p"),
    part("address", "p"),
  );
}

function fillCard(card, node, { home, connectedTo }) {
  const part = (name) => card.querySelector(`.${name}`);
  setText(part("badge"), node.state);
  part("badge").dataset.state = node.state;
  setText(part("tag"), node.name === connectedTo ? "holds you" : "");
  const total = before.get(keyOf(node));
  setText(part("number"), total.toLocaleString("en"));
  const by = rises.get(keyOf(node)) ?? 0;
  const rise = by > 0 ? `+${by.toLocaleString("en")}` : "";
  // The same "+1" twice in a row is two changes: only a new element starts the animation again.
  if (part("rise").textContent !== rise || part("rise").dataset.total !== String(total)) {
    const fresh = make("span", { class: "rise" }, rise);
    fresh.dataset.total = String(total);
    part("rise").replaceWith(fresh);
  }
  card.classList.toggle("risen", by > 0);
  setText(part("facts"), `${counted(node.sessions, "session")} · ${node.delivered} delivered`);
  setText(part("address"), home(node) ? `${node.address}, serves this page` : node.address);
}
