/** The driver `chromium`: obeys `command(object)`, and calls `emit(object)`, which Python provides. */
import { connect } from "/static/switchboard.js";

import { Commands } from "./commands.mjs";

const commands = new Commands(connect, {}, (event) => globalThis.emit(event));
globalThis.command = (object) => {
  commands.obey(object);
};
