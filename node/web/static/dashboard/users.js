/** One user: looked up, shown, and disconnected. */
import { userProblem } from "../view/data.js";
import { byId, counted, make, mirror, setText, timeOfDay } from "../view/dom.js";
import { inWords } from "./api.js";
import { ask } from "./ask.js";
import { count, duration } from "./figures.js";

/** @typedef {{session: string, node: string, device: string, address: string, since: number}} Session */
/** @typedef {{user: string, online: boolean, sessions: Session[], mailbox: number,
 *   last_seen: number | null}} User */

const SUGGEST_AFTER_MS = 200;
const SUGGESTIONS = 10;

const form = byId("user-form");
const field = /** @type {HTMLInputElement} */ (byId("user"));
const problem = byId("user-problem");
const done = byId("user-done");
const found = byId("user-found");
const sessions = byId("sessions");
const kickAll = byId("kick-all");
const suggestions = byId("known-users");

export class Users {
  #api;
  /** The user that is shown; "" for none. */
  #shown = "";
  /** Counts look-ups: only the answer to the last one is shown. */
  #asked = 0;

  /** @param {import("./api.js").Api} api @param {(user: string) => void} onFound */
  constructor(api, onFound) {
    this.#api = api;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      setText(done, "");
      const user = field.value.trim();
      const words = userProblem(user);
      this.#complain(words);
      if (words) field.focus();
      else if (await this.#lookUp(user)) onFound(user);
    });
    sessions.addEventListener("click", (event) => {
      const target = /** @type {Element} */ (event.target);
      const session = target.closest("button")?.dataset["session"];
      if (session !== undefined) this.#kick(session);
    });
    kickAll.addEventListener("click", () => this.#kick(""));
  }

  /** @param {HTMLInputElement} input offer those who are online while somebody types there */
  suggestTo(input) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#suggest(input.value.trim()), SUGGEST_AFTER_MS);
    });
  }

  /** @param {string} prefix */
  async #suggest(prefix) {
    if (userProblem(prefix)) return;
    const query = new URLSearchParams({ prefix, limit: String(SUGGESTIONS) });
    /** @type {{user: string}[]} */
    let users;
    try {
      ({ users } = await this.#api.ask(`/api/v1/users?${query}`));
    } catch {
      return; // a help for typing, no more
    }
    mirror(
      suggestions,
      users,
      (entry) => entry.user,
      (entry) => make("option", { value: entry.user }),
      () => {},
    );
  }

  /** @param {string} user @returns {Promise<boolean>} whether they are shown now */
  async #lookUp(user) {
    const turn = ++this.#asked;
    try {
      const status = await this.#api.ask(`/api/v1/users/${encodeURIComponent(user)}`);
      if (turn !== this.#asked) return false;
      this.#shown = user;
      showUser(status);
      return true;
    } catch (error) {
      if (turn === this.#asked) this.#complain(`They cannot be looked up: ${inWords(error)}.`);
      return false;
    }
  }

  /** @param {string} session its id; "" for all of them */
  async #kick(session) {
    const user = this.#shown;
    const which = session ? `session ${session}` : "all sessions";
    const sure = await ask({
      title: `Kick ${which} of ${user}?`,
      words:
        "The connection is closed with 4410, which tells the client not to come back by itself. " +
        "Nothing keeps the user from connecting again, and stored messages stay.",
      yes: session ? "Kick it" : "Kick all",
    });
    if (!sure) return;
    const path = `/api/v1/users/${encodeURIComponent(user)}/sessions`;
    try {
      const one = session ? `/${encodeURIComponent(session)}` : "";
      const { closed } = await this.#api.ask(path + one, { method: "DELETE" });
      setText(done, `${counted(closed, "session")} of ${user} closed.`);
      this.#complain("");
    } catch (error) {
      this.#complain(`Nobody was kicked: ${inWords(error)}.`);
      return;
    }
    found.focus(); // the button that was pressed may be gone
    await this.#lookUp(user);
  }

  /** @param {string} words */
  #complain(words) {
    setText(problem, words);
    field.setAttribute("aria-invalid", String(words !== ""));
  }
}

/** @param {User} user */
function showUser(user) {
  found.hidden = false;
  setText(byId("found-name"), user.user);
  setText(byId("found-state"), user.online ? "online" : "offline");
  byId("found-state").dataset["tone"] = user.online ? "good" : "";
  const facts = [
    { name: "Sessions", value: count(user.sessions.length) },
    { name: "Devices", value: devicesOf(user) },
    { name: "Mailbox", value: user.mailbox ? counted(user.mailbox, "message") : "empty" },
    { name: "Last seen", value: lastSeen(user) },
  ];
  mirror(byId("found-facts"), facts, (fact) => fact.name, createFact, fillFact);
  mirror(sessions, user.sessions, (each) => each.session, createSession, () => {});
  kickAll.hidden = user.sessions.length < 2;
}

/** @param {User} user */
function devicesOf(user) {
  const devices = [...new Set(user.sessions.map((session) => session.device))];
  return devices.length > 0 ? devices.join(", ") : "none connected";
}

/** @param {User} user */
function lastSeen(user) {
  if (user.online) return "now";
  if (user.last_seen === null) return "not known";
  return `${duration(Date.now() / 1000 - user.last_seen)} ago`;
}

/** @param {{name: string}} fact */
const createFact = ({ name }) => make("div", {}, make("dt", {}, name), make("dd", {}));

/** @param {HTMLElement} element @param {{value: string}} fact */
function fillFact(element, { value }) {
  setText(/** @type {Element} */ (element.lastElementChild), value);
}

/** @param {Session} session */
function createSession(session) {
  const kick = make("button", { type: "button", class: "quiet danger" }, "Kick");
  kick.dataset["session"] = session.session;
  kick.setAttribute("aria-label", `Kick session ${session.session}`);
  const since = timeOfDay(new Date(session.since * 1000));
  return make(
    "li",
    { class: "session" },
    make(
      "div",
      {},
      make("span", { class: "session-device" }, session.device),
      " on ",
      make("span", {}, session.node),
      make("span", { class: "hint" }, `${session.session} · ${session.address} · since ${since}`),
    ),
    kick,
  );
}
