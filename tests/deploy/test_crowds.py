"""200 users behind nginx, and behind HAProxy, in front of four node processes."""

from pathlib import Path

import pytest

from router.store.embedded import EmbeddedServer
from tests.deploy.crowd import stays_whole
from tests.support.balancers import HAPROXY, NGINX, Kind


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", [NGINX, HAPROXY], ids=lambda kind: kind.name)
async def test_200_users_and_their_messages_outlive_nodes_that_leave_and_die(
    kind: Kind, store: EmbeddedServer, tmp_path: Path
) -> None:
    await stays_whole(kind, store, tmp_path)
