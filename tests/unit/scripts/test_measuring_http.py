import pytest

from scripts.measuring.http import parse, request


def test_a_request_names_its_length_and_closes() -> None:
    assert request("POST", "/x", "h:1", b"{}") == (
        b"POST /x HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_an_answer_is_status_and_value() -> None:
    assert parse(b'HTTP/1.1 200 OK\r\nA: b\r\n\r\n{"ready":true}') == (200, {"ready": True})
    assert parse(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, None)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"junk\r\n\r\n{}"])
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(OSError, match="not an HTTP answer"):
        parse(answer)


def test_a_body_that_is_not_json_is_an_error() -> None:
    with pytest.raises(OSError, match="not JSON"):
        parse(b"HTTP/1.1 200 OK\r\n\r\n<html>")
