/** What a driver does at a command, and what it tells of its client; ../drivers.py has the words. */

const milliseconds = (seconds) => (seconds === undefined ? undefined : seconds * 1000);

/** Without the fields that have no value: they must not override defaults. */
const given = (fields) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const optionsOf = ({ user, device, options = {} }) =>
  given({
    user,
    device,
    since: options.since,
    token: options.tokens && inTurn(options.tokens),
    retryBaseMs: milliseconds(options.retry_base_s),
    retryCapMs: milliseconds(options.retry_cap_s),
    pingIntervalMs: milliseconds(options.ping_interval_s),
    maxSends: options.max_sends,
    maxMessages: options.max_messages,
  });

function inTurn(tokens) {
  let asked = 0;
  return async () => tokens[Math.min(asked++, tokens.length - 1)];
}

export class Commands {
  #connect;
  #extra;
  #emit;
  #client = null;
  #ack = "handled";
  /** Messages that the scenario may acknowledge, by id. */
  #messages = new Map();

  /**
   * @param {Function} connect of the SDK
   * @param {object} extra options that every client gets here
   * @param {(event: object) => void} emit
   */
  constructor(connect, extra, emit) {
    this.#connect = connect;
    this.#extra = extra;
    this.#emit = emit;
  }

  async obey(command) {
    const { n } = command;
    try {
      const result = await this[command.do](command);
      this.#emit({ event: "done", n, result: result ?? null });
    } catch (error) {
      const { code = "bug", message } = error;
      this.#emit({ event: "failed", n, error: { code, message } });
    }
  }

  connect({ urls, ...command }) {
    const client = this.#connect(urls, {
      ...this.#extra,
      ...optionsOf(command),
      ack: this.#ack,
    });
    this.#client = client;
    const handlerMs = milliseconds(command.options?.handler_s ?? 0);
    client.on("state", (status) => this.#told(status));
    client.on("gap", () => this.#emit({ event: "gap" }));
    client.on("error", (error) => console.error(`${error.code}: ${error.message}`));
    client.on("message", async (message) => {
      const { id, from, data, offset, replay } = message;
      this.#messages.set(id, message);
      this.#emit({ event: "message", id, from, data, ...given({ offset, replay }) });
      if (handlerMs > 0) await new Promise((resolve) => setTimeout(resolve, handlerMs));
    });
  }

  async send({ to, data, durable, confirm, ttl_s, key, timeout_s }) {
    const times = { ttlMs: milliseconds(ttl_s), timeoutMs: milliseconds(timeout_s) };
    const options = given({ durable, confirm, key, ...times });
    const { id, user, outcome, reason } = await this.#client.send(to, data, options);
    return given({ id, user, outcome, reason });
  }

  ack_mode({ manual }) {
    this.#ack = manual ? "manual" : "handled";
  }

  ack({ id }) {
    this.#client.ack(this.#messages.get(id) ?? { id });
  }

  close() {
    this.#client?.close();
  }

  #told({ state, url, session, node, resumed, offset, code, afterMs, reason, said }) {
    const told = { url, session, node, resumed, offset, code, after_ms: afterMs };
    this.#emit({ event: "state", state, ...given({ ...told, reason: said || reason }) });
  }
}
