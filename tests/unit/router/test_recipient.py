"""A process without sockets: what it says of whatever is handed to it."""

import pytest

from router.codec import Answer, KickEnvelope, MessageEnvelope
from router.model import UserId
from router.recipient import Nobody, Recipient


def message(users: list[str] | None) -> MessageEnvelope:
    refs = list(range(len(users or ())))
    return MessageEnvelope("m1", "n1.aa", "", 2, 0, 1.0, 0, users, refs, b"1")


@pytest.mark.parametrize("users", [None, [], ["alice"], ["alice", "bob", "alice"]])
def test_nobody_holds_none_of_the_users(users: list[str] | None) -> None:
    missed = Nobody().message(message(users))
    assert missed == [(index, Answer.NOT_HERE) for index in range(len(users or ()))]


def test_nobody_has_sessions_to_close_to_write_to_or_to_keep() -> None:
    nobody: Recipient = Nobody()
    assert nobody.kick(KickEnvelope("n1.aa", 1, "alice", "", "")) == 0
    nobody.flush()
    assert nobody.sessions_of(UserId("alice")) == ()
