"""Every operation with every error of the store: one clear word, no hang, and then all is well."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from redis import Redis
from redis.exceptions import RedisError

from router.errors import Unavailable
from router.model import Outcome
from router.settings import Settings
from router.store.trouble import TROUBLES, Meaning
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoints, endpoints
from tests.support.processes import wait_until
from tests.support.proxy import Fault, Proxy
from tests.support.troubled import DONE, Troubled
from tests.support.valkey import ValkeyServer, plain_client, running, wheel_program
from tests.support.waiting import eventually

# What the code of an error, or the outcome of a send, may be by what the store's error means.
WORDS = {
    Meaning.LOAD: {DONE},
    Meaning.REPEAT: {"unavailable"},
    # Somebody must say that the store is a Cluster: one server is all that is known here.
    Meaning.MOVED: {"store_refused"},
    Meaning.ASK: {"store_refused"},
    Meaning.UNAVAILABLE: {"unavailable"},
    Meaning.GARBAGE: {"store_refused", DONE},  # passed over where others would suffer for it
    Meaning.REFUSED: {"store_refused"},
    Meaning.BUSY: {"store_refused", "busy"},
}
_PATIENT_S: Final = 30.0
SENDS = ("send", "send durably", "send to somebody new")
INJECTED = [word for word in TROUBLES if word != "NOSCRIPT"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server to be hurt; each test heals it."""
    with running(wheel_program(), tmp_path_factory.mktemp("s")) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: ValkeyServer) -> Iterator[Redis]:
    with plain_client(server.url) as connected:
        yield connected


@pytest.fixture
def settings(prefix: str) -> Settings:
    # Long leases: nobody is rescued while the store is in trouble. A quick end to hung connections.
    return fast_settings(
        prefix, lease={"ttl_s": 60.0, "heartbeat_s": 20.0}, redis={"reply_timeout_s": 1.0}
    )


@pytest.fixture
async def world(server: ValkeyServer, settings: Settings) -> AsyncIterator[Endpoints]:
    async with endpoints(server.url, settings) as found:
        yield found


@pytest.fixture
async def proxy(server: ValkeyServer) -> AsyncIterator[Proxy]:
    async with Proxy(str(server.socket)) as between:
        yield between


@pytest.fixture
async def troubled(world: Endpoints, proxy: Proxy) -> Troubled:
    found = await Troubled.start(world, proxy.url)
    assert set((await found.words()).values()) == {DONE}
    return found


class TestInjected:
    """Errors that are put in the place of every reply to this process."""

    @pytest.mark.parametrize("word", INJECTED)
    @pytest.mark.one_server
    async def test_each_has_its_one_meaning_for_every_operation(
        self, troubled: Troubled, proxy: Proxy, prefix: str, word: str
    ) -> None:
        trouble = TROUBLES[word]
        proxy.answer(prefix.encode(), f"{word} as the store would say it", times=-1)
        words = await troubled.words()
        assert set(words.values()) <= WORDS[trouble.meaning], words
        waits = asyncio.create_task(troubled.other.send("vera", 1, timeout=_PATIENT_S))
        proxy.heal()
        assert (await waits).outcome is Outcome.DELIVERED
        assert troubled.here.texts("vera") == ["1"]
        await troubled.all_well()


class TestCut:
    """The connection is lost in the middle of an operation."""

    @pytest.mark.parametrize("fault", [Fault.LOSE_COMMAND, Fault.LOSE_REPLY, Fault.TEAR_REPLY])
    async def test_each_operation_says_so_or_succeeds(
        self, troubled: Troubled, proxy: Proxy, prefix: str, fault: Fault
    ) -> None:
        words: dict[str, str] = {}
        for name in troubled.operations():
            sprung = proxy.when(prefix.encode(), fault)
            words[name] = await troubled.word(name)
            assert sprung.is_set(), name
            await troubled.is_connected()
        assert set(words.values()) <= {DONE, "unavailable", "unknown"}, words
        await troubled.all_well()

    async def test_a_hung_store_keeps_nobody_for_longer_than_its_time(
        self, troubled: Troubled, proxy: Proxy
    ) -> None:
        proxy.hold()
        words = await troubled.words()
        assert {words.pop(name) for name in SENDS} <= {"unavailable", "unknown"}
        assert set(words.values()) == {"unavailable"}
        waits = asyncio.create_task(troubled.other.send("vera", 1, timeout=_PATIENT_S))
        proxy.heal()
        assert (await waits).outcome is Outcome.DELIVERED
        await troubled.all_well()

    async def test_a_store_that_is_away_is_unavailable_at_once(
        self, troubled: Troubled, proxy: Proxy
    ) -> None:
        await proxy.refuse()
        await eventually(lambda: not troubled.router.member.store.up)
        words = await troubled.words()
        assert set(words.values()) == {"unavailable"}, words
        await proxy.accept()
        await troubled.all_well()


Hurt = Callable[["Redis", Path], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def full(client: "Redis", folder: Path) -> Iterator[None]:
    client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")


@contextlib.contextmanager
def replica(client: "Redis", folder: Path) -> Iterator[None]:
    client.replicaof("127.0.0.1", "1")  # where nobody is
    try:
        yield
    finally:
        client.replicaof("NO", "ONE")


@contextlib.contextmanager
def not_saving(client: "Redis", folder: Path) -> Iterator[None]:
    """A store that takes no writes, since it cannot save what it has."""
    (folder / "dump.rdb").mkdir()
    client.config_set("save", "3600 1000000")
    client.bgsave()
    ask: Any = client.info
    wait_until(lambda: ask("persistence")["rdb_last_bgsave_status"] == "err", "saving fails")
    try:
        yield
    finally:
        client.config_set("save", "")
        (folder / "dump.rdb").rmdir()


@contextlib.contextmanager
def without_rights(client: "Redis", folder: Path) -> Iterator[None]:
    ask: Any = client.execute_command
    ask("ACL", "SETUSER", "default", "-@write")
    try:
        yield
    finally:
        ask("ACL", "SETUSER", "default", "+@all")


@contextlib.contextmanager
def running_a_script(client: "Redis", folder: Path) -> Iterator[None]:
    client.config_set("busy-reply-threshold", "1")

    def run() -> None:
        with plain_client(f"unix://{folder}/s") as other, contextlib.suppress(RedisError):
            other.eval("while true do end", 0)

    def busy() -> bool:
        try:
            client.ping()
        except RedisError:
            return True
        return False

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(busy, "the store is busy")
    try:
        yield
    finally:
        client.script_kill()
        thread.join()


@contextlib.contextmanager
def without_scripts(client: "Redis", folder: Path) -> Iterator[None]:
    client.script_flush()
    yield


# Operations that write nothing, or only what was not there: a store that takes no writes does them.
READS = frozenset(
    [
        "list endpoints",
        "look for leases",
        "describe",
        "sessions",
        "last seen",
        "locate",
        "page",
        "read what is left",
        "read a mailbox",
        "length of a mailbox",
        "send to somebody new",
    ]
)


WRITES = ("open", "register", "resume", "send", "send durably", "kick", "broadcast")


class TestReal:
    """Troubles of a real server, of which every process suffers."""

    @pytest.mark.parametrize(
        ("hurt", "word"),
        [
            (full, "OOM"),
            (replica, "READONLY"),
            (not_saving, "MISCONF"),
            (without_rights, "NOPERM"),
            (running_a_script, "BUSY"),
            (without_scripts, "NOSCRIPT"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_each_has_the_meaning_of_its_word(
        self, troubled: Troubled, client: Redis, server: ValkeyServer, hurt: Hurt, word: str
    ) -> None:
        with hurt(client, server.socket.parent):
            words = await troubled.words()
        meaning = TROUBLES[word].meaning
        assert set(words.values()) <= WORDS[meaning] | {DONE}, words
        if word not in ("BUSY", "NOSCRIPT") and not TROUBLES[word].elsewhere:
            assert {words[name] for name in READS} == {DONE}, words
        if word != "NOSCRIPT":
            assert DONE not in {words[name] for name in WRITES}, words
        await troubled.all_well()

    async def test_a_store_that_loads_its_data_is_unavailable_until_it_has(
        self, tmp_path_factory: pytest.TempPathFactory, settings: Settings
    ) -> None:
        with running(wheel_program(), tmp_path_factory.mktemp("l")) as own:
            async with endpoints(own.url, settings) as world:
                troubled = await Troubled.start(world, own.url)
                with plain_client(own.url) as client:
                    client.mset({f"filler{number}": "x" * 100 for number in range(2_000)})
                    client.save()
                own.stop()
                # Half a second in all; between any two keys it answers that it is loading.
                own.start(
                    key_load_delay="1000", loading_process_events_interval_bytes="1024", wait=False
                )
                reasons: set[str] = set()

                async def loading() -> bool:
                    try:
                        await troubled.router.locate(["alice"])
                    except Unavailable as exc:
                        reasons.add(exc.reason.partition(" ")[0])
                        return False
                    return True

                await eventually(loading, 30.0)
                assert "LOADING" in reasons
                await troubled.all_well()
