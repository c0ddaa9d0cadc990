"""The plan of a run: what is broken when. Pure; the same seed gives the same plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from scripts.faults.options import LINK_FAULTS, MASTER_FAULTS, SLOT_MOVE, Options

STORE = "store"
SENDER = "sender"
CLIENTS = "clients"
ALL = "all"
OUTWARDS, INWARDS = "out", "in"
KILLED = "killed"  # a node that is cut off, in the middle of it
_FIRST_S = 1.5
_LAST_S = 1.0  # nothing is begun so shortly before the end
_GAP_S = (0.4, 3.4)
_QUICK_GAP_S = (0.2, 1.4)
_LONG_PARTING = 0.5  # share of the broken links that stay so for longer than a lease
_LONG_HANG = 0.5  # share of the masters that hang until they are replaced
_LONG = 0.25  # share of the pauses and holes that outlast a lease
_CUTS = ("reset", "bytes", "reply", "hole", "hole-in", "hole-out", "refuse")
_MOVES = ("move", "leave", "vanish", "storm", "deaf")
_KILLS = ("kill", "kill-full", "kill-rescuer")
_PLAIN_KILLS = ("kill", "kill-full")  # a rescuer is found out by its proxy
BEHIND = "behind"
_MASTER_KILLS = ("kill", BEHIND)
_MASTERS = 3
_STORE_FAULTS = ("redis-restart", "redis-hang", *MASTER_FAULTS, SLOT_MOVE)
_SIDES = (STORE, CLIENTS, ALL)
_LATE_MS = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is broken.

    Args:
        at_s: when, after the start.
        fault: which kind, of `options.FAULTS`.
        where: a node's name, `STORE`, `SENDER` or `CLIENTS`.
        how: which way, where the kind has several; of moved slots, the node whose inbox moves.
        lasts_s: how long; of a master that is killed, how much longer than it takes to replace it.
        amount: bytes until a cut, the n-th command, milliseconds of delay, share of the clients,
            number of the master, how many users' slots are moved.
        side: of links between hosts: those to the store, those to `CLIENTS` and senders, or `ALL`.
    """

    at_s: float
    fault: str
    where: str
    how: str = ""
    lasts_s: float = 0.0
    amount: float = 0.0
    side: str = ""


def node_names(count: int) -> tuple[str, ...]:
    """Return what the nodes of a run are called."""
    return tuple(f"n{number}" for number in range(1, count + 1))


def make_plan(options: Options) -> list[Step]:
    """Return the steps of a run, in order.

    Every kind comes once before any comes twice. What hits a node leaves it alone until it is over,
    and at least one node is always spared, so that clients have somewhere to go.
    """
    if not options.faults:
        return []
    rng = Random(f"plan {options.seed}")
    gap_s = _QUICK_GAP_S if options.quick else _GAP_S
    plan: list[Step] = []
    busy = dict.fromkeys((*node_names(options.nodes), STORE), 0.0)
    kinds: list[str] = []
    at_s = _FIRST_S
    while at_s < options.seconds - _LAST_S:
        if not kinds:
            kinds = list(options.faults)
            rng.shuffle(kinds)
        step = _draw(rng, options, kinds.pop(), round(at_s, 3), busy)
        if step is not None:
            plan.append(step)
            if step.where in busy:
                busy[step.where] = step.at_s + step.lasts_s + 1.0 + _mending_s(options, step.fault)
        at_s += rng.uniform(*gap_s)
    return plan


def _mending_s(options: Options, fault: str) -> float:
    """Return how long it takes at least until all is well again after a fault has lasted."""
    return 2 * options.replace_s if fault in MASTER_FAULTS else 0.0


def _draw(
    rng: Random, options: Options, fault: str, at_s: float, busy: dict[str, float]
) -> Step | None:
    """Return a step of a kind; None when everything it could hit is broken already."""
    if fault == "move":
        how = rng.choice(_MOVES)
        return Step(at_s, fault, CLIENTS, how, _s(rng, 0.3, 3.0), round(rng.uniform(0.05, 0.4), 3))
    if fault in _STORE_FAULTS:
        return _draw_store(rng, options, fault, at_s) if busy[STORE] <= at_s else None
    free = [name for name in node_names(options.nodes) if busy[name] <= at_s]
    if not free[1:]:
        return None
    if fault in LINK_FAULTS:
        return _hurt_link(rng, at_s, fault, rng.choice(free), options.lease_s)
    kills = _PLAIN_KILLS if options.hosts or options.several else _KILLS
    return _hurt_node(rng, at_s, fault, rng.choice(free), options.lease_s, kills)


def _draw_store(rng: Random, options: Options, fault: str, at_s: float) -> Step:
    if fault in MASTER_FAULTS:
        return _hurt_master(rng, at_s, fault, options.replace_s)
    if fault == SLOT_MOVE:
        node = rng.choice(node_names(options.nodes))
        return Step(at_s, fault, STORE, node, 0.0, rng.randint(3, 12))
    return _hurt_store(rng, at_s, fault, options.lease_s)


def _hurt_store(rng: Random, at_s: float, fault: str, lease_s: float) -> Step:
    if fault == "redis-hang":
        return Step(at_s, fault, STORE, "stop", _s(rng, 0.3, lease_s / 2))
    return Step(at_s, fault, STORE, rng.choice(("term", "kill")), _s(rng, 0.1, lease_s / 6))


def _hurt_master(rng: Random, at_s: float, fault: str, replace_s: float) -> Step:
    """Return a step that hits a master: which one, of those there are then, is its amount."""
    which = rng.randrange(_MASTERS)
    if fault == "failover":
        return Step(at_s, fault, STORE, "in order", 0.0, which)
    if fault == "master-kill":
        return Step(at_s, fault, STORE, rng.choice(_MASTER_KILLS), _s(rng, 0.2, 2.0), which)
    long = rng.random() < _LONG_HANG
    span = (2.0 * replace_s, 3.0 * replace_s) if long else (0.3, 0.6 * replace_s)
    return Step(at_s, fault, STORE, "long" if long else "short", _s(rng, *span), which)


def _hurt_link(rng: Random, at_s: float, fault: str, node: str, lease_s: float) -> Step:
    side = rng.choice(_SIDES)
    ways = {"one-way": (OUTWARDS, INWARDS), "part": ("both", "both", KILLED)}
    how = rng.choice(ways.get(fault, ("both",)))
    long = rng.random() < _LONG_PARTING
    lasts_s = _s(rng, 1.2 * lease_s, 2.0 * lease_s) if long else _s(rng, 0.3, 0.6 * lease_s)
    amount = _LATE_MS if fault == "late" else 0
    return Step(at_s, fault, node, how, lasts_s, amount, side)


def _hurt_node(
    rng: Random, at_s: float, fault: str, node: str, lease_s: float, kills: Sequence[str]
) -> Step:
    if fault == "kill":
        return Step(at_s, fault, node, rng.choice(kills), _s(rng, 0.2, 4.0), rng.randint(1, 3))
    if fault == "pause":
        long = rng.random() < _LONG
        span = (1.3 * lease_s, 1.7 * lease_s) if long else (0.3, 0.6 * lease_s)
        return Step(at_s, fault, node, "long" if long else "short", _s(rng, *span))
    if fault == "drain":
        return Step(at_s, fault, node, "term", _s(rng, 0.1, 1.0))
    if fault == "slow":
        return Step(at_s, fault, node, "delay", _s(rng, 0.5, 4.0), rng.randint(2, 60))
    return _cut(rng, at_s, rng.choice((node, node, SENDER)), lease_s)


def _cut(rng: Random, at_s: float, where: str, lease_s: float) -> Step:
    how = rng.choice(_CUTS)
    lasts_s = _s(rng, 0.3, 0.5 * lease_s)
    if how in ("reset", "bytes", "reply"):
        lasts_s = 0.5
    elif rng.random() < _LONG:
        lasts_s = _s(rng, 1.2 * lease_s, 1.5 * lease_s)
    amount = rng.randint(1, 4) if how == "reply" else rng.randint(20, 6_000)
    return Step(at_s, "cut", where, how, lasts_s, amount)


def _s(rng: Random, low: float, high: float) -> float:
    return round(rng.uniform(low, high), 3)
