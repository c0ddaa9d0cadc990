/** The operator's key: asked for, and kept in memory, or in this tab if they wish. */
import { byId, setText } from "../view/dom.js";
import { keyProblem } from "./api.js";

const STORED = "switchboard.dashboard.key";

const section = byId("key");
const form = byId("key-form");
const field = /** @type {HTMLInputElement} */ (byId("key-field"));
const remember = /** @type {HTMLInputElement} */ (byId("key-remember"));
const problem = byId("key-problem");
const forget = byId("forget");

/**
 * @param {{onKey: (key: string) => void, onForget: () => void}} actions
 * @returns {string} the key that this tab remembers; "" for none
 */
export function wireKey({ onKey, onForget }) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = field.value.trim();
    const words = keyProblem(key);
    show(words);
    if (words) return;
    field.value = "";
    store(remember.checked ? key : "");
    onKey(key);
  });
  forget.addEventListener("click", () => {
    store("");
    onForget();
  });
  const key = stored();
  remember.checked = key !== "";
  return key;
}

/** @param {string} reason what was wrong with the key that was tried; "" when none was */
export function askForKey(reason) {
  store("");
  section.hidden = false;
  forget.hidden = true;
  show(reason);
}

/** @param {boolean} used whether a key is in use, that can be forgotten */
export function hideKeyForm(used) {
  section.hidden = true;
  forget.hidden = !used;
  setText(problem, "");
}

/** @param {string} words */
function show(words) {
  setText(problem, words);
  field.setAttribute("aria-invalid", String(words !== ""));
  field.focus();
}

/** @param {string} key "" for none */
function store(key) {
  try {
    if (key) sessionStorage.setItem(STORED, key);
    else sessionStorage.removeItem(STORED);
  } catch {
    // A browser that keeps nothing: then the key is only in memory.
  }
}

function stored() {
  try {
    return sessionStorage.getItem(STORED) ?? "";
  } catch {
    return "";
  }
}
