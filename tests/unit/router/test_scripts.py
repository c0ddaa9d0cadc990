import hashlib

import pytest
from redis import Redis

from router.store import scripts
from router.store.connect import Connector
from router.store.link import Link
from router.store.scripts import Script


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_a_script_is_known_by_what_the_store_calls_it(script: Script, redis: Redis) -> None:
    assert redis.script_load(script.source.decode()) == script.sha
    assert hashlib.sha1(script.source, usedforsecurity=False).hexdigest() == script.sha


def test_no_two_scripts_share_a_name_or_a_text() -> None:
    assert len({script.name for script in scripts.ALL}) == len(scripts.ALL)
    assert len({script.sha for script in scripts.ALL}) == len(scripts.ALL)


async def test_all_are_loaded_by_one_write(connector: Connector, redis: Redis) -> None:
    link = Link(connector, "test")
    await link.open()
    redis.script_flush()
    replies = await link.ask(scripts.LOAD_ALL, len(scripts.ALL))
    await link.close()
    assert replies == [script.sha.encode() for script in scripts.ALL]


async def test_a_packed_call_says_how_many_of_its_words_are_keys() -> None:
    command = scripts.TRIM.pack(("a", "b", "c"), 7, b"\x00")
    assert command.key == "a"
    words = command.packed.split(b"\r\n")[2::2]
    assert words == [
        b"EVALSHA",
        scripts.TRIM.sha.encode(),
        b"3",
        b"a",
        b"b",
        b"c",
        b"7",
        b"\x00",
    ]
