/** The one dialog: asks before something that cannot be undone. */
import { byId, setText } from "../view/dom.js";

const dialog = /** @type {HTMLDialogElement} */ (byId("ask"));
const yes = byId("ask-yes");
const no = byId("ask-no");

/**
 * @param {{title: string, words: string, yes: string}} question `yes`: what the button says that
 *   does it
 * @returns {Promise<boolean>} whether it may be done; Escape means no
 */
export function ask(question) {
  setText(byId("ask-title"), question.title);
  setText(byId("ask-words"), question.words);
  setText(yes, question.yes);
  dialog.returnValue = "";
  dialog.showModal();
  no.focus(); // an Enter too many does nothing
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

yes.addEventListener("click", () => dialog.close("yes"));
no.addEventListener("click", () => dialog.close(""));
