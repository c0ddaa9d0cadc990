"""Commands under way to one server or to several, until each has its final answer."""

import asyncio
import random
from collections.abc import Sequence
from enum import Enum, auto
from functools import partial
from typing import Any, Final, Protocol

from hiredis import ReplyError

from router.store import scripts
from router.store.answers import Answered, NoReply, Thin
from router.store.link import Link
from router.store.resp import Command, pack
from router.store.trouble import Meaning, Trouble, trouble_of

# How long a command is repeated that the store will take in a moment, and how far apart.
REPEAT_FOR_S: Final = 2.0
_PAUSE_S: Final = 0.2
# So long a write may take to its replicas.
_REPLICAS_S: Final = 1.0


class Way(Enum):
    """How a command goes to a server."""

    PLAIN = auto()
    LOADED = auto()  # behind the scripts, which it had forgotten
    ASKING = auto()  # to a server that is only just being given the key


class Links(Protocol):
    """Who knows which link leads where."""

    follows: bool
    """Whether another server may have a key, and is to be asked then."""

    def link_of(self, key: str) -> Link:
        """Return the link to the server that holds `key`; one that is down if there is none."""

    def redirected(self, error: ReplyError) -> Link:
        """Return the link to the server that a MOVED or an ASK names."""

    def coming(self, link: Link) -> bool:
        """Say whether a link that is down is only just being made."""

    def heard(self, link: Link, trouble: Trouble, error: ReplyError) -> None:
        """Take note of an error reply."""


class Flight:
    """One `Store.send`: commands go to whoever holds their keys, and again where that is due.

    A reply that is an error says that its command has not run, so that may be repeated; what found
    no reply never is.

    Args:
        links: where keys are.
        commands: what is sent.
        done: gets the answers.
        replicas: see `Store.send`.
    """

    __slots__ = (
        "_again",
        "_answers",
        "_commands",
        "_done",
        "_give_up_at",
        "_left",
        "_links",
        "_replicas",
    )

    def __init__(
        self, links: Links, commands: Sequence[Command], done: Answered, replicas: int
    ) -> None:
        self._links = links
        self._commands = commands
        self._done = done
        self._replicas = replicas
        self._answers: list[Any] = [None] * len(commands)
        self._left = 0
        self._again: list[tuple[int, Link | None, Way]] = []
        self._give_up_at = 0.0

    def start(self) -> None:
        """Send everything."""
        groups: dict[tuple[Link, Way], list[int]] = {}
        for i, command in enumerate(self._commands):
            groups.setdefault((self._links.link_of(command.key), Way.PLAIN), []).append(i)
        self._send(groups)

    def _send(self, groups: dict[tuple[Link, Way], list[int]]) -> None:
        self._left = len(groups)
        for (link, way), some in groups.items():
            if link.up:
                self._send_to(link, way, some)
            else:
                self._unsent(link, some)

    def _send_to(self, link: Link, way: Way, some: list[int]) -> None:
        packed = [self._commands[i].packed for i in some]
        before, each, after = 0, 1, 0
        data = b"".join(packed)
        if way is Way.LOADED:
            data, before = scripts.LOAD_ALL + data, len(scripts.ALL)
        elif way is Way.ASKING:
            data, each = b"".join([_ASKING + command for command in packed]), 2
        if self._replicas:
            data += pack("WAIT", self._replicas, round(_REPLICAS_S * 1000))
            after = 1
        count = before + each * len(some) + after
        link.send(data, count, partial(self._replied, link, some, before, each))

    def _unsent(self, link: Link, some: list[int]) -> None:
        for i in some:
            self._answers[i] = NoReply(False, link.address, link.reason)
            if self._links.coming(link):
                self._again.append((i, None, Way.PLAIN))
        self._group_landed()

    def _replied(
        self, link: Link, some: list[int], before: int, each: int, replies: list[Any] | None
    ) -> None:
        if replies is None:
            for i in some:
                self._answers[i] = NoReply(True, link.address, link.reason)
            self._group_landed()
            return
        have = replies.pop() if self._replicas else 0
        for i, reply in zip(some, replies[before + each - 1 :: each], strict=True):
            if type(reply) is ReplyError:
                self._refused(i, link, reply)
                self._answers[i] = reply
            elif type(have) is int and have >= self._replicas:
                self._answers[i] = reply
            else:
                self._answers[i] = Thin(reply, have if type(have) is int else 0)
        self._group_landed()

    def _refused(self, i: int, link: Link, error: ReplyError) -> None:
        trouble = trouble_of(str(error))
        self._links.heard(link, trouble, error)
        if trouble.meaning is Meaning.LOAD:
            self._again.append((i, link, Way.LOADED))
        elif trouble.meaning is Meaning.REPEAT:
            self._again.append((i, None, Way.PLAIN))
        elif trouble.meaning is Meaning.MOVED and self._links.follows:
            self._again.append((i, None, Way.PLAIN))
        elif trouble.meaning is Meaning.ASK and self._links.follows:
            self._again.append((i, self._links.redirected(error), Way.ASKING))

    def _group_landed(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._landed()

    def _landed(self) -> None:
        """Everything has an answer: hand them over, or send some of it again."""
        if not self._again:
            self._done(self._answers)
            return
        loop = asyncio.get_running_loop()
        first = self._give_up_at == 0.0
        if first:
            self._give_up_at = loop.time() + REPEAT_FOR_S
        if loop.time() >= self._give_up_at:
            self._done(self._answers)
        elif first and all(self._at_once(i) for i, _, _ in self._again):
            self._send_again()
        else:
            loop.call_later(random.uniform(0, _PAUSE_S), self._send_again)

    def _at_once(self, i: int) -> bool:
        """Say whether the first repeat need not wait: somebody has told what is to be done."""
        answer = self._answers[i]
        return type(answer) is ReplyError and trouble_of(str(answer)).meaning is not Meaning.REPEAT

    def _send_again(self) -> None:
        again, self._again = self._again, []
        groups: dict[tuple[Link, Way], list[int]] = {}
        for i, link, way in again:
            whom = link or self._links.link_of(self._commands[i].key)
            groups.setdefault((whom, way), []).append(i)
        self._send(groups)


# https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/, "ASK redirection"
_ASKING: Final = pack("ASKING")
