/** The cluster's figures as the node sends them, once a second; kept alive while the page is open. */
import { backoffMs } from "../switchboard/backoff.js";
import { inWords, Refusal } from "./api.js";

/**
 * @typedef {object} NodeFigures
 * @property {string} name
 * @property {string} endpoint
 * @property {number | null} pid
 * @property {string} address
 * @property {string} state live, draining or lost
 * @property {number | null} sessions
 * @property {number | null} inbox
 * @property {number | null} heartbeat_age_s
 * @property {number | null} received_per_second
 * @property {number | null} delivered_per_second
 * @property {number | null} cpu_percent
 * @property {number | null} rss_bytes
 * @property {number | null} lag_ms
 */

/**
 * @typedef {object} ClusterFigures
 * @property {number} at seconds since 1970, by the node's clock
 * @property {NodeFigures[]} nodes
 * @property {Record<string, number | null>} per_second outcome -> messages
 * @property {{p50: number | null, p99: number | null}} latency_ms
 * @property {number | null} sessions
 * @property {number | null} users
 * @property {number | null} rescues
 * @property {number | null} fences
 */

/**
 * `blind`: the node is there, and says that it has no figures.
 *
 * @typedef {{state: "connecting"}
 *   | {state: "open"}
 *   | {state: "blind", reason: string}
 *   | {state: "waiting", reason: string, retryInMs: number}
 *   | {state: "refused", reason: string, status: number}} FeedStatus
 */

const FEED = "/dashboard/feed";
const PROTOCOL = "switchboard.dashboard.v1.json";
const BEARER = "switchboard.bearer.";
const BACKOFF = { baseMs: 1_000, capMs: 15_000 };
/** A frame comes every second: where none came for so long, none will. */
const SILENT_MS = 8_000;
const NOT_AUTHENTICATED = 4401;
const NOT_PERMITTED = 4403;

/** Events: `state` (detail: `FeedStatus`), `figures` (detail: `ClusterFigures`). */
export class Feed extends EventTarget {
  /** @type {FeedStatus} */
  status = { state: "connecting" };
  #api;
  #failures = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} of the next try, or of the watchdog */
  #timer;
  /** @type {WebSocket | null} */
  #socket = null;
  /** Counts tries: what an older one has to say is not heard. */
  #turn = 0;

  /** @param {import("./api.js").Api} api gives the key, and says what it is good for */
  constructor(api) {
    super();
    this.#api = api;
  }

  /** Connect now, if that is waited for; one that is under way is not begun again. */
  retryNow() {
    if (this.status.state === "waiting") this.connect();
  }

  /** Connect, with the key as it is now; a connection that is there is given up. */
  async connect() {
    const turn = this.#begin();
    this.#tell({ state: "connecting" });
    try {
      // Without a key there is mostly no need to try the handshake.
      await this.#api.ask("/api/v1/stats");
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error instanceof Refusal && error.wantsKey) this.refuse(error.message, error.status);
      else this.#wait(inWords(error));
      return;
    }
    if (turn === this.#turn) this.#open(turn);
  }

  /** @param {string} reason @param {number} status stop until there is another key */
  refuse(reason, status) {
    this.#begin();
    this.#failures = 0;
    this.#tell({ state: "refused", reason, status });
  }

  #begin() {
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
    return ++this.#turn;
  }

  /** @param {number} turn */
  #open(turn) {
    const bearer = this.#api.key ? [BEARER + this.#api.key] : [];
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${FEED}`, [PROTOCOL, ...bearer]);
    this.#socket = socket;
    this.#watch();
    let opened = false;
    socket.onopen = () => {
      opened = true;
    };
    socket.onmessage = ({ data }) => {
      if (turn === this.#turn) this.#take(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (turn !== this.#turn) return;
      if (code === NOT_AUTHENTICATED || code === NOT_PERMITTED) {
        this.refuse(reason || "the key is not good for the dashboard", code - 4000);
      } else if (opened) {
        this.#wait(reason || "the connection to the node ended");
      } else {
        this.#askWhy(turn);
      }
    };
  }

  /**
   * A handshake that fails does not tell a page why. The same request by ordinary means does; that it
   * is no handshake is what it hears (400) when nothing else is wrong.
   *
   * @param {number} turn
   */
  async #askWhy(turn) {
    let reason = "the node did not open the feed";
    try {
      await this.#api.ask(FEED, { accept: [400] });
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error instanceof Refusal && error.wantsKey) {
        this.refuse(error.message, error.status);
        return;
      }
      if (error instanceof Refusal) reason = error.message;
    }
    if (turn === this.#turn) this.#wait(reason);
  }

  /** @param {unknown} frame */
  #take(frame) {
    const told = readFrame(frame);
    if (told === null) return; // of a later version, perhaps
    this.#failures = 0;
    this.#watch();
    if ("trouble" in told) {
      this.#tell({ state: "blind", reason: told.trouble });
      return;
    }
    const { figures } = told;
    if (this.status.state !== "open") this.#tell({ state: "open" });
    this.dispatchEvent(new CustomEvent("figures", { detail: figures }));
  }

  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#wait("the node fell silent"), SILENT_MS);
  }

  /** @param {string} reason */
  #wait(reason) {
    this.#begin();
    this.#failures += 1;
    const retryInMs = backoffMs(this.#failures, BACKOFF);
    this.#timer = setTimeout(() => this.connect(), retryInMs);
    this.#tell({ state: "waiting", reason, retryInMs });
  }

  /** @param {FeedStatus} status */
  #tell(status) {
    this.status = status;
    this.dispatchEvent(new CustomEvent("state", { detail: status }));
  }
}

/**
 * @param {unknown} frame as it came
 * @returns {{figures: ClusterFigures} | {trouble: string} | null} null when it makes no sense
 */
export function readFrame(frame) {
  if (typeof frame !== "string") return null;
  let told;
  try {
    told = JSON.parse(frame);
  } catch {
    return null;
  }
  if (told?.type === "error") return { trouble: String(told.message ?? told.code) };
  if (told?.type !== "cluster" || !Array.isArray(told.nodes)) return null;
  return { figures: figuresOf(told) };
}

/** @param {any} told @returns {ClusterFigures} */
function figuresOf(told) {
  const { p50 = null, p99 = null } = told.latency_ms ?? {};
  return {
    at: told.at,
    nodes: current(told.nodes),
    per_second: told.per_second ?? {},
    latency_ms: { p50, p99 },
    sessions: told.sessions ?? null,
    users: told.users ?? null,
    rescues: told.rescues ?? null,
    fences: told.fences ?? null,
  };
}

/**
 * A lost endpoint is of no interest once its node lives on under a new one, at its old address.
 *
 * @param {NodeFigures[]} nodes
 */
function current(nodes) {
  const order = new Intl.Collator("en", { numeric: true });
  const taken = new Set(nodes.filter((node) => node.state !== "lost").map((node) => node.address));
  return nodes
    .filter((node) => node.state !== "lost" || !taken.has(node.address))
    .sort((a, b) => order.compare(a.name, b.name) || order.compare(a.endpoint, b.endpoint));
}
