"""Asks a private server who it is. Whoever answers with the password accepted is ours."""

import contextlib
from dataclasses import dataclass
from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

_ANSWER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server said of itself.

    Args:
        pid: its process id.
        loading: it is still reading back its data and serves nobody yet.
    """

    pid: int
    loading: bool


def look(socket: str, password: str) -> Probe | None:
    """Return what answers at the unix socket, or None if nothing of ours does."""
    try:
        with _client(socket, password) as client:
            facts = client.info("server", "persistence")  # allowed while it loads, unlike PING
        return Probe(int(facts["process_id"]), bool(facts["loading"]))
    except (RedisError, OSError, KeyError, ValueError):
        return None


def shut_down(socket: str, password: str) -> None:
    """Ask the server at the unix socket to end; do not wait, and say nothing if none is there."""
    with contextlib.suppress(RedisError, OSError), _client(socket, password) as client:
        client.execute_command("SHUTDOWN", "NOSAVE")


def _client(socket: str, password: str) -> Redis:
    return Redis(
        unix_socket_path=socket,
        password=password,
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=_ANSWER_S,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
