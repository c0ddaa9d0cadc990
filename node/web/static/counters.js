/** What the nodes' counters did between two looks: numbers only, nothing of the page. */

/** Totals belong to a process: a restarted node has another, one that was fenced keeps its own. */
export const processKey = (node) => `${node.name}/${node.pid}`;

/** The `received` totals of all nodes, and who moved last. */
export class Counters {
  /** Totals at the last look, by process; null before the first. */
  #totals = null;
  #rises = new Map();

  /**
   * @param {{name: string, pid: number, state: string, received: number}[]} nodes
   * @returns {boolean} whether a counter has risen since the last look; at the first one none has
   */
  look(nodes) {
    if (nodes.length === 0) return false;
    const old = this.#totals;
    const known = old ?? new Map();
    this.#totals = new Map(nodes.map((node) => [processKey(node), totalOf(node, known)]));
    if (old === null) return false;
    const rises = nodes
      .filter((node) => node.state !== "lost")
      .map((node) => [processKey(node), this.total(node) - (known.get(processKey(node)) ?? 0)])
      .filter(([, by]) => by > 0);
    if (rises.length > 0) this.#rises = new Map(rises);
    return rises.length > 0;
  }

  /** @returns {number} what this node has received since it started */
  total(node) {
    return this.#totals?.get(processKey(node)) ?? node.received;
  }

  /** @returns {number} by how much its counter rose when counters rose last; 0 if it did not */
  rise(node) {
    return this.#rises.get(processKey(node)) ?? 0;
  }
}

/** A lost node tells no totals; should it come back, it goes on where it was. */
function totalOf(node, known) {
  return node.state === "lost" ? (known.get(processKey(node)) ?? node.received) : node.received;
}
