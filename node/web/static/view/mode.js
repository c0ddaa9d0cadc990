/** What the page says of the delivery mode, where it is not the one the page was written for. */
import { byId, setText } from "./dom.js";

const EVERY_NODE =
  "Each node below holds its own users. Every message is handed to every node, and each writes " +
  "only those of its own users: send one, and all received counters move.";

const MODES = {
  channel: {
    title: "One message, one channel",
    words:
      "Each node below holds its own users and listens to their channels. A message is published " +
      "on its recipient's channel: send one, and only the listening node's received counter moves.",
  },
  broadcast: { title: "One message, every node", words: EVERY_NODE },
  fanout: { title: "One message, every node", words: EVERY_NODE },
};

/** @param {string} mode as the cluster calls it */
export function explainMode(mode) {
  const told = MODES[mode];
  if (told === undefined) return;
  setText(byId("mode-title"), told.title);
  setText(byId("mode-words"), told.words);
  setText(byId("accepted-option"), "accepted: handed on for delivery");
}
