"""The steps of a watched message, over HTTP."""

import re
from typing import Final

from node import views
from node.auth import Scope
from node.handlers.base import ApiHandler, Source, operation
from node.handlers.schemas import NoInput
from router.errors import InvalidRequest

_ID: Final = re.compile(r"[0-9a-f]{32}")


class TraceHandler(ApiHandler):
    """`GET /api/v1/traces/{trace}`."""

    @operation(
        "Show the steps of a message",
        scope=Scope.READ,
        source=Source.NOWHERE,
        takes=NoInput,
        gives=views.MessageTrace,
    )
    async def get(self, _: NoInput, trace: str) -> None:
        """Answer with what is kept of it; nothing is kept for longer than a minute."""
        if _ID.fullmatch(trace) is None:
            raise InvalidRequest("trace", "has 32 hexadecimal digits, in lower case")
        steps = await self.router.member.traces.read(trace)
        self.answer(views.message_trace(trace, steps))
