/** The form that sends. */
import { readData, userProblem } from "./data.js";
import { byId, setText } from "./dom.js";

const form = byId("send-form");
const to = byId("to");
const typed = byId("data");
const confirm = byId("confirm");
const durable = byId("durable");
const durableChoice = byId("durable-choice");
const kind = byId("data-kind");
const problem = byId("send-problem");

/**
 * @param {(to: string, data: unknown, options: {confirm: string, durable: boolean}) => string} onSend
 *   answers with what is wrong, "" when it is on its way
 */
export function wireCompose(onSend) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const user = to.value.trim();
    const words = userProblem(user);
    to.setAttribute("aria-invalid", String(words !== ""));
    if (words) {
      setText(problem, words);
      to.focus();
      return;
    }
    if (typed.value === "") {
      setText(problem, "Please type a message.");
      typed.focus();
      return;
    }
    const options = { confirm: confirm.value, durable: !durableChoice.hidden && durable.checked };
    const refusal = onSend(user, readData(typed.value).data, options);
    setText(problem, refusal);
    if (refusal) return; // what was typed stays, to be sent when it can be
    typed.value = "";
    describe();
    typed.focus();
  });
  typed.addEventListener("keydown", (event) => {
    // An Enter that ends the input of a composed character is not meant for us.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  typed.addEventListener("input", describe);
  describe();
}

/** @param {string[]} confirms the levels that can be promised; others are not offered */
export function offerConfirms(confirms) {
  for (const option of [...confirm.options]) {
    if (!confirms.includes(option.value)) option.remove();
  }
}

/** @param {boolean} can whether the cluster keeps messages for those who are away */
export function offerDurable(can) {
  durableChoice.hidden = !can;
}

function describe() {
  const { isJson } = readData(typed.value);
  const format = isJson ? "Goes out as JSON." : "Goes out as text.";
  setText(kind, typed.value === "" ? "Text, or JSON if it parses." : format);
}

/** Where to go on once connected: the first field that is still empty. */
export function focusCompose() {
  (to.value ? typed : to).focus();
}

/** @param {string} user whom to write to next */
export function addressTo(user) {
  to.value = user;
  to.setAttribute("aria-invalid", "false");
  setText(problem, "");
  typed.focus();
}
