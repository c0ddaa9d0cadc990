/** Which node to connect to. Decides only: what is known comes in, an address goes out. */

const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** @param {string} address `host:port` */
const hostOf = (address) => address.slice(0, address.lastIndexOf(":"));
const portOf = (address) => address.slice(address.lastIndexOf(":") + 1);

/**
 * @param {string} address `host:port` of a node
 * @param {string} pageHost `location.host`
 * @returns {boolean} whether that node served this page; `localhost` is 127.0.0.1 by another name
 */
export function servedBy(address, pageHost) {
  if (address === pageHost) return true;
  const bothLocal = LOOPBACK.has(hostOf(address)) && LOOPBACK.has(hostOf(pageHost));
  return bothLocal && portOf(address) === portOf(pageHost);
}

/**
 * The page's security policy lets it reach its own node and this machine, nothing else; a policy
 * has no words for other ports of an IPv6 address.
 *
 * @param {string} address
 * @param {string} pageHost
 */
export function reachable(address, pageHost) {
  return address === pageHost || (LOOPBACK.has(hostOf(address)) && hostOf(address) !== "[::1]");
}

/**
 * @param {{address: string, state: string}[]} nodes as last heard of
 * @param {string} wanted the address that was asked for
 * @param {{failures: number, elsewhere: boolean}} situation see `Situation` in
 *   switchboard.d.ts
 * @returns {string} the address to try next: the wanted one, unless it is known to be away, has
 *   asked to go elsewhere, or has failed three times (then each live one gets its turn)
 */
export function chooseAddress(nodes, wanted, { failures, elsewhere }) {
  const live = nodes.filter((node) => node.state === "live").map((node) => node.address);
  const others = live.filter((address) => address !== wanted);
  const away = nodes.length > 0 && !live.includes(wanted);
  if (others.length === 0 || !(elsewhere || away || failures >= 3)) return wanted;
  const candidates = elsewhere || away ? others : [wanted, ...others];
  return candidates[failures % candidates.length];
}
