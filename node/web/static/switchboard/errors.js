/** What this module raises on purpose. */

/**
 * A send that was refused, or something the application should hear of. `code` is the node's own
 * (docs/api.md has the table), or one of ours:
 *
 * - `queue_full`: too many sends wait for their outcome already; nothing was sent
 * - `not_connected`: there was no connection within the send's `timeoutMs`; nothing was sent
 * - `closed`: the client was closed before the message could leave; nothing was sent
 * - `too_large`: the message is over the limit of the node; nothing was sent
 * - `no_token`: the function that fetches tokens has failed, or gave what cannot be sent as one;
 *   it is asked again on the next try
 * - `no_address`: the function that chooses the address has failed, or gave none
 * - `handler_failed`: a handler of the application threw; `cause` is what it threw
 * - `bad_frame`: the node sent something that is not JSON
 */
export class SwitchboardError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{cause?: unknown}} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    this.name = "SwitchboardError";
    this.code = code;
  }
}
