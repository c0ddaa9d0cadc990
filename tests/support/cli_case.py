"""The command `switchboard` against a real node: run in a thread, or as a process of its own."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import structlog

from router.codec import Lease
from router.model import Session, SessionId, UserId
from tests.support.api_case import ApiCase
from tests.support.cli import call

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return the one JSON document on standard output."""
        return json.loads(self.out)


class CliCase(ApiCase):
    """A test that runs commands against the store of its own node."""

    def setUp(self) -> None:
        super().setUp()
        # The node lives in this process too, and what it logs must not stand in the way.
        quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
        structlog.configure(wrapper_class=quiet)
        self.addCleanup(structlog.reset_defaults)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "SWITCHBOARD_REDIS__URL": self.url,
            "SWITCHBOARD_REGISTRY__PREFIX": self.settings.registry.prefix,
            "SWITCHBOARD_INBOX__MAX_LENGTH": "512",
            "COLUMNS": "200",
        }

    def switchboard(self, *arguments: str) -> Run:
        """Run a command to its end."""
        return self.wait_for(self.run_command(*arguments))

    async def run_command(self, *arguments: str) -> Run:
        with patch.dict(os.environ, self.environment):
            answer = await asyncio.to_thread(call, *arguments)
        return Run(answer.status, answer.out, answer.err)

    async def spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command as a process, with pipes to it."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "node.cli",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
            cwd=ROOT,
        )

    def pipe(self, text: bytes, *arguments: str) -> Run:
        """Run a command to its end with `text` on its standard input."""

        async def run() -> Run:
            process = await self.spawn(*arguments)
            out, err = await process.communicate(text)
            assert process.returncode is not None
            return Run(process.returncode, out.decode(), err.decode())

        return self.wait_for(run())

    def put_on_full_node(self, user: str) -> Coroutine[Any, Any, None]:
        """Register a user at an endpoint whose inbox takes no more."""
        return self._fill(UserId(user))

    async def _fill(self, user: UserId) -> None:
        member = self.node.member
        lease = Lease("node", 1, "127.0.0.1:1", "live", 0, 0, 0, 0.0, 0.0)
        endpoint = await member.leases.open("full", lease)
        session = Session(SessionId("s1"), endpoint, "web", "127.0.0.1", 1.0)
        assert await member.registry.register([(user, session)])
        await member.store.command("RPUSH", member.keys.inbox(endpoint), *["x"] * 512)
