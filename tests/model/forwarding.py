"""Sending a copy on to where its user is now (router/forwarding.py), for readers and rescuers."""

from collections.abc import Iterator

from tests.model import ledger, store
from tests.model.draft import Draft
from tests.model.rules import MAX_HOPS, Rules
from tests.model.state import (
    GONE,
    HERE,
    OFFLINE,
    PUSH,
    SENT,
    SETTLED,
    UNSURE,
    Copy,
    Item,
    Node,
    State,
    Step,
)

Batch = tuple[Item, ...]


def settled(batch: Batch) -> bool:
    """Say whether nothing of a batch must be sent on any more."""
    return all(item.fate in SETTLED for item in batch)


def send_on(
    rules: Rules, state: State, node: Node, batch: Batch, *, rescue: bool
) -> Iterator[tuple[Step, Draft, Batch | None]]:
    """Take the next step for the first item that is not settled.

    Yields the batch as it is then; None when the store was lost in the middle (`SwitchboardError`).
    """
    place = next(number for number, item in enumerate(batch) if item.fate not in SETTLED)
    item = batch[place]
    d = Draft(state)
    who = "rescuer" if rescue else "reader"
    if item.fate == GONE:
        item = _look_up(d, rules, node, item, rescue=rescue)
        step: Step = (f"{who} looks up", node.name, item.copy.message, item.closed)
    else:
        step = (f"{who} pushes on", node.name, item.copy.message, item.to[0])
        lost = rules.spend(state, "lose")
        if lost is not None:
            lost.run_later("push", item.to[0], (_onward(item),))
            yield (f"{who} pushes on, reply lost", *step[1:]), lost, None
        item = _push(d, rules, item)
    yield step, d, (*batch[:place], item, *batch[place + 1 :])


def _look_up(d: Draft, rules: Rules, node: Node, item: Item, *, rescue: bool) -> Item:
    """forget.lua: remove the routes that led here, and look up what remains."""
    message = rules.messages[item.copy.message]
    keep: tuple[int, ...] = ()
    if item.closed == node.endpoint:
        keep = tuple(session.id for session in node.sessions if session.user == message.user)
    if "bounce_keeps_route" in rules.broken and not rescue:
        endpoints = store.look_up(d, rules, message.user)
    else:
        endpoints = store.forget(d, rules, message.user, item.closed, keep)
    if not endpoints:
        return _nobody(d, rules, node, item)
    if item.copy.hop >= MAX_HOPS:
        d.violate("more hops than there can be moves")
        return item._replace(fate=UNSURE)
    return item._replace(fate=PUSH, to=endpoints, sure=False, pushed=False)


def _nobody(d: Draft, rules: Rules, node: Node, item: Item) -> Item:
    d.fates |= {item.copy.message}
    if item.copy.offset:
        return item._replace(fate=OFFLINE)
    if item.sure and "offline_before_trim" in rules.broken:
        ledger.answer(d, rules, node.name, item.copy.message, ledger.OFFLINE)
        return item._replace(fate=HERE)
    return item._replace(fate=OFFLINE if item.sure else UNSURE)


def _onward(item: Item) -> Copy:
    return item.copy._replace(hop=item.copy.hop + 1)


def _push(d: Draft, rules: Rules, item: Item) -> Item:
    """Push to the next endpoint; when all were tried and none took it, look up again."""
    endpoint, rest = item.to[0], item.to[1:]
    if store.push(d, rules, endpoint, (_onward(item),)) > 0:
        item = item._replace(pushed=True)
    elif not item.pushed:
        item = item._replace(closed=endpoint)
    if rest:
        return item._replace(to=rest)
    return item._replace(fate=SENT if item.pushed else GONE, to=())
