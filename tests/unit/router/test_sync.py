"""The blocking Router: the same answers, from any thread, and an end without remains."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from router.errors import InvalidUser, Unavailable
from router.model import Outcome, UserId
from router.settings import RegistrySettings, Settings
from router.store.embedded import EmbeddedServer
from router.sync import Router, RouterClosed


@pytest.fixture
def router(store: EmbeddedServer, prefix: str) -> Iterator[Router]:
    """A blocking Router with a prefix of its own."""
    settings = Settings(registry=RegistrySettings(prefix=prefix))
    with Router.connect(store.address.url, settings) as router:
        yield router


def test_a_send_to_nobody_says_offline(router: Router) -> None:
    result = router.send("nobody", {"order": 42})
    assert (result.user, result.outcome) == ("nobody", Outcome.OFFLINE)


def test_many_threads_may_share_one(router: Router) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: router.send(f"nobody{n}", n), range(40)))
    assert [result.user for result in results] == [f"nobody{n}" for n in range(40)]
    assert {result.outcome for result in results} == {Outcome.OFFLINE}


def test_every_question_has_its_answer(router: Router) -> None:
    assert router.send_many(["a", "b"], 1)[UserId("b")].outcome is Outcome.OFFLINE
    assert router.broadcast("all") == 0
    assert router.sessions("a") == []
    assert router.user("a").online is False
    assert list(router.users()) == []
    assert router.page(limit=1) == ([], None)
    assert router.locate(["a"]) == {}
    assert router.nodes() == []
    assert router.kick("a") == 0


def test_errors_are_those_of_the_asyncio_face(router: Router) -> None:
    with pytest.raises(InvalidUser):
        router.send("not a user", 1)


def test_a_store_that_is_not_there_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with pytest.raises(Unavailable), Router.connect("redis://127.0.0.1:1"):
        pass
    assert threading.active_count() == before


def test_a_router_that_is_not_open_says_how_to_use_it(store: EmbeddedServer) -> None:
    router = Router.connect(store.address.url)
    with pytest.raises(RouterClosed, match="inside 'with'"):
        router.nodes()
    with router:
        assert isinstance(router.nodes(), list)
    with pytest.raises(RouterClosed):
        router.nodes()
    router.close()


def test_durable_messages_are_kept_once(router: Router) -> None:
    first = router.send("away", 1, durable=True, key="k")
    again = router.send("away", 1, durable=True, id=first.id)
    other = router.send("away", 2, durable=True, key="k")
    assert [result.outcome for result in (first, again, other)] == [
        Outcome.QUEUED,
        Outcome.QUEUED,
        Outcome.DUPLICATE,
    ]
    assert again.id == other.id == first.id
    assert router.user("away").mailbox == 1
    many = router.send_many(["away", "b"], 3, durable=True, key="m")
    assert {result.outcome for result in many.values()} == {Outcome.QUEUED}
