import pytest

from node.observe.redaction import redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLWhlcmU"
KEY = "sb_backend_3kTg0tTq8rZpYw1nX5vB7c"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("redis://:hunter2@store:6379/0 is away", "hunter2"),
        ("rediss://node:hunter2@store", "hunter2"),
        ("amqp://guest:hunter2@127.0.0.1:5672/", "hunter2"),
        ("GET /ws?user=a&token=hunter2&x=1", "hunter2"),
        ("GET /ws?ticket=hunter2'", "hunter2"),
        ("Authorization: Bearer hunter2-hunter2", "hunter2"),
        ("authorization: basic aHVudGVyMg==", "aHVudGVyMg"),
        ("Sec-WebSocket-Protocol: switchboard.v1.json, switchboard.bearer.hunter2", "hunter2"),
        (f"no such token: {JWT}", JWT),
        (f"wrong key {KEY}", KEY),
    ],
)
def test_secrets_are_hidden_and_what_is_around_them_stays(text: str, hidden: str) -> None:
    found = redact(text)
    assert hidden not in found
    assert "[hidden]" in found
    assert found.startswith(text[: text.index(hidden)].rpartition("//")[0])


@pytest.mark.parametrize(
    "text",
    [
        "node is up address=127.0.0.1:8003 endpoint=n3.0c4f6b27d1",
        "the store at store:6379 is not available: Connection refused",
        "session opened session=9217044690358bb8 user=alice@example.com",
        "https://docs.example/page?keys=1#token",
        "a bearer of news",
    ],
)
def test_all_else_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
