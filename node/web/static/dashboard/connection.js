/** What the page says of its connection, and the ways out when it is lost. */
import { byId, setText, timeOfDay } from "../view/dom.js";
import { duration } from "./figures.js";

/** @typedef {import("./feed.js").FeedStatus} FeedStatus */

const pill = byId("state");
const lost = byId("lost");
const board = byId("board");
const other = /** @type {HTMLInputElement} */ (byId("other-node"));
const otherProblem = byId("other-problem");
const TITLE = "Switchboard dashboard";

/** @type {Record<FeedStatus["state"], {pill: string, look: string}>} */
const PILLS = {
  connecting: { pill: "Connecting", look: "connecting" },
  open: { pill: "Live", look: "open" },
  blind: { pill: "No figures", look: "waiting" },
  waiting: { pill: "Connection lost", look: "waiting" },
  refused: { pill: "Key needed", look: "idle" },
};

/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;
/** Of the newest figures; 0 before there are any. */
let figuresAt = 0;
/** Of the loss that is going on; tries to mend it do not end it. */
let isLost = false;

/** @param {() => void} onRetry */
export function wireConnection(onRetry) {
  byId("retry").addEventListener("click", onRetry);
  byId("elsewhere").addEventListener("submit", (event) => {
    event.preventDefault();
    const url = addressOf(other.value.trim());
    const words = url === null ? "An address is host:port, as in 127.0.0.1:8002." : "";
    setText(otherProblem, words);
    other.setAttribute("aria-invalid", String(words !== ""));
    if (url === null) other.focus();
    else location.assign(url);
  });
}

/**
 * A page may only talk to the node it came from: another node's page must come from there.
 *
 * @param {string} typed
 * @returns {string | null} the address of that node's dashboard; null when it makes no sense
 */
export function addressOf(typed) {
  if (!/^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?$/i.test(typed)) return null;
  try {
    return new URL("/dashboard", `${location.protocol}//${typed}`).href;
  } catch {
    return null;
  }
}

/** @param {number} now milliseconds: figures have come */
export function figuresCame(now) {
  figuresAt = now;
  setText(byId("age"), `Figures of ${timeOfDay(new Date(now))}, new ones every second.`);
}

/** @param {FeedStatus} status */
export function showConnection(status) {
  const { state } = status;
  clearInterval(countdown);
  if (state === "open" || state === "refused") isLost = false;
  if (state === "waiting" || state === "blind") isLost = true;
  // A try that is under way is still a lost connection to who looks.
  const shown = isLost && state === "connecting" ? PILLS.waiting : PILLS[state];
  setText(pill, shown.pill);
  pill.dataset["state"] = shown.look;
  document.title = isLost ? `${shown.pill} · ${TITLE}` : TITLE;
  const had = lost.contains(document.activeElement);
  lost.hidden = !isLost;
  if (!isLost && had) byId("nodes-title").focus();
  board.classList.toggle("stale", state !== "open" && figuresAt > 0);
  board.hidden = figuresAt === 0;
  byId("retry").hidden = state === "blind";
  if (state === "waiting") countDown(status.reason, status.retryInMs);
  if (state === "blind") setText(byId("lost-words"), `The node has no figures: ${status.reason}.`);
  if (state !== "open" && figuresAt > 0) tellAge();
}

/** @param {string} reason @param {number} retryInMs */
function countDown(reason, retryInMs) {
  const until = performance.now() + retryInMs;
  // Said once: a live region that counted down would never be silent.
  setText(byId("lost-words"), `No connection: ${reason}. It is tried again by itself.`);
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
    setText(byId("retry"), seconds > 0 ? `Try now (in ${seconds} s)` : "Try now");
    tellAge();
  };
  tick();
  countdown = setInterval(tick, 500);
}

function tellAge() {
  if (figuresAt === 0) return;
  const age = duration((Date.now() - figuresAt) / 1000);
  setText(byId("age"), `Old figures: ${timeOfDay(new Date(figuresAt))}, ${age} ago.`);
}
