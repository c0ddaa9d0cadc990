/** Wires the dashboard: the feed to the views, and what an operator does to the API. */
import { byId, counted, setText } from "../view/dom.js";
import { Api, inWords } from "./api.js";
import { ask } from "./ask.js";
import { showCharts, wireCharts } from "./charts.js";
import { figuresCame, showConnection, wireConnection } from "./connection.js";
import { Feed } from "./feed.js";
import { History } from "./history.js";
import { askForKey, hideKeyForm, wireKey } from "./key.js";
import { TestMessage } from "./message.js";
import { showNodes, wireNodes } from "./nodes.js";
import { Users } from "./users.js";

const api = new Api();
const feed = new Feed(api);
const history = new History();
const message = new TestMessage(api);
const users = new Users(api, (user) => message.addressTo(user));
/** @type {import("./feed.js").ClusterFigures | null} the newest ones */
let newest = null;

/** @param {import("./feed.js").ClusterFigures} figures */
function figuresArrived(figures) {
  const first = newest === null;
  newest = figures;
  history.add(figures, Date.now());
  figuresCame(Date.now());
  if (first) showConnection(feed.status); // now there is a board to show
  draw();
}

/**
 * Nobody looks at a hidden page; what was missed is in the history.
 *
 * @param {boolean} [anyway] see `showCharts`
 */
function draw(anyway = false) {
  if (newest === null || document.hidden) return;
  showNodes(newest);
  showCharts(history, anyway);
}

/** @param {import("./feed.js").FeedStatus} status */
function stateChanged(status) {
  showConnection(status);
  if (status.state === "refused") {
    const tried = api.key !== "";
    api.key = "";
    askForKey(tried ? `The key was refused: ${status.reason}.` : "");
  } else if (status.state === "open") {
    hideKeyForm(api.key !== "");
    learnConfirms();
  }
}

async function learnConfirms() {
  try {
    message.offerConfirms((await api.ask("/api/v1/stats")).confirms);
  } catch {
    // The feed tells of it too; until then the node chooses.
  }
}

/** @param {string} name */
async function drain(name) {
  const node = newest?.nodes.find((each) => each.name === name && each.state === "live");
  setText(byId("nodes-problem"), "");
  setText(byId("nodes-done"), "");
  if (!node || !newest) {
    setText(byId("nodes-done"), `${name} is not live: there is nothing to drain.`);
    return;
  }
  const others = newest.nodes.some((each) => each.state === "live" && each !== node);
  const held = node.sessions === null ? "its sessions" : counted(node.sessions, "session");
  const where = others
    ? `Its clients (${held}) are sent to other nodes little by little.`
    : `It is the only live node: its clients (${held}) are cut off until there is another.`;
  const sure = await ask({
    title: `Drain ${name}?`,
    words:
      `${name} takes no new connections from now on. ${where} What waits in its inbox is handed ` +
      "on, then its process ends. It is back only if something starts it again, as `switchboard " +
      "up` does.",
    yes: `Drain ${name}`,
  });
  if (!sure) return;
  try {
    await api.ask(`/api/v1/nodes/${encodeURIComponent(name)}/drain`, { method: "POST" });
    setText(byId("nodes-done"), `${name} was told to drain.`);
  } catch (error) {
    setText(byId("nodes-problem"), `${name} was not told to drain: ${inWords(error)}.`);
  }
}

feed.addEventListener("figures", (event) => {
  figuresArrived(/** @type {CustomEvent} */ (event).detail);
});
feed.addEventListener("state", (event) => stateChanged(/** @type {CustomEvent} */ (event).detail));
api.addEventListener("refused", (event) => {
  const { message: words, status } = /** @type {CustomEvent} */ (event).detail;
  // While it connects the feed says so itself.
  if (feed.status.state === "open") feed.refuse(words, status);
});
document.addEventListener("visibilitychange", () => draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));

wireConnection(() => feed.retryNow());
wireNodes(drain);
users.suggestTo(/** @type {HTMLInputElement} */ (byId("user")));
users.suggestTo(/** @type {HTMLInputElement} */ (byId("test-to")));
api.key = wireKey({
  onKey(key) {
    api.key = key;
    feed.connect();
  },
  onForget() {
    api.key = "";
    feed.refuse("", 401);
  },
});
feed.connect();
wireCharts(draw);
