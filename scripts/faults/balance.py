"""The figures of a run, from its ledger. Pure."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from scripts.faults.book import SECOND, Book
from scripts.faults.checks import Finding
from scripts.faults.entries import Ns
from scripts.measuring.stats import percentile

_WANTED_TO_GO = ("left",)


def balance(book: Book, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the figures of a run; `findings` are what its checks have found."""
    count = Counter(finding.kind for finding in findings)
    got = [got for session in book.sessions.values() for got in session.got]
    rescues = rescue_seconds(book)
    final = book.final
    return {
        "seed": book.run.seed,
        "sent": len(book.messages),
        "durable": sum(message.sent.durable for message in book.messages.values()),
        "outcomes": dict(Counter(m.word or "none" for m in book.messages.values()).most_common()),
        "received": len(got),
        "replayed": sum(entry.replay for entry in got),
        "repeats_filtered": sum(entry.repeat for entry in got),
        **pages(book),
        "connections": len(book.sessions),
        "faults": dict(Counter(hurt.fault for hurt in book.hurts).most_common()),
        "misdelivered": count["misdelivered"],
        "lost": count["lost"],
        **reached(book),
        "longest_gap_s": longest_gap_s(book),
        "slowest_s": slowest_s(book),
        "rescued": len(rescues),
        "rescue_p50_s": _rounded(percentile(rescues, 50)),
        "rescue_p99_s": _rounded(percentile(rescues, 99)),
        "registry_right_after_s": final.took_s if final is not None else None,
        "broken_promises": dict(count),
    }


def pages(book: Book) -> dict[str, Any]:
    """Return how much of what was received was received by pages; {} where there were none."""
    if not book.run.pages:
        return {}
    users = set(book.run.pages)
    got = [got for s in book.sessions.values() if s.opened.user in users for got in s.got]
    durable = sum(bool(entry.offset) for entry in got)
    return {"pages": {"clients": len(users), "received": len(got), "received durable": durable}}


def reached(book: Book) -> dict[str, Any]:
    """Return how long after a master was killed every session had a message again.

    That is, one that was sent since then; of sessions that went on until they had one. Messages
    come when they are drawn, so it is a little longer than it took. {} where no master was killed.
    """
    longest = [
        max(first)
        for hurt in book.hurts
        if hurt.fault == "master-kill" and (first := list(_first_after(book, hurt.at)))
    ]
    if not longest:
        return {}
    return {"reached_after_master_kill_s": round(max(longest) / SECOND, 3)}


def _first_after(book: Book, start: Ns) -> Iterator[Ns]:
    """Yield how long after a moment each session that was there first read what was sent since."""
    read: dict[int, Ns] = {}
    for message in book.messages.values():
        if message.sent.at >= start:
            for session, got in message.got:
                if session.opened.at <= start:
                    c = session.opened.c
                    read[c] = min(read.get(c, got.at), got.at)
    yield from (at - start for at in read.values())


def longest_gap_s(book: Book) -> float:
    """Return the longest time for which a device that had not left was without a connection."""
    longest = 0
    for sessions in book.devices.values():
        for before, after in pairwise(sessions):
            if before.closed is not None and before.closed.why not in _WANTED_TO_GO:
                longest = max(longest, after.opened.at - before.closed.at)
    return round(longest / SECOND, 3)


def slowest_s(book: Book) -> float:
    """Return the longest time between a send and its first receipt."""
    times = [
        min(got.at for _, got in message.got) - message.sent.at
        for message in book.messages.values()
        if message.got
    ]
    return round(max(times, default=0) / SECOND, 3)


def rescue_seconds(book: Book) -> list[float]:
    """Return how long after a node's end those who came back elsewhere had what waited there.

    Only messages that are not durable and that nobody had before: those came by the rescue alone.
    """
    seconds = []
    for waiting in book.waiting:
        for n, _ in waiting.messages:
            message = book.messages.get(n)
            if message is None or message.sent.durable or not message.got:
                continue
            first = min(got.at for _, got in message.got)
            if first > waiting.at:
                seconds.append((first - waiting.at) / SECOND)
    return seconds


def _rounded(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(seconds, 3)
