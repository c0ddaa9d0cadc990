/** The registry as the page's own node tells it: asked again and again while somebody looks. */
import { backoffMs } from "./switchboard/backoff.js";

const EVERY_MS = 2_000;
const BACKOFF = { baseMs: 2_000, capMs: 30_000 };
const TIMEOUT_MS = 5_000;
const MAX_USERS = 50;

/**
 * Events: `update` (detail: {nodes, users, more}), `problem` (detail: {words, retryInMs}).
 */
export class Registry extends EventTarget {
  /** @type {object[]} the nodes of the last answer */
  nodes = [];
  /** @type {object[]} the users of the last answer, by name */
  users = [];
  /** Whether there are more users than the last answer holds. */
  more = false;
  /** How the cluster delivers: {mode, confirms}; null until it has answered. */
  delivery = null;
  #prefix = "";
  #failures = 0;
  #timer;
  /** Counts questions: only the answer to the last one asked is told. */
  #asked = 0;

  /** Ask now, and from now on while the page is visible. */
  start() {
    document.addEventListener("visibilitychange", () => this.refresh());
    this.refresh();
  }

  /** @param {string} prefix only users whose id starts with it; "" for all */
  filter(prefix) {
    this.#prefix = prefix;
    this.refresh();
  }

  /** Ask now instead of at the next turn. */
  async refresh() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const turn = ++this.#asked;
    let waitMs;
    try {
      const answer = await this.#ask();
      if (turn !== this.#asked) return;
      this.#failures = 0;
      waitMs = EVERY_MS;
      this.nodes = answer.nodes;
      this.users = answer.users;
      this.more = answer.more;
      this.dispatchEvent(new CustomEvent("update", { detail: answer }));
    } catch (error) {
      if (turn !== this.#asked) return;
      this.#failures += 1;
      waitMs = backoffMs(this.#failures, BACKOFF);
      const detail = { words: inWords(error), retryInMs: waitMs };
      this.dispatchEvent(new CustomEvent("problem", { detail }));
    }
    this.#timer = setTimeout(() => this.refresh(), waitMs);
  }

  async #ask() {
    const query = new URLSearchParams({ limit: String(MAX_USERS) });
    if (this.#prefix) query.set("prefix", this.#prefix);
    const [nodes, users, delivery] = await Promise.all([
      getJson("/api/v1/nodes"),
      getJson(`/api/v1/users?${query}`),
      this.delivery ?? getJson("/api/v1/stats"), // it does not change while a cluster runs
    ]);
    this.delivery = delivery;
    return {
      nodes: current(nodes.nodes).sort(by("name")),
      users: users.users.sort(by("user")),
      more: Boolean(users.cursor),
    };
  }
}

/** A lost endpoint is of no interest once its node lives on under a new one, at its old address. */
function current(nodes) {
  const taken = new Set(nodes.filter((node) => node.state !== "lost").map((node) => node.address));
  return nodes.filter((node) => node.state !== "lost" || !taken.has(node.address));
}

/** A refusal of the API, in its own words. */
class Refusal extends Error {}

async function getJson(path) {
  const answer = await fetch(path, {
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Refusal(problem.detail || problem.title || `it answered with status ${answer.status}`);
}

function inWords(error) {
  if (error instanceof Refusal) return error.message;
  if (error.name === "TimeoutError") return "it did not answer in time";
  if (error instanceof SyntaxError) return "its answer makes no sense";
  return "it cannot be reached";
}

function by(field) {
  const order = new Intl.Collator(undefined, { numeric: true });
  return (a, b) => order.compare(a[field], b[field]);
}
