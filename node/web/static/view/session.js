/** Who this page is: the form before a connection, its state afterwards. */
import { reachable, servedBy } from "../placement.js";
import { userProblem } from "./data.js";
import { byId, make, mirror, setText } from "./dom.js";

const pill = byId("state");
const form = byId("connect-form");
const user = byId("user");
const node = byId("node");
const problem = byId("connect-problem");
const panel = byId("session");
const who = byId("session-who");
const detail = byId("session-detail");
const notice = byId("session-notice");
const retry = byId("retry");
const leave = byId("leave");
const second = byId("second");

let countdown;

/**
 * @param {object} actions
 * @param {(user: string, address: string) => void} actions.onConnect
 * @param {() => void} actions.onLeave
 * @param {() => void} actions.onRetry
 */
export function wireSession({ onConnect, onLeave, onRetry }) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = userProblem(user.value.trim());
    showProblem(words);
    if (words) user.focus();
    else onConnect(user.value.trim(), node.value);
  });
  leave.addEventListener("click", onLeave);
  retry.addEventListener("click", onRetry);
}

function showProblem(words) {
  setText(problem, words);
  user.setAttribute("aria-invalid", String(words !== ""));
}

/** @param {string} name put into the form, unless somebody has typed there already */
export function suggestUser(name) {
  if (user.value === "") user.value = name;
}

/**
 * Offer the nodes; at first the one that served the page is chosen, or the one the address names.
 *
 * @param {object[]} nodes as the registry tells them; [] while it has not answered
 * @param {string} wanted a node's name from the page's address, "" for none
 */
export function offerNodes(nodes, wanted) {
  const host = location.host;
  const home = nodes.find((entry) => servedBy(entry.address, host));
  const unnamed = { name: "the node of this page", address: host, state: "live" };
  const entries = home ? nodes : [unnamed, ...nodes];
  const chosen = node.value;
  mirror(node, entries, (entry) => entry.address, () => make("option"), (option, entry) => {
    const canReach = reachable(entry.address, host);
    const remarks = [
      entry === home && "serves this page",
      entry.state !== "live" && entry.state,
      !canReach && "out of reach from this page",
    ].filter(Boolean);
    option.value = entry.address;
    option.disabled = !canReach;
    setText(option, remarks.length > 0 ? `${entry.name} (${remarks.join(", ")})` : entry.name);
  });
  const byName = entries.find((entry) => entry.name === wanted);
  if (nodes.length > 0 && !node.dataset.offered) {
    node.dataset.offered = "yes";
    node.value = (byName ?? home ?? entries[0]).address;
  } else if (entries.some((entry) => entry.address === chosen)) {
    node.value = chosen;
  } else {
    node.value = (home ?? entries[0]).address;
  }
}

/**
 * @param {import("../switchboard.js").Status | {state: "idle"}} status
 * @param {{user: string, wanted: string, target: string}} session who, the name of the node that
 *   was asked for, and of the one tried last
 */
export function showState(status, session) {
  const { state } = status;
  clearInterval(countdown);
  pill.dataset.state = state;
  const away = state === "idle" || state === "closed";
  // Whoever used a control that now vanishes goes on beside it.
  const hadFocus = (away ? panel : form).contains(document.activeElement);
  const retried = document.activeElement === retry;
  form.hidden = !away;
  panel.hidden = away;
  retry.hidden = state !== "waiting";
  second.hidden = state !== "open";
  setText(leave, state === "open" ? "Disconnect" : "Give up");
  setText(who, session.user);
  if (state !== "open") setText(notice, "");
  SHOW[state](status, session);
  if (away && hadFocus) user.focus();
  if (!away && (hadFocus || (retried && retry.hidden))) panel.focus();
}

const BY_USER = 1000;

const SHOW = {
  idle() {
    setText(pill, "Not connected");
  },
  connecting(_status, { target }) {
    setText(pill, `Connecting to ${target}`);
    setText(detail, `Asking ${target} for a connection.`);
  },
  open({ node: name, user: me }, { wanted }) {
    setText(pill, `Connected to ${name} as ${me}`);
    const other = wanted && wanted !== name;
    const instead = other ? ` You asked for ${wanted}, which was not available.` : "";
    setText(detail, `Your messages arrive through ${name} and no other node.${instead}`);
  },
  waiting({ afterMs, reason }) {
    setText(pill, "Reconnecting");
    const until = performance.now() + afterMs;
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      setText(detail, `The connection ended: ${reason}. Next try in ${seconds} s.`);
    };
    tick();
    countdown = setInterval(tick, 500);
  },
  closed({ code, reason }) {
    setText(pill, "Not connected");
    showProblem(code === BY_USER ? "" : `The connection ended: ${reason}.`);
    user.setAttribute("aria-invalid", "false");
  },
};

/** @param {string} words what a person should know of the connection that is there */
export function showNotice(words) {
  setText(notice, words);
}

/** @param {{user: string, node: string}} invitation who a second window could be, and where */
export function offerSecondWindow(invitation) {
  second.href = `/?${new URLSearchParams(invitation)}`;
  setText(second, `Open a second window as ${invitation.user} on ${invitation.node}`);
}
