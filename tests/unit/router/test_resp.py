from router.store.resp import NO_REPLY, pack


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
