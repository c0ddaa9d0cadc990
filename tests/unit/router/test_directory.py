"""Asking the registry: what can be asked, and what the answers are."""

from collections.abc import AsyncIterator, Sequence

import pytest

from router import directory as directory_module
from router.codec import Lease
from router.directory import MAX_PAGE, MAX_QUERY, Directory
from router.errors import InvalidRequest, InvalidUser
from router.model import OnlineUser, UserId
from router.store.embedded import EmbeddedServer
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoint, Endpoints, endpoints


@pytest.fixture
async def world(store: EmbeddedServer, prefix: str) -> AsyncIterator[Endpoints]:
    async with endpoints(store.address.url, fast_settings(prefix)) as found:
        yield found


@pytest.fixture
async def nodes(world: Endpoints) -> list[Endpoint]:
    return [await world.start(name) for name in ("n1", "n2")]


@pytest.fixture
async def directory(nodes: list[Endpoint]) -> Directory:
    member = nodes[0].member
    return Directory(member.registry, member.leases, member.mailbox)


def names(users: Sequence[OnlineUser]) -> list[UserId]:
    return [user.user for user in users]


async def test_a_user_who_is_here_is_told_with_their_sessions(
    directory: Directory, nodes: list[Endpoint]
) -> None:
    [session] = await nodes[1].attach("alice")
    status = await directory.user("alice")
    assert (status.user, status.sessions, status.online) == ("alice", [session], True)
    assert (status.mailbox, status.last_seen) == (0, None)
    assert await directory.sessions("alice") == [session]


async def test_a_user_who_left_is_told_with_when(
    directory: Directory, nodes: list[Endpoint]
) -> None:
    await nodes[0].attach("alice")
    await nodes[0].detach("alice")
    status = await directory.user("alice")
    assert (status.sessions, status.online) == ([], False)
    assert status.last_seen is not None


async def test_a_user_who_never_came_is_nowhere(directory: Directory) -> None:
    status = await directory.user("nobody")
    assert (status.online, status.last_seen) == (False, None)


async def test_all_users_are_listed_in_order_however_many_pages_it_takes(
    directory: Directory, nodes: list[Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "MAX_PAGE", 3)
    wanted = sorted(f"user-{number}" for number in range(10))
    await nodes[0].attach(*wanted[::2])
    await nodes[1].attach(*wanted[1::2], wanted[0])
    assert names([user async for user in directory.users()]) == wanted
    assert names([user async for user in directory.users(node="n1")]) == wanted[::2]
    assert names([user async for user in directory.users(prefix="user-7")]) == ["user-7"]


async def test_a_node_that_is_not_there_holds_nobody(
    directory: Directory, nodes: list[Endpoint]
) -> None:
    await nodes[0].attach("alice")
    assert await directory.page(node="n") == ([], None)
    assert await directory.page(node="n1.") == ([], None)


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
async def test_a_page_of_no_size_or_too_large_is_refused(directory: Directory, limit: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await directory.page(limit=limit)
    assert caught.value.field == "limit"


@pytest.mark.parametrize("text", ["a\n", "\x00", "\ud800"])
@pytest.mark.parametrize("field", ["prefix", "cursor"])
async def test_text_that_no_user_could_begin_with_is_refused(
    directory: Directory, field: str, text: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await directory.page(**{field: text})  # type: ignore[arg-type]
    assert caught.value.field == field


async def test_many_users_are_located_at_once(directory: Directory, nodes: list[Endpoint]) -> None:
    await nodes[0].attach("alice", "bob")
    await nodes[1].attach("alice")
    found = await directory.locate(["alice", "bob", "nobody"])
    assert found == {"alice": ["n1", "n2"], "bob": ["n1"]}


async def test_too_many_users_are_refused(directory: Directory) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await directory.locate(["alice"] * (MAX_QUERY + 1))
    assert caught.value.field == "users"


@pytest.mark.parametrize("question", ["sessions", "user"])
async def test_what_cannot_be_a_user_is_refused(directory: Directory, question: str) -> None:
    with pytest.raises(InvalidUser):
        await getattr(directory, question)("a b")


async def test_a_list_with_what_cannot_be_a_user_is_refused(directory: Directory) -> None:
    with pytest.raises(InvalidUser) as caught:
        await directory.locate(["alice", ""])
    assert caught.value.field == "users"


async def test_nodes_are_listed_by_name_and_senders_are_not(
    directory: Directory, world: Endpoints, nodes: list[Endpoint]
) -> None:
    said = Lease("node", 7, "127.0.0.1:1", "live", 3, 0, 0, 0.0, 0.0)
    for name in ("b", "a"):
        await nodes[0].member.leases.open(name, said)
    assert [(node.name, node.sessions) for node in await directory.nodes()] == [("a", 3), ("b", 3)]
