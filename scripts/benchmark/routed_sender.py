"""Program: the sender of the product, through its public Python face."""

import argparse
import os
from pathlib import Path

import uvloop

from router.aio import Router
from scripts.benchmark.load import serve_sender
from scripts.benchmark.peer import STORE_URL
from scripts.benchmark.plan import Plan, user_name


async def main() -> None:
    """Serve the runner until it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--progress", required=True, type=Path)
    given = parser.parse_args()
    async with Router.connect(os.environ[STORE_URL]) as router:

        async def send(plan: Plan, n: int, user: int, mode: str) -> str:
            data = plan.data(n, user)
            result = await router.send(user_name(user), data, origin="bench", confirm=mode)
            return str(result.outcome)

        await serve_sender(send, given.progress)


if __name__ == "__main__":
    uvloop.run(main())
