/** Messages that came, and messages that were sent with what became of each. */
import { outcomeWords } from "../outcomes.js";
import { showData } from "./data.js";
import { byId, clock, make, putOnTop, setText } from "./dom.js";

// The list lies in the log: what is a log to a screen reader is no list any more.
const received = byId("received").firstElementChild;
const receivedEmpty = byId("received-empty");
const sent = byId("sent").firstElementChild;
const sentEmpty = byId("sent-empty");
const outcome = byId("outcome");
const outcomeText = byId("outcome-words");
const RECEIVED_LIMIT = 200;
const SENT_LIMIT = 50;

/** @param {(user: string) => void} onReply */
export function wireMessages(onReply) {
  received.addEventListener("click", (event) => {
    const user = event.target.closest("button")?.dataset.user;
    if (user !== undefined) onReply(user);
  });
}

/** @param {import("../switchboard.js").Message} message */
export function addReceived(message) {
  const from = message.from
    ? make("span", { class: "from" }, "from ", make("bdi", {}, message.from))
    : make("span", { class: "from" }, "no sender named");
  const head = make("div", { class: "entry-head" }, from);
  if (message.offset) head.append(make("span", { class: "kind" }, "durable"));
  if (message.replay) head.append(make("span", { class: "kind" }, "replayed"));
  head.append(clock(message.sentAt));
  if (message.from) {
    const reply = make("button", { type: "button", class: "quiet" }, "Reply");
    reply.setAttribute("aria-label", `Reply to ${message.from}`);
    reply.dataset.user = message.from;
    head.append(reply);
  }
  const entry = make("li", { class: "entry" }, head, body(message.data));
  putOnTop(received, entry, RECEIVED_LIMIT);
  receivedEmpty.hidden = true;
}

/**
 * @param {string} to
 * @param {unknown} data
 * @param {boolean} durable
 * @returns {{settle: (result: object) => void, refuse: (words: string) => void}} tell it one of
 *   them once
 */
export function addSent(to, data, durable) {
  const startedAt = performance.now();
  const badge = make("span", { class: "badge" });
  const words = make("span", { class: "words" });
  const head = make(
    "div",
    { class: "entry-head" },
    make("span", { class: "from" }, "to ", make("bdi", {}, to)),
    badge,
    ...(durable ? [make("span", { class: "kind" }, "durable")] : []),
    clock(new Date()),
  );
  const result = make("p", { class: "result" }, words);
  const entry = make("li", { class: "entry" }, head, body(data), result);
  putOnTop(sent, entry, SENT_LIMIT);
  sentEmpty.hidden = true;

  const show = (tone, label, text) => {
    mark(badge, tone, label);
    setText(words, text);
    if (sent.firstElementChild !== entry) return;
    // The latest stands beside the form too, where a phone shows it and a screen reader says it.
    mark(outcome, tone, label);
    setText(outcomeText, text);
  };
  show("", "sending", "");
  return {
    settle({ outcome: word, reason }) {
      const known = outcomeWords(word);
      const tookMs = Math.round(performance.now() - startedAt);
      const because = reason ? ` Reason: ${reason.replace(/\.$/, "")}.` : "";
      show(known.tone, word, `${known.words(to)}${because} After ${tookMs} ms.`);
    },
    refuse(text) {
      show("bad", "not sent", text);
    },
  };
}

function mark(badge, tone, label) {
  setText(badge, label);
  badge.dataset.tone = tone;
}

function body(data) {
  const text = showData(data);
  const look = typeof data === "string" ? "data text" : "data";
  const box = make("pre", { class: look, dir: "auto" }, text);
  // Long ones scroll inside their box; a keyboard can only scroll what it can focus.
  if (text.length > 300 || text.split("\n").length > 6) {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Message text");
  }
  return box;
}
