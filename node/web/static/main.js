/** Wires the page: what a person does goes to the client, what comes back to the views. */
import { chooseAddress, reachable, servedBy } from "./placement.js";
import { Registry } from "./registry.js";
import { connect, SwitchboardError } from "./switchboard.js";
import {
  addressTo,
  focusCompose,
  offerConfirms,
  offerDurable,
  wireCompose,
} from "./view/compose.js";
import { byId, setText } from "./view/dom.js";
import { addReceived, addSent, wireMessages } from "./view/messages.js";
import { explainMode } from "./view/mode.js";
import { showNodes } from "./view/nodes.js";
import { showPeople, wirePeople } from "./view/people.js";
import {
  offerNodes,
  offerSecondWindow,
  showNotice,
  showState,
  suggestUser,
  wireSession,
} from "./view/session.js";

const NAMES = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
const asked = new URLSearchParams(location.search);

const registry = new Registry();
/** @type {import("./switchboard.js").Client | null} */
let client = null;
/** Who this page is, the address it asked for, and the one it tried last. */
const self = { user: "", wanted: "", target: "", arriving: false };
let unseen = 0;

const connectedTo = () => (client?.status.state === "open" ? client.status.node : "");
const nameOf = (address) =>
  registry.nodes.find((node) => servedBy(node.address, address))?.name ?? address;

function arrive(user, address) {
  Object.assign(self, { user, wanted: address, target: address, arriving: true });
  // A reload, or a copy of the address, comes back to the same form.
  history.replaceState(null, "", `?${new URLSearchParams({ user, node: nameOf(address) })}`);
  const urlFor = (situation) => {
    const near = registry.nodes.filter((node) => reachable(node.address, location.host));
    self.target = chooseAddress(near, self.wanted, situation);
    return `${location.protocol === "https:" ? "wss" : "ws"}://${self.target}/ws`;
  };
  client = connect(urlFor, { user, device: "web" });
  client.on("state", stateChanged);
  client.on("message", messageCame);
  client.on("gap", () => showNotice("Messages may be missing: the mailbox had not kept them all."));
  client.on("error", complained);
}

function stateChanged(status) {
  showState(status, { ...self, wanted: nameOf(self.wanted), target: nameOf(self.target) });
  if (status.state === "open") {
    // Only after somebody asked for it, and only if they have not gone on elsewhere meanwhile.
    if (self.arriving && byId("session").contains(document.activeElement)) focusCompose();
    self.arriving = false;
    registry.refresh();
  }
  retitle();
  redraw();
}

/** @param {SwitchboardError} error */
function complained(error) {
  if (error.code === "handler_failed") console.error(error.cause);
  else showNotice(`The node says: ${error.message}`);
}

function messageCame(message) {
  addReceived(message);
  // What is not durable nobody acknowledges for us, and its sender may wait for it.
  if (message.offset === undefined) client?.ack(message);
  if (document.hidden) unseen += 1;
  retitle();
  registry.refresh();
}

function send(to, data, options) {
  if (client?.state !== "open") {
    return "You are not connected, so nothing was sent. Connect first, then send again.";
  }
  const entry = addSent(to, data, options.durable);
  client
    .send(to, data, options)
    .then(entry.settle)
    .catch((error) => {
      if (!(error instanceof SwitchboardError)) throw error;
      entry.refuse(`It was refused: ${error.message}.`);
    })
    .finally(() => registry.refresh());
  return "";
}

function retitle() {
  const node = connectedTo();
  const who = node ? `${self.user} on ${node} · Switchboard` : "Switchboard";
  document.title = unseen > 0 ? `(${unseen}) ${who}` : who;
}

/** Draw what depends on both the registry and the client. */
function redraw() {
  const node = connectedTo();
  showNodes(registry.nodes, {
    home: (entry) => servedBy(entry.address, location.host),
    connectedTo: node,
  });
  showPeople(registry.users, { more: registry.more, self: node ? self.user : "" });
  const taken = new Set([self.user, ...registry.users.map((entry) => entry.user)]);
  const free = NAMES.find((name) => !taken.has(name)) ?? `guest${registry.users.length + 1}`;
  const other = registry.nodes.find((entry) => entry.name !== node && entry.state === "live");
  offerSecondWindow({ user: free, node: other?.name ?? node });
  return free;
}

function registryAnswered() {
  setText(byId("registry-problem"), "");
  byId("cluster").classList.remove("stale");
  offerNodes(registry.nodes, asked.get("node") ?? "");
  offerConfirms(registry.delivery.confirms);
  offerDurable(registry.delivery.confirms.includes("acked"));
  explainMode(registry.delivery.mode);
  suggestUser(redraw());
}

function registryFailed({ words, retryInMs }) {
  const seconds = Math.ceil(retryInMs / 1000);
  setText(
    byId("registry-problem"),
    `The registry does not answer: ${words}. ` +
      `What you see is what was known last; asking again in ${seconds} s.`,
  );
  byId("cluster").classList.add("stale");
}

suggestUser(asked.get("user") ?? "");
offerNodes([], "");
wireSession({
  onConnect: arrive,
  onLeave: () => client?.close(),
  onRetry: () => client?.retryNow(),
});
wireCompose(send);
wireMessages(addressTo);
wirePeople({ onPick: addressTo, onFilter: (prefix) => registry.filter(prefix) });
showState({ state: "idle" }, self);
registry.addEventListener("update", registryAnswered);
registry.addEventListener("problem", ({ detail }) => registryFailed(detail));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) unseen = 0;
  retitle();
});
registry.start();
