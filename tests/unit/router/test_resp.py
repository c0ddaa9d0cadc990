import pytest

from router.store.resp import NO_REPLY, Command, id_of, keyed, keyless, pack, text_of


def test_a_command_is_an_array_of_strings() -> None:
    assert pack("GET", "key") == b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"


def test_numbers_and_bytes_are_written_as_they_are() -> None:
    assert pack("A", 7, 0.5, b"\x00\r\n") == (
        b"*4\r\n$1\r\nA\r\n$1\r\n7\r\n$3\r\n0.5\r\n$3\r\n\x00\r\n\r\n"
    )


def test_text_is_utf_8() -> None:
    assert pack("ä") == b"*1\r\n$2\r\n\xc3\xa4\r\n"


def test_a_command_may_be_sent_without_a_reply() -> None:
    assert pack("CLIENT", "REPLY", "SKIP") == NO_REPLY


def test_a_command_knows_the_key_by_which_it_finds_its_server() -> None:
    assert keyed("SET", "a key", 1, b"\x00") == Command("a key", pack("SET", "a key", 1, b"\x00"))
    assert keyless("TIME") == Command("", pack("TIME"))
    assert keyless("INFO", "server").packed == pack("INFO", "server")


def test_what_the_store_holds_is_text_or_none_of_ours() -> None:
    assert text_of("ä b".encode()) == "ä b"
    assert text_of(b"\xff") is None


@pytest.mark.parametrize("name", ["n1.aa", "böb", "x" * 512])
def test_what_the_store_holds_is_an_id_if_it_may_stand_in_keys(name: str) -> None:
    assert id_of(name.encode()) == name


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"a b", b"a{", b"}a", b"a\n", b"x" * 513, b"x" * 511 + "ä".encode()]
)
def test_and_none_otherwise(data: bytes) -> None:
    assert id_of(data) is None
