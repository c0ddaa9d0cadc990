"""What each error reply of the store means: one table, and nobody else looks at their words.

An error reply has two good sides: the store lives, and the command has not run. (A script that
wrote before it failed would be an exception; ours fail at their first write or not at all.)
Source: https://github.com/redis/redis/blob/7.0.0/src/server.c, createSharedObjects.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Meaning(StrEnum):
    """What is done about an error reply."""

    LOAD = "load"
    """The store has forgotten our scripts: they are loaded, and the command goes once more."""
    REPEAT = "repeat"
    """It passes in a moment: the command goes again, within a bound; then as `UNAVAILABLE`."""
    MOVED = "moved"
    """Another server of the Cluster has the key: the command goes there. With a single server it is
    `REFUSED`: it was taken for one that is alone."""
    ASK = "ask"
    """Another server is only just being given the key: this command goes there; see `MOVED`."""
    BUSY = "busy"
    """The store is full: a send is `busy`; anything else is a `StoreRefused`."""
    UNAVAILABLE = "unavailable"
    """The store serves nobody, or no writes, for now: as if it were away."""
    GARBAGE = "garbage"
    """Another type than ours stands there: passed over where others would suffer for it; else as
    `REFUSED`."""
    REFUSED = "refused"
    """Somebody must mend something: a `StoreRefused` with the store's own words."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One row of the table.

    Args:
        meaning: what is done about it.
        elsewhere: whether the store may be found elsewhere by now, so that the connection on which
            the error came is given up for a new one.
    """

    meaning: Meaning
    elsewhere: bool = False


TROUBLES: Final = {
    "NOSCRIPT": Trouble(Meaning.LOAD),
    "TRYAGAIN": Trouble(Meaning.REPEAT),
    "MOVED": Trouble(Meaning.MOVED),
    "ASK": Trouble(Meaning.ASK),
    "OOM": Trouble(Meaning.BUSY),
    "LOADING": Trouble(Meaning.UNAVAILABLE),
    "BUSY": Trouble(Meaning.UNAVAILABLE),
    "MISCONF": Trouble(Meaning.UNAVAILABLE),
    "NOREPLICAS": Trouble(Meaning.UNAVAILABLE),
    "CLUSTERDOWN": Trouble(Meaning.UNAVAILABLE),
    "READONLY": Trouble(Meaning.UNAVAILABLE, elsewhere=True),
    "MASTERDOWN": Trouble(Meaning.UNAVAILABLE, elsewhere=True),
    "NOAUTH": Trouble(Meaning.REFUSED, elsewhere=True),
    "NOPERM": Trouble(Meaning.REFUSED),
    "WRONGPASS": Trouble(Meaning.REFUSED),
    "WRONGTYPE": Trouble(Meaning.GARBAGE),
}
OTHER: Final = Trouble(Meaning.REFUSED)
"""Any error that has no row."""


def known_kind(error: str) -> str:
    """Return the first word of an error reply if it has a row, else `other`."""
    word = error.partition(" ")[0]
    return word if word in TROUBLES else "other"


def trouble_of(error: str) -> Trouble:
    """Return what an error reply means, by its first word."""
    return TROUBLES.get(error.partition(" ")[0], OTHER)
