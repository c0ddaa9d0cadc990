/** The driver `node`: obeys commands on standard input, one JSON object a line. */
import { createInterface } from "node:readline";

import { connect } from "../../../node/web/static/switchboard.js";
import { Commands } from "./commands.mjs";

const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket;
const emit = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const commands = new Commands(connect, { WebSocket }, emit);

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.do === "exit") break;
  commands.obey(command);
}
// A client that was closed lets the process end by itself; one that was not is closed here.
commands.close();
process.stdin.destroy();
