/** The nodes and their counters: where one sees that a message went to one node only. */
import { byId, counted, make, mirror, setText } from "./dom.js";

const list = byId("nodes");
const lastChange = byId("last-change");
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** What each endpoint had received at the last look. A restarted node is a new endpoint. */
let before = null;
/** Who received something at the last change: name -> how many. */
let rises = new Map();

/**
 * @param {object[]} nodes as the registry tells them
 * @param {{home: (node: object) => boolean, connectedTo: string}} page which node served the page,
 *   and the name of the one it is connected to, "" for none
 */
export function showNodes(nodes, page) {
  noteChange(nodes);
  mirror(list, nodes, (node) => node.endpoint ?? node.name, createCard, (card, node) => {
    fillCard(card, node, page);
  });
}

function noteChange(nodes) {
  const now = new Map(nodes.map((node) => [node.endpoint, node.received]));
  if (before !== null) {
    const risen = nodes
      .map((node) => [node.name, node.received - (before.get(node.endpoint) ?? 0)])
      .filter(([, by]) => by > 0);
    if (risen.length > 0) {
      rises = new Map(risen);
      setText(lastChange, changeInWords(risen, nodes.length));
    }
  }
  before = now;
}

function changeInWords(risen, total) {
  const who = risen.map(([name, by]) => `${name} received ${counted(by, "message")}`).join(", ");
  const silent = total - risen.length;
  const others =
    silent === 0
      ? "."
      : silent === 1
        ? "; the other node received nothing."
        : `; the other ${silent} nodes received nothing.`;
  return `${CLOCK.format(new Date())}: ${who}${others}`;
}

function createCard(node) {
  const part = (name, tag = "span") => make(tag, { class: name });
  return make(
    "li",
    { class: "node" },
    make("div", { class: "node-head" }, make("h3", {}, node.name), part("badge"), part("tags")),
    make(
      "p",
      { class: "counter" },
      part("number", "strong"),
      make("span", { class: "unit" }, "received"),
      part("rise"),
    ),
    part("facts", "p"),
  );
}

function fillCard(card, node, { home, connectedTo }) {
  const part = (name) => card.querySelector(`.${name}`);
  setText(part("badge"), node.state);
  part("badge").dataset.state = node.state;
  const tags = [home(node) && "serves this page", node.name === connectedTo && "holds you"];
  setText(part("tags"), tags.filter(Boolean).join(" · "));
  setText(part("number"), node.received.toLocaleString("en"));
  const by = rises.get(node.name) ?? 0;
  const rise = by > 0 ? `+${by.toLocaleString("en")}` : "";
  // The same "+1" twice in a row is two changes: only a new element starts the animation again.
  if (part("rise").textContent !== rise || part("rise").dataset.total !== String(node.received)) {
    const fresh = make("span", { class: "rise" }, rise);
    fresh.dataset.total = String(node.received);
    part("rise").replaceWith(fresh);
  }
  card.classList.toggle("risen", by > 0);
  const facts = [counted(node.sessions, "session"), `${counted(node.delivered, "message")} delivered`];
  setText(part("facts"), `${facts.join(" · ")} · ${node.address}`);
}
