/** Who is online and where. */
import { byId, counted, make, mirror, setText } from "./dom.js";

const list = byId("people");
const empty = byId("people-empty");
const more = byId("people-more");
const suggestions = byId("known-users");
const filter = byId("filter");
const SHORT_CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });

/**
 * @param {{onPick: (user: string) => void, onFilter: (prefix: string) => void}} actions
 */
export function wirePeople({ onPick, onFilter }) {
  list.addEventListener("click", (event) => {
    const user = event.target.closest("button")?.dataset.user;
    if (user !== undefined) onPick(user);
  });
  filter.addEventListener("input", () => onFilter(filter.value.trim()));
}

/**
 * @param {object[]} users as the registry tells them
 * @param {{more: boolean, self: string}} page whether there are more, and who this page is
 */
export function showPeople(users, page) {
  mirror(list, users, (entry) => entry.user, createRow, (row, entry) => {
    fillRow(row, entry, page.self);
  });
  const nobody = filter.value.trim() ? "Nobody online has such a name." : "Nobody is online yet.";
  setText(empty, users.length === 0 ? nobody : "");
  setText(more, page.more ? "These are the first ones; filter by name to find others." : "");
  mirror(
    suggestions,
    users.filter((entry) => entry.user !== page.self),
    (entry) => entry.user,
    (entry) => make("option", { value: entry.user }),
    () => {},
  );
}

function createRow({ user }) {
  const pick = make("button", { type: "button", class: "pick", title: `Write to ${user}` });
  pick.dataset.user = user;
  pick.append(make("span", { class: "visually-hidden" }, "Write to "), make("bdi", {}, user));
  return make(
    "li",
    { class: "person" },
    pick,
    make("span", { class: "you" }),
    make("span", { class: "where" }),
    make("span", { class: "facts" }),
  );
}

function fillRow(row, entry, self) {
  setText(row.querySelector(".you"), entry.user === self ? "you" : "");
  setText(row.querySelector(".where"), entry.nodes.join(", "));
  const since = SHORT_CLOCK.format(new Date(entry.since * 1000));
  const several = entry.sessions > 1 ? `${counted(entry.sessions, "session")}, ` : "";
  setText(row.querySelector(".facts"), `${several}since ${since}`);
}
