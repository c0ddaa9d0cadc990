"""A store without memory refuses what may grow, unless a script wrote before: some must go on.

Leases and routes must not end because the store is full, and what makes room must be let through.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from router.store.scripts import ACK, HEARTBEAT, REGISTER, SALVAGE, TRIM, UNREGISTER
from tests.support.bare_store import DAY_MS, BareStore
from tests.support.valkey import Program, plain_client, programs, running


@pytest.fixture(params=programs(), ids=lambda program: program.name)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BareStore]:
    program: Program = request.param
    with running(program.path, tmp_path_factory.mktemp("f")) as server:
        with plain_client(server.url) as client:
            yield BareStore(client)


def fill(store: BareStore) -> None:
    store.redis.config_set("maxmemory", "1")


def test_a_lease_is_renewed(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    store.redis.set(store.lease, b"old", px=50_000)
    fill(store)
    assert store.run(HEARTBEAT, (store.open, store.lease), b"new", 20_000) > 0
    assert store.redis.get(store.lease) == b"new"
    assert 0 < store.ttl_ms(store.lease) <= 20_000


def test_a_route_is_refreshed(store: BareStore) -> None:
    mail = store.keys.mail(store.user)
    store.redis.hset(store.routes, "n1.0a1b/s1", b"old")
    fill(store)
    store.run(REGISTER, (store.routes, mail), "n1.0a1b/s1", b"new", DAY_MS)
    assert store.redis.hgetall(store.routes) == {b"n1.0a1b/s1": b"new"}
    assert store.ttl_ms(store.routes) > 0


def test_a_new_user_is_refused(store: BareStore) -> None:
    fill(store)
    with pytest.raises(OutOfMemoryError):
        store.run(REGISTER, (store.routes, store.keys.mail(store.user)), "f", b"entry", DAY_MS)
    assert store.keys_left() == {}


def test_a_session_leaves(store: BareStore) -> None:
    store.redis.hset(store.routes, "n1.0a1b/s1", b"entry")
    fill(store)
    assert store.run(UNREGISTER, (store.routes, store.seen), "n1.0a1b/s1", DAY_MS) == 1
    assert store.keys_left() == {store.seen: "string"}


def test_an_inbox_is_trimmed(store: BareStore) -> None:
    store.redis.set(store.open, b"1")
    store.redis.rpush(store.inbox, "a", "b", "c")
    fill(store)
    assert store.run(TRIM, (store.open, store.inbox, store.done), 0, 2) == 1
    assert (store.redis.lrange(store.inbox, 0, -1), store.redis.get(store.done)) == ([b"c"], b"2")


def test_a_rescued_inbox_is_trimmed(store: BareStore) -> None:
    rescued, rescuer = store.keys.rescued(store.endpoint), store.keys.rescuer(store.endpoint)
    store.redis.set(rescuer, b"me")
    store.redis.rpush(rescued, "a", "b")
    fill(store)
    assert store.run(SALVAGE, (rescuer, rescued, store.done), "me", DAY_MS, 0, 1) == 1
    assert (store.redis.lrange(rescued, 0, -1), store.redis.get(store.done)) == ([b"b"], b"1")


def test_an_acknowledgement_makes_room(store: BareStore) -> None:
    mail, cursors = store.keys.mail(store.user), store.keys.cursors(store.user)
    store.redis.hset(cursors, "web", "0-0 1")
    added: list[Any] = [store.redis.xadd(mail, {"message": "x"}) for _ in range(3)]
    fill(store)
    assert store.run(ACK, (cursors, mail), "web", added[1], DAY_MS) == 1
    assert store.redis.xlen(mail) == 1
