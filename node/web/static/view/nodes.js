/** The nodes and their counters: where one sees that a message went to one node only. */
import { Counters, processKey } from "../counters.js";
import { byId, counted, make, mirror, setText, timeOfDay } from "./dom.js";

const list = byId("nodes");
const lastChange = byId("last-change");
const counters = new Counters();

/**
 * @param {object[]} nodes as the registry tells them
 * @param {{home: (node: object) => boolean, connectedTo: string}} page which node served the page,
 *   and the name of the one it is connected to, "" for none
 */
export function showNodes(nodes, page) {
  if (counters.look(nodes)) setText(lastChange, changeInWords(nodes));
  mirror(list, nodes, processKey, createCard, (card, node) => fillCard(card, node, page));
}

function changeInWords(nodes) {
  const risen = nodes.filter((node) => counters.rise(node) > 0);
  const who = risen
    .map((node) => `${node.name} received ${counted(counters.rise(node), "message")}`)
    .join(", ");
  const silent = nodes.filter((node) => node.state !== "lost").length - risen.length;
  const others = { 0: "", 1: "; the other node received nothing" };
  const rest = others[silent] ?? `; the other ${silent} nodes received nothing`;
  return `${timeOfDay(new Date())}: ${who}${rest}.`;
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
  card.dataset.node = node.name;
  setText(part("badge"), node.state);
  part("badge").dataset.state = node.state;
  setText(part("tag"), node.name === connectedTo ? "holds you" : "");
  const total = counters.total(node).toLocaleString("en");
  setText(part("number"), total);
  fillRise(part("rise"), counters.rise(node), total);
  card.classList.toggle("risen", counters.rise(node) > 0);
  const delivered = `${node.delivered.toLocaleString("en")} delivered`;
  setText(part("facts"), `${counted(node.sessions, "session")} · ${delivered}`);
  setText(part("address"), home(node) ? `${node.address}, serves this page` : node.address);
}

function fillRise(old, by, total) {
  const text = by > 0 ? `+${by.toLocaleString("en")}` : "";
  if (old.textContent === text && old.dataset.total === total) return;
  // The same "+1" twice in a row is two changes: only a new element starts the animation again.
  const fresh = make("span", { class: "rise" }, text);
  fresh.dataset.total = total;
  old.replaceWith(fresh);
}
