// What an application may write, and what its compiler shall refuse; test_types.py checks it.
import { type Client, connect, type Message, SwitchboardError } from "../../node/web/static/switchboard.js";

interface Order {
  order: number;
}

const client: Client = connect(["wss://a.example/ws", "wss://b.example/ws"], {
  token: async () => "t",
  device: "web",
  since: "1795419635120-0",
  WebSocket: globalThis.WebSocket,
});
connect("/ws", { user: "alice" });
connect(({ failures, elsewhere }) => (elsewhere || failures > 3 ? "wss://b.example/ws" : "/ws"));

const off: () => void = client.on("message", async (message: Message<Order>) => {
  const sentAt: Date = message.sentAt;
  console.log(message.data.order, sentAt, message.offset ?? "not durable", message.replay);
});
off();
client.on("state", (status) => {
  if (status.state === "open") console.log(status.node, status.resumed);
  else if (status.state === "waiting") console.log(status.afterMs, status.reason);
  else if (status.state === "closed") console.log(status.code, status.said);
});
client.on("gap", ({ since, offset }) => console.log(since, offset));
client.on("error", (error) => console.log(error.code, error.message));

export async function main(): Promise<string> {
  const many = await client.send(["bob", "eve"], { sale: true });
  console.log(many.outcomes?.["bob"]);
  try {
    const { outcome, id } = await client.send("bob", 1, { durable: true, confirm: "acked", ttlMs: 5 });
    return `${outcome} ${id}`;
  } catch (error) {
    return error instanceof SwitchboardError ? error.code : "";
  }
}

// @ts-expect-error there is no such event
client.on("mesage", () => {});
// @ts-expect-error there is no such level
client.send("bob", 1, { confirm: "read" });
// @ts-expect-error times carry their unit
client.send("bob", 1, { ttl: 5 });
// @ts-expect-error it is told, not set
client.offset = "1-0";
