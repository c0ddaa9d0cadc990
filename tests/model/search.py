"""Breadth first through every state a configuration can reach, with the shortest way to a fault."""

import gc
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.model.machine import beginning, next_to_rest, rules_of, successors
from tests.model.properties import broken_always, broken_at_rest
from tests.model.rules import Configuration, Rules
from tests.model.state import State, Step

_LONGEST_WAY_TO_REST: Final = 400
_TOLD_EVERY: Final = 20_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found.

    Args:
        fault: which promise is broken; "" if none is.
        trace: the steps that lead there, as few as possible.
        rest: the steps behind it, without further faults, after which the promise is seen broken.
        states: how many different states were looked at.
        seconds: how long it took.
        exhausted: every state was looked at; False when a limit or a fault ended the search.
    """

    fault: str
    trace: tuple[Step, ...]
    rest: tuple[Step, ...]
    states: int
    seconds: float
    exhausted: bool


class _Rest:
    """Where each state comes to rest, and what is wrong there; remembered for all of them."""

    def __init__(self, closing: Rules) -> None:
        self._closing = closing
        self._faults: dict[State, str] = {}

    def fault(self, state: State) -> str:
        """Let everything that is started come to its end; return what is wrong then."""
        way: list[State] = []
        at: State | None = state
        fault = ""
        while at is not None and at not in self._faults:
            way.append(at)
            if len(way) > _LONGEST_WAY_TO_REST:
                fault = "never comes to rest"
                break
            at = _next(self._closing, at)
        else:
            fault = self._faults[at] if at is not None else broken_at_rest(self._closing, way[-1])
        for passed in way:
            self._faults[passed] = fault
        return fault

    def way(self, state: State) -> tuple[Step, ...]:
        """Return the steps by which a state comes to rest."""
        steps: list[Step] = []
        while (due := next_to_rest(self._closing, state)) is not None:
            step, state = due
            steps.append(step)
            if len(steps) > _LONGEST_WAY_TO_REST:
                break
        return tuple(steps)


def _next(closing: Rules, state: State) -> State | None:
    due = next_to_rest(closing, state)
    return None if due is None else due[1]


def search(
    configuration: Configuration,
    broken: frozenset[str] = frozenset(),
    *,
    most_states: int = 1_000_000,
    most_seconds: float = 3_600.0,
    tell: Callable[[int, int, float], None] | None = None,
) -> Found:
    """Look at every state of a configuration until a promise is broken.

    Args:
        configuration: who there is and what may go wrong.
        broken: rules that are left out.
        most_states: give up beyond so many.
        most_seconds: give up after so long.
        tell: called now and then with the states seen, those still to be looked at, the seconds.
    """
    rules, closing = rules_of(configuration, broken)
    collecting = gc.isenabled()
    gc.disable()  # tuples without cycles, millions of them: looking for garbage is half the time
    try:
        return _search(rules, _Rest(closing), most_states, most_seconds, tell)
    finally:
        if collecting:
            gc.enable()


def _search(
    rules: Rules,
    rest: _Rest,
    most_states: int,
    most_seconds: float,
    tell: Callable[[int, int, float], None] | None,
) -> Found:
    began = time.monotonic()
    first = beginning(rules)
    came: dict[State, tuple[Step, State] | None] = {first: None}
    todo = deque([first])
    looked = 0
    while todo:
        state = todo.popleft()
        now = broken_always(rules, state)
        fault = now or rest.fault(state)
        if fault:
            seconds = time.monotonic() - began
            after_all = () if now else rest.way(state)
            return Found(fault, _way(came, state), after_all, len(came), seconds, False)
        for step, after in successors(rules, state):
            if after not in came:
                came[after] = (step, state)
                todo.append(after)
        looked += 1
        if looked % 1_000 == 0:
            seconds = time.monotonic() - began
            if tell is not None and looked % _TOLD_EVERY == 0:
                tell(len(came), len(todo), seconds)
            if len(came) > most_states or seconds > most_seconds:
                return Found("", (), (), len(came), seconds, False)
    return Found("", (), (), len(came), time.monotonic() - began, True)


def _way(came: dict[State, tuple[Step, State] | None], state: State) -> tuple[Step, ...]:
    steps: list[Step] = []
    while (origin := came[state]) is not None:
        step, state = origin
        steps.append(step)
    return tuple(reversed(steps))
