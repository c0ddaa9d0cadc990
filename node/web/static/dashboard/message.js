/** A test message: sent, its outcome told, and what happened to it step by step. */
import { outcomeWords } from "../outcomes.js";
import { readData, userProblem } from "../view/data.js";
import { byId, make, mirror, setText } from "../view/dom.js";
import { inWords, Refusal } from "./api.js";

/** @typedef {{at: number, node: string, step: string, detail?: unknown}} Step */

/** Nodes write their steps down on their own time: look this often, so far apart. */
const LOOKS = 12;
const LOOK_EVERY_MS = 250;
/** `unknown` and `busy` are outcomes, though HTTP calls them errors. */
const OUTCOME_STATUSES = [503, 504];

/** @type {Record<string, string>} */
const STEPS = {
  accepted: "The node that was asked took it on",
  looked_up: "The registry was asked who holds the user",
  pushed: "It was put into a node's inbox",
  taken: "The node took it out of its inbox",
  written: "It was written to the socket",
  proved: "A receipt came back to the sender",
  settled: "The outcome was told to the sender",
};

/** @type {Record<string, string>} */
const CONFIRMS = {
  acked: "acked: their application has handled it",
  delivered: "delivered: the client proved it",
  written: "written: to the user's socket",
  accepted: "accepted: in the node's inbox",
};

const form = byId("test-form");
const to = /** @type {HTMLInputElement} */ (byId("test-to"));
const typed = /** @type {HTMLInputElement} */ (byId("test-data"));
const confirm = /** @type {HTMLSelectElement} */ (byId("test-confirm"));
const problem = byId("test-problem");
const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
const badge = byId("test-outcome");
const words = byId("test-words");
const steps = byId("steps");
const traceWords = byId("trace-words");

export class TestMessage {
  #api;
  /** Counts messages: only the last one is followed. */
  #turn = 0;

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.#api = api;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const user = to.value.trim();
      const wrong = userProblem(user);
      setText(problem, wrong);
      to.setAttribute("aria-invalid", String(wrong !== ""));
      if (wrong) to.focus();
      else this.#send(user);
    });
  }

  /** @param {string[]} confirms the levels that the cluster can promise, rising */
  offerConfirms(confirms) {
    const chosen = confirm.value;
    const known = [...confirms].reverse().filter((level) => level in CONFIRMS);
    mirror(
      confirm,
      known,
      (level) => level,
      (level) => make("option", { value: level }, CONFIRMS[level] ?? level),
      () => {},
    );
    const wanted = chosen || "delivered";
    confirm.value = known.includes(wanted) ? wanted : (known[0] ?? "");
  }

  /** @param {string} user whom to write to next */
  addressTo(user) {
    to.value = user;
    to.setAttribute("aria-invalid", "false");
    setText(problem, "");
  }

  /** @param {string} user */
  async #send(user) {
    const turn = ++this.#turn;
    const startedAt = performance.now();
    showOutcome("", "sending", "");
    showSteps([]);
    setText(traceWords, "");
    button.setAttribute("aria-disabled", "true");
    try {
      const path = `/api/v1/users/${encodeURIComponent(user)}/messages?trace=true`;
      const body = { data: readData(typed.value).data, confirm: confirm.value || null };
      const answer = await this.#api.ask(path, { method: "POST", body, accept: OUTCOME_STATUSES });
      if (turn !== this.#turn) return;
      if (!answer.outcome) throw new Refusal(answer.detail ?? answer.title ?? "no reason given", 0);
      showAnswer(answer, user, Math.round(performance.now() - startedAt));
      await this.#follow(answer.trace, turn);
    } catch (error) {
      if (turn === this.#turn) showOutcome("bad", "not sent", `It was refused: ${inWords(error)}.`);
    } finally {
      if (turn === this.#turn) button.removeAttribute("aria-disabled");
    }
  }

  /**
   * @param {string | undefined} trace its id
   * @param {number} turn
   */
  async #follow(trace, turn) {
    if (!trace) {
      setText(traceWords, "This node keeps no traces of messages.");
      return;
    }
    setText(traceWords, "Collecting its steps.");
    let found = 0;
    let said = "no step was written down";
    for (let look = 0; look < LOOKS; look += 1) {
      try {
        const answer = await this.#api.ask(`/api/v1/traces/${encodeURIComponent(trace)}`);
        if (turn !== this.#turn) return;
        const known = inOrder(answer.steps);
        found = known.length;
        showSteps(known);
        if (known.some((step) => step.step === "settled")) break;
      } catch (error) {
        said = inWords(error);
        if (!(error instanceof Refusal) || error.status !== 404) break;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      if (turn !== this.#turn) return;
    }
    const told = "Times are good to some milliseconds only from one node to another.";
    setText(traceWords, found > 0 ? told : `There is no trace of it: ${said}.`);
  }
}

/**
 * @param {{outcome: string, reason?: string}} answer
 * @param {string} user
 * @param {number} tookMs
 */
function showAnswer({ outcome, reason }, user, tookMs) {
  const known = outcomeWords(outcome);
  const because = reason ? ` Reason: ${reason.replace(/\.$/, "")}.` : "";
  showOutcome(known.tone, outcome, `${known.words(user)}${because} After ${tookMs} ms.`);
}

/** @param {string} tone @param {string} label @param {string} text */
function showOutcome(tone, label, text) {
  setText(badge, label);
  badge.dataset["tone"] = tone;
  setText(words, text);
}

/**
 * The times of two nodes differ by some milliseconds, and a message that is taken before it was pushed
 * makes no sense to anybody: the kind of step comes first, then its time.
 *
 * @param {Step[]} told
 */
function inOrder(told) {
  const kinds = Object.keys(STEPS);
  /** @param {Step} step */
  const place = ({ step }) => (kinds.includes(step) ? kinds.indexOf(step) : kinds.length);
  return [...told].sort((a, b) => place(a) - place(b) || a.at - b.at);
}

/** @param {number} ms @returns {string} */
function inTime(ms) {
  const size = Math.abs(ms).toLocaleString("en", { maximumFractionDigits: 1 });
  return `${ms < 0 ? "\u2212" : "+"}${size} ms`;
}

/** @param {Step[]} known in order */
function showSteps(known) {
  const began = known[0]?.at ?? 0;
  mirror(
    steps,
    known,
    (step) => `${step.at}/${step.node}/${step.step}`,
    () =>
      make(
        "li",
        {},
        make("span", { class: "step-time" }),
        make(
          "span",
          {},
          make("span", { class: "step-name" }),
          " ",
          make("span", { class: "step-detail" }),
        ),
        make("span", { class: "step-node" }),
      ),
    (item, step) => {
      /** @param {string} name @param {string} text */
      const fill = (name, text) =>
        setText(/** @type {Element} */ (item.querySelector(`.step-${name}`)), text);
      fill("time", inTime((step.at - began) * 1000));
      fill("name", STEPS[step.step] ?? step.step);
      fill("node", step.node);
      fill("detail", inText(step.detail));
    },
  );
}

/** @param {unknown} detail @returns {string} */
function inText(detail) {
  if (detail === undefined || detail === null) return "";
  return typeof detail === "string" ? detail : JSON.stringify(detail);
}
