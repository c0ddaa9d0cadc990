/**
 * What the chaos runner has a page do: an application on the SDK that tells what it sees.
 *
 * The module comes from the node that serves the page, and stays when that node dies. `tell` is
 * Python's; its answer says that the ledger has it.
 */
async ({ urls, user, device, options }) => {
  const { connect } = await import("/static/switchboard.js");
  const client = connect(urls, { user, device, ...options });
  const tell = (what, fields) => globalThis.tell({ what, at_ms: performance.now(), ...fields });
  let since = "";
  client.on("state", ({ state, node, session, resumed, offset, code, reason }) => {
    if (state === "connecting") since = client.offset;
    tell("state", { state, node, session, resumed, offset, since, code, reason });
  });
  client.on("error", ({ code, message }) => tell("error", { text: `${code}: ${message}` }));
  // Handled is what the ledger has: only then is it acknowledged, and the next one is handed on.
  client.on("message", ({ id, from, data, offset, replay }) =>
    tell("message", { id, from, data, offset, replay }),
  );
}
