"""Waiting for a condition, with a deadline: the only way our tests wait."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast, overload

T = TypeVar("T")

_STEP_S: Final = 0.002


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T]], deadline_s: float = 30.0, what: str = ""
) -> T: ...
@overload
async def eventually(predicate: Callable[[], T], deadline_s: float = 30.0, what: str = "") -> T: ...
async def eventually(
    predicate: Callable[[], T | Awaitable[T]], deadline_s: float = 30.0, what: str = ""
) -> T:
    """Look again and again until `predicate()` is true, and return what it returned.

    Args:
        predicate: a function or a coroutine function; an AssertionError counts as "not yet".
        deadline_s: how long to go on; generous, since a test that passes never waits so long.
        what: what is waited for, for the failure; "" for the predicate's own name.

    Raises:
        AssertionError: the time ran out; with the last AssertionError as its cause.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + deadline_s
    while True:
        last: AssertionError | None = None
        try:
            found = predicate()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return cast(T, found)
        except AssertionError as exc:
            last = exc
        if loop.time() > give_up_at:
            name = what or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"not within {deadline_s:g} s: {name}") from last
        await asyncio.sleep(_STEP_S)


async def rounds(count: int = 3) -> None:
    """Let the event loop go round: enough for what was scheduled with `call_soon`."""
    for _ in range(count):
        await asyncio.sleep(0)
