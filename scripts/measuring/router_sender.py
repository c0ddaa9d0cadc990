"""Program: the sender of the product, through its public Python face.

It reads the settings as the nodes do, so `delivery.mode` is whatever the cluster uses.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import structlog
import uvloop

from router.aio import Router
from router.errors import SwitchboardError
from router.settings import load
from scripts.measuring.load import serve_sender
from scripts.measuring.plan import Plan, user_name

DURABLE = "durable"  # in place of how far a send waits: stored, and then as far as `accepted`


class Caller:
    """Sends through a Router.

    Args:
        router: the cluster's.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    async def send(self, plan: Plan, n: int, user: int, how: str) -> str:
        """Send one message, waiting as far as `how` names; return the outcome or the error."""
        data = plan.data(n, user)
        durable = how == DURABLE
        confirm = "accepted" if durable else how
        try:
            if plan.group == 1:
                one = await self._router.send(
                    user_name(user), data, origin="bench", confirm=confirm, durable=durable
                )
                return str(one.outcome)
            users = [user_name(member) for member in plan.members(user)]
            many = await self._router.send_many(users, data, origin="bench", confirm=confirm)
        except SwitchboardError as exc:
            return exc.code
        return _word(str(result.outcome) for result in many.values())


def _word(words: Iterable[str]) -> str:
    """Return the word of a message to many: theirs if they agree."""
    different = set(words)
    return different.pop() if len(different) == 1 else "mixed"


async def main() -> None:
    """Serve the runner until it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--progress", required=True, type=Path)
    given = parser.parse_args()
    # stdout belongs to the answers.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    async with Router.from_settings(load(None)) as router:
        await serve_sender(Caller(router).send, given.progress)


if __name__ == "__main__":
    uvloop.run(main())
