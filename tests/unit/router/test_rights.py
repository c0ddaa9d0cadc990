"""What we may do in the store: no more than we do, and no less."""

import ast
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hiredis import ReplyError
from redis import Redis
from redis.exceptions import AuthenticationError, ResponseError

from router.keys import Keys
from router.model import Outcome
from router.settings import RedisSettings
from router.store import scripts
from router.store.connect import Connector
from router.store.embedded import EmbeddedServer
from router.store.modes import make_store
from router.store.rights import COMMANDS, USER, acl_line, rights, rights_probe
from router.store.store import Store
from tests.support.cluster import Cluster
from tests.support.valkey import Program, ValkeyServer, admins, plain_client, programs

ROOT: Final = Path(__file__).resolve().parents[3]
FILE: Final = ROOT / "deploy" / "redis" / "users.acl"
SENDING: Final = {"pack", "keyed", "keyless", "command", "query", "execute_command"}
OF_ONE_SERVER: Final = {"query"}
FAMILIES: Final = {"acl", "client", "cluster", "config", "memory", "object", "script", "xinfo"}
# What Sentinels are asked is no command of a store.
SENTINELS: Final = "sentinel"
# What asks the private server who it is, and ends it, is its owner, and no user of the store.
OWNERS: Final = {"router/store/server_probe.py"}


def named(words: Sequence[object]) -> str | None:
    """Return the command that these arguments begin with, as the ACL spells it."""
    texts = [word for word in words[:2] if isinstance(word, str)]
    if not texts or not re.fullmatch("[A-Z]+", texts[0]):
        return None
    first = texts[0].lower()
    return f"{first}|{texts[1].lower()}" if first in FAMILIES else first


def called(tree: ast.AST) -> Iterator[str]:
    """Yield every command that a module packs or sends."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if getattr(getattr(node.func, "value", None), "id", None) == "struct":
                continue  # it packs something else
            words = [a.value if isinstance(a, ast.Constant) else None for a in node.args]
            words = words[name in OF_ONE_SERVER :]  # the first one says which
            command = named(words) if name in SENDING else None
            if command and not command.startswith(SENTINELS):
                yield command


def in_use() -> set[str]:
    """Return every command in the code and in the scripts."""
    found: set[str] = set()
    for folder in ("router", "node"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.relative_to(ROOT).as_posix() not in OWNERS:
                found.update(called(ast.parse(path.read_bytes())))
    for script in scripts.ALL:
        for first, second in re.findall(rb"redis\.p?call\('(\w+)'(?:, '(\w+)')?", script.source):
            found.add(named([first.decode(), second.decode()]) or "")
    return found


def probed() -> set[str]:
    """Return the commands of the probe."""
    words = [command.packed.split(b"\r\n")[2:5:2] for command in rights_probe(Keys())]
    return {named([word.decode() for word in pair]) or "" for pair in words}


def test_what_is_allowed_is_what_is_used() -> None:
    assert set(COMMANDS) == in_use() | {"script|load"}
    assert list(COMMANDS) == sorted(set(COMMANDS))


def test_what_is_not_probed_is_used_by_the_set_up_or_changes_a_connection() -> None:
    at_once = {"info", "script|load", "client|setname", "evalsha"}
    changing = {"client|tracking", "subscribe", "unsubscribe"}
    # What only a Cluster, a replica or Sentinels have us say.
    several = {"asking", "cluster|slots", "role", "wait"}
    assert set(COMMANDS) - probed() == at_once | changing | several | {"ping"}
    assert probed() <= set(COMMANDS)


def test_the_file_for_operators_has_the_same_rights() -> None:
    lines = FILE.read_text().splitlines()
    ours = [line for line in lines if line.startswith(f"user {USER} ")]
    assert len(ours) == 1
    assert ours[0].endswith(f" {rights('sb')}")


def test_nobody_can_log_in_with_the_file_as_it_is() -> None:
    users = [line.split() for line in FILE.read_text().splitlines() if line.startswith("user ")]
    assert [words[1] for words in users] == ["default", "admin", USER]
    assert "off" in users[0]
    for words in users[1:]:
        assert [word for word in words if word[0] in ">#"] == ["#" + "0" * 64]
        assert "nopass" not in words


@pytest.fixture(params=programs(), ids=lambda program: program.name)
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    """A server with the file for operators, and passwords."""
    program: Program = request.param
    folder = tmp_path_factory.mktemp("s")
    text = FILE.read_text()
    hashed = hashlib.sha256(b"pw").hexdigest()
    (folder / "users.acl").write_text(text.replace("0" * 64, hashed))
    server = ValkeyServer(program.path, folder, f"{USER}:pw")
    admins[server.url] = f"unix://admin:pw@{server.socket}"
    try:
        server.start(aclfile=str(folder / "users.acl"))
        yield server
    finally:
        server.stop()
        del admins[server.url]


@pytest.mark.parametrize("mode", ["routed", "channel", "broadcast"])
async def test_a_cluster_runs_with_the_file_in_every_mode(guarded: ValkeyServer, mode: str) -> None:
    confirm = "delivered" if mode == "routed" else "accepted"
    async with Cluster(guarded.url, 2, prefix="sb", delivery={"mode": mode}) as cluster:
        alice = await cluster.connect(0, "alice")
        async with cluster.router() as router:
            result = await router.send("alice", "hello", confirm=confirm)
            assert result.outcome is Outcome(confirm)
            assert await alice.messages(1) == ["hello"]
            if mode == "routed":
                kept = await router.send("bob", 1, durable=True, key="k")
                assert kept.outcome is Outcome.QUEUED
                assert await router.kick("alice") == 1
        denied = await cluster.redis.execute_command("ACL", "LOG")
    assert denied == []


def test_it_can_do_nothing_else(guarded: ValkeyServer) -> None:
    with plain_client(guarded.url.replace(f"{USER}:pw", "default:")) as stranger:
        with pytest.raises(AuthenticationError):
            stranger.ping()
    ours: Any = Redis.from_url(guarded.url)
    with ours:
        for command in (
            ("KEYS", "sb:*"),
            ("SCAN", "0"),
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
            ("ACL", "LIST"),
            ("CLIENT", "LIST"),
            ("CLIENT", "KILL", "ID", "1"),
            ("MONITOR",),
            ("SHUTDOWN",),
            ("MODULE", "LIST"),
            ("REPLICAOF", "NO", "ONE"),
            ("GET", "another:key"),
            ("PUBLISH", "another:channel", "x"),
            ("EVAL", "return redis.call('GET', KEYS[1])", "1", "another:key"),
            ("EVAL", "return redis.call('KEYS', '*')", "0"),
        ):
            with pytest.raises(
                ResponseError, match=r"(?i)NOPERM|no permission|ACL failure|can't run this command"
            ):
                ours.execute_command(*command)


class TestTheProbe:
    @pytest.fixture
    def way(self, connector: Connector) -> Store:
        return make_store(connector, "probe")

    async def test_it_is_harmless_and_leaves_nothing(
        self, way: Store, keys: Keys, redis: Redis
    ) -> None:
        await way.open()
        replies = await way.ask(rights_probe(keys))
        await way.close()
        assert not [reply for reply in replies if isinstance(reply, ReplyError)]
        assert redis.keys(f"{keys.prefix}:*") == []

    @pytest.mark.parametrize(
        "command", ["blmove", "ltrim", "zrange", "smembers", "hgetall", "incrby", "xadd"]
    )
    async def test_a_missing_right_is_named(
        self, store: EmbeddedServer, keys: Keys, redis: Redis, command: str
    ) -> None:
        ask: Any = redis.execute_command
        rules = f"on >pw {rights(keys.prefix)} -{command}".split()
        ask("ACL", "SETUSER", keys.prefix, *rules)
        try:
            url = f"redis://{keys.prefix}:pw@127.0.0.1:{store.address.port}"
            way = make_store(Connector(url, RedisSettings()), "probe")
            await way.open()
            replies = await way.ask(rights_probe(keys))
            await way.close()
        finally:
            ask("ACL", "DELUSER", keys.prefix)
        refused = [str(reply) for reply in replies if isinstance(reply, ReplyError)]
        # Later ones may miss what a refused one was to make.
        assert refused[0].startswith("NOPERM")
        assert command in refused[0].lower()

    def test_a_line_has_the_password_as_a_hash_only(self) -> None:
        line = acl_line("sb", "pw")
        assert ">pw" not in line.split()
        assert f"#{hashlib.sha256(b'pw').hexdigest()}" in line.split()
