"""Walks through the model whose every call of the store can be repeated elsewhere."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.model import store
from tests.model.draft import Draft
from tests.model.machine import FAULTS, RULES, beginning, rules_of
from tests.model.rules import Configuration, Rules
from tests.model.state import State, Step

# `goodbye` is two commands, and each is noted.
SCRIPTS: Final = (
    "open_endpoint",
    "heartbeat",
    "close",
    "push",
    "trim",
    "index",
    "register",
    "unregister",
    "unlist_user",
    "forget",
    "look_up",
    "look_up_durable",
    "resume",
    "acknowledge",
    "fence",
    "salvage",
    "bury",
    "unlist",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the model's store.

    Args:
        name: of the function.
        arguments: without the draft and the rules.
        answer: what it returned.
    """

    name: str
    arguments: tuple[Any, ...]
    answer: Any


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a walk.

    Args:
        step: its name and what it was about.
        calls: what it did to the store, in order.
        after: the state it led to.
    """

    step: Step
    calls: tuple[Call, ...]
    after: State


class Recorder:
    """Notes every call of the model's store, for each draft.

    Args:
        patch: undoes it.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._calls: dict[int, list[Call]] = {}
        self._inside = False
        for name in SCRIPTS:
            noted = self._noting(name, getattr(store, name))
            patch.setattr(store, name, noted)
            if name in store.LATE:
                patch.setitem(store.LATE, name, noted)

    def _noting(self, name: str, script: Callable[..., Any]) -> Callable[..., Any]:
        def noted(d: Draft, rules: Rules, *arguments: Any) -> Any:
            if self._inside:  # a script's own look at the routes
                return script(d, rules, *arguments)
            self._inside = True
            try:
                answer = script(d, rules, *arguments)
            finally:
                self._inside = False
            self._calls.setdefault(id(d), []).append(Call(name, arguments, answer))
            return answer

        return noted

    def moments(self, rules: Rules, state: State) -> Iterator[Moment]:
        """Return every step that leads to another state."""
        for rule in RULES if rules.closing else RULES + FAULTS:
            self._calls.clear()
            kept = []  # a draft that is gone would leave its id to another
            for step, draft in rule(rules, state):
                kept.append(draft)
                draft.tidy()
                after = draft.freeze()
                if after != state:
                    yield Moment(step, tuple(self._calls.get(id(draft), ())), after)


def walk(
    recorder: Recorder, configuration: Configuration, seed: int, length: int
) -> Iterator[Moment]:
    """Walk at random for so many steps, then on to rest."""
    rules, closing = rules_of(configuration)
    state = beginning(rules)
    chance = random.Random(seed)
    for _ in range(length):
        choices = list(recorder.moments(rules, state))
        if not choices:
            break
        chosen = chance.choice(choices)
        yield chosen
        state = chosen.after
    while (due := next(recorder.moments(closing, state), None)) is not None:
        yield due
        state = due.after
