"""Sending over HTTP, with a real node, a real store and real clients."""

import json
from typing import Any, ClassVar
from unittest.mock import patch

from router.model import MessageId, Outcome, SendResult, UserId
from tests.support.api_case import ApiCase

TO_ALICE = "/api/v1/users/alice/messages"
MANY = "/api/v1/messages"
ALL = "/api/v1/broadcast"


class SendTest(ApiCase):
    overrides: ClassVar = {"node": {"max_message_bytes": 1024}}

    def test_a_user_who_is_there_proves_receipt(self) -> None:
        alice = self.connect_user("alice")
        answer = self.ask("POST", TO_ALICE, {"data": {"order": 42}, "from": "bob"})
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        message = self.wait_for(alice.expect("message"))
        assert answer.document == {
            "id": message["id"],
            "user": "alice",
            "outcome": "delivered",
            "sessions": 1,
        }
        assert message["data"] == {"order": 42}
        assert message["from"] == "bob"

    def test_a_user_who_is_not_there_is_offline_and_that_is_a_true_answer(self) -> None:
        answer = self.ask("POST", TO_ALICE, {"data": 1})
        assert answer.status == 200
        assert answer.document["outcome"] == "offline"
        assert answer.document["sessions"] == 0

    def test_the_sender_chooses_how_far_it_waits(self) -> None:
        self.connect_user("alice")
        accepted = self.ask("POST", TO_ALICE, {"data": 1, "confirm": "accepted"})
        assert (accepted.status, accepted.document["outcome"]) == (202, "accepted")
        written = self.ask("POST", TO_ALICE, {"data": 1, "confirm": "written"})
        assert (written.status, written.document["outcome"]) == (200, "written")

    def test_data_goes_through_as_it_is(self) -> None:
        alice = self.connect_user("alice")
        for text in (
            '{"b":1,"a":[1.0,1e2,12345678901234567890123],"ü":"\\u00e9"}',
            "null",
            '""',
            '{ "spaced" : true }',
        ):
            assert self.ask("POST", TO_ALICE, f'{{"data":{text}}}'.encode()).status == 200
            frame = str(self.wait_for(alice.connection.recv()))
            assert f'"data":{text},' in frame

    def test_every_id_a_user_may_have_can_stand_in_the_path(self) -> None:
        for user, path in (
            ("a/b", "a%2Fb"),
            ("müller", "m%C3%BCller"),
            ("'\"<&", "%27%22%3C%26"),
            ("a+b", "a+b"),
            ("100%", "100%25"),
            ("x" * 128, "x" * 128),
        ):
            answer = self.ask("POST", f"/api/v1/users/{path}/messages", {"data": 1})
            assert (answer.status, answer.document["user"]) == (200, user)

    def test_a_user_id_that_breaks_the_rules_is_refused(self) -> None:
        for path in ("", "%20", "a%20b", "%7Ba%7D", "a%0Ab", "x" * 129, "%FF", "%E2%80%AE"):
            answer = self.ask("POST", f"/api/v1/users/{path}/messages", {"data": 1})
            self.assert_problem(answer, 422, "invalid_user", "user")

    def test_a_body_that_cannot_be_used_is_refused_and_the_field_named(self) -> None:
        cases: list[tuple[bytes, str]] = [
            (b"", "data"),
            (b"{", "body"),
            (b"nope", "body"),
            (b'{"data":nope}', "body"),
            (b'{"data":NaN}', "body"),
            (b'{"data":"\xff"}', "body"),
            (b'{"data":"\\ud800"}', "body"),
            (b'{"data":1}{}', "body"),
            (b'{"data":' + b"[" * 2000 + b"]" * 2000 + b"}", "body"),
            (b"[]", "body"),
            (b"null", "body"),
            (b"{}", "data"),
            (b'{"data":1,"dat":2}', "dat"),
            (b'{"data":1,"from":7}', "from"),
            (b'{"data":1,"confirm":"seen"}', "confirm"),
            (b'{"data":1,"confirm":1}', "confirm"),
            (b'{"data":1,"durable":"yes"}', "durable"),
            (b'{"data":1,"timeout_s":0}', "timeout_s"),
            (b'{"data":1,"timeout_s":5e-324}', "timeout_s"),
            (b'{"data":1,"timeout_s":3601}', "timeout_s"),
            (b'{"data":1,"timeout_s":"1"}', "timeout_s"),
            (b'{"data":1,"ttl_s":-1}', "ttl_s"),
            (b'{"data":1,"ttl_s":1e999}', "ttl_s"),
        ]
        for body, field in cases:
            with self.subTest(body=body[:60]):
                answer = self.ask("POST", TO_ALICE, body)
                self.assert_problem(answer, 422, "invalid_request", field)

    def test_a_sender_that_could_not_be_a_user_is_refused(self) -> None:
        answer = self.ask("POST", TO_ALICE, {"data": 1, "from": "a b"})
        self.assert_problem(answer, 422, "invalid_user", "from")

    def test_a_durable_message_waits_for_a_user_who_is_away(self) -> None:
        durable = self.ask("POST", TO_ALICE, {"data": 1, "durable": True}, Idempotency_Key="k1")
        assert (durable.status, durable.document["outcome"]) == (202, "queued")
        again = self.ask("POST", TO_ALICE, {"data": 1, "durable": True}, Idempotency_Key="k1")
        assert (again.status, again.document["outcome"]) == (200, "duplicate")
        assert again.document["id"] == durable.document["id"]

    def test_a_user_who_returns_gets_what_was_queued(self) -> None:
        self.ask("POST", TO_ALICE, {"data": {"n": 1}, "durable": True, "from": "bob"})
        alice = self.connect_user("alice")
        message = self.wait_for(alice.expect("message"))
        assert (message["data"], message["from"], message["replay"]) == ({"n": 1}, "bob", True)
        answer = self.ask("POST", TO_ALICE, {"data": 2, "durable": True})
        assert (answer.status, answer.document["outcome"]) == (200, "delivered")

    def test_a_key_counts_for_each_sender_and_user(self) -> None:
        for path, origin in ((TO_ALICE, "bob"), (TO_ALICE, "carol"), (TO_ALICE, None)):
            body = {"data": 1, "durable": True, "from": origin}
            answer = self.ask("POST", path, body, Idempotency_Key="k")
            assert answer.document["outcome"] == "queued"

    def test_a_key_that_is_none_is_refused(self) -> None:
        for key in ("", "k" * 129):
            answer = self.ask("POST", TO_ALICE, {"data": 1}, Idempotency_Key=key)
            self.assert_problem(answer, 422, "invalid_request", "key")

    def test_an_application_that_is_silent_is_unknown(self) -> None:
        self.connect_user("alice")
        body = {"data": 1, "durable": True, "confirm": "acked", "timeout_s": 0.2}
        answer = self.ask("POST", TO_ALICE, body)
        assert (answer.status, answer.document["outcome"]) == (504, "unknown")
        assert answer.document["reason"].endswith("; the message is stored")

    def test_data_may_be_as_long_as_the_limit_and_no_longer(self) -> None:
        fits = json.dumps("x" * 1022)
        answer = self.ask("POST", TO_ALICE, f'{{"data":{fits}}}'.encode())
        assert answer.status == 200
        longer = json.dumps("x" * 1023)
        answer = self.ask("POST", TO_ALICE, f'{{"data":{longer}}}'.encode())
        self.assert_problem(answer, 413, "too_large", "data")
        assert answer.document["size_bytes"] == 1025
        assert answer.document["limit_bytes"] == 1024

    def test_each_outcome_has_the_status_of_the_contract(self) -> None:
        statuses = {
            "acked": 200,
            "delivered": 200,
            "written": 200,
            "accepted": 202,
            "queued": 202,
            "offline": 200,
            "dropped": 200,
            "busy": 503,
            "expired": 200,
            "duplicate": 200,
            "unknown": 504,
        }
        assert set(statuses) == set(Outcome)
        for outcome in Outcome:

            async def send(user: str, *_: Any, outcome: Outcome = outcome, **__: Any) -> SendResult:
                return SendResult(MessageId("m1"), UserId(user), outcome, 2, "because")

            with patch.object(self.router, "send", send):
                answer = self.ask("POST", TO_ALICE, {"data": 1})
            assert answer.status == statuses[outcome], outcome
            assert ("Retry-After" in answer.headers) == (outcome == "busy")
            assert answer.document == {
                "id": "m1",
                "user": "alice",
                "outcome": outcome,
                "sessions": 2,
                "reason": "because",
            }

    def test_what_nobody_expected_is_500_without_a_word_of_it(self) -> None:
        with patch.object(self.router, "send", side_effect=KeyError("secret")):
            answer = self.ask("POST", TO_ALICE, {"data": 1})
        self.assert_problem(answer, 500, "internal")
        assert "secret" not in json.dumps(answer.document)


class SendToManyTest(ApiCase):
    def test_each_user_gets_an_outcome(self) -> None:
        self.connect_user("alice")
        body = {"to": ["alice", "bob", "alice"], "data": 1, "confirm": "delivered"}
        answer = self.ask("POST", MANY, body)
        assert answer.status == 200
        assert answer.document.keys() == {"id", "outcomes"}
        assert answer.document["outcomes"] == {"alice": "delivered", "bob": "offline"}

    def test_nobody_is_waited_for_unless_it_is_asked_for(self) -> None:
        alice, bob = self.connect_user("alice"), self.connect_user("bob")
        answer = self.ask("POST", MANY, {"to": ["alice", "bob"], "data": 1})
        assert answer.status == 202
        assert answer.document["outcomes"] == {"alice": "accepted", "bob": "accepted"}
        received = [self.wait_for(client.expect("message")) for client in (alice, bob)]
        assert {message["id"] for message in received} == {answer.document["id"]}

    def test_reasons_are_given_where_there_are_some(self) -> None:
        async def send_many(*_: Any, **__: Any) -> dict[UserId, SendResult]:
            alice, bob = UserId("alice"), UserId("bob")
            return {
                alice: SendResult(MessageId("m1"), alice, Outcome.UNKNOWN, 1, "time ran out"),
                bob: SendResult(MessageId("m1"), bob, Outcome.DELIVERED, 1),
            }

        with patch.object(self.router, "send_many", send_many):
            answer = self.ask("POST", MANY, {"to": ["alice", "bob"], "data": 1})
        assert answer.status == 200
        assert answer.document == {
            "id": "m1",
            "outcomes": {"alice": "unknown", "bob": "delivered"},
            "reasons": {"alice": "time ran out"},
        }

    def test_the_longest_list_of_the_longest_ids_is_taken(self) -> None:
        users = [f"{number:05d}".ljust(128, "ü") for number in range(10_000)]
        body = json.dumps({"to": users, "data": "x"}, ensure_ascii=False).encode()
        answer = self.ask("POST", MANY, body)
        assert answer.status == 200
        assert answer.document["outcomes"] == dict.fromkeys(users, "offline")

    def test_a_list_that_cannot_be_used_is_refused(self) -> None:
        too_many = [f"u{number}" for number in range(10_001)]
        cases: list[tuple[Any, str, str]] = [
            ([], "invalid_request", "to"),
            ("alice", "invalid_request", "to"),
            (["alice", 7], "invalid_request", "to[1]"),
            (["alice", "a b"], "invalid_user", "to"),
            (too_many, "invalid_request", "to"),
        ]
        for users, code, field in cases:
            answer = self.ask("POST", MANY, {"to": users, "data": 1})
            self.assert_problem(answer, 422, code, field)
        self.assert_problem(self.ask("POST", MANY, {"data": 1}), 422, "invalid_request", "to")

    def test_durable_messages_wait_for_those_who_are_away(self) -> None:
        body = {"to": ["alice", "bob"], "data": 1, "durable": True}
        answer = self.ask("POST", MANY, body, Idempotency_Key="k")
        assert answer.status == 202
        assert answer.document["outcomes"] == {"alice": "queued", "bob": "queued"}
        again = self.ask("POST", MANY, body, Idempotency_Key="k")
        assert again.document["outcomes"] == {"alice": "duplicate", "bob": "duplicate"}


class BroadcastTest(ApiCase):
    def test_every_session_gets_it(self) -> None:
        clients = [self.connect_user("alice"), self.connect_user("alice"), self.connect_user("bob")]
        answer = self.ask("POST", ALL, {"data": "all", "from": "carol"})
        assert answer.status == 202
        assert answer.document == {"nodes": 1}
        for client in clients:
            message = self.wait_for(client.expect("message"))
            assert (message["data"], message["from"]) == ("all", "carol")

    def test_it_promises_no_more_than_it_can_know(self) -> None:
        assert self.ask("POST", ALL, {"data": 1, "confirm": "accepted"}).status == 202
        answer = self.ask("POST", ALL, {"data": 1, "confirm": "delivered"})
        self.assert_problem(answer, 422, "unsupported", "confirm")
        answer = self.ask("POST", ALL, {"data": 1, "confirm": "loud"})
        self.assert_problem(answer, 422, "invalid_request", "confirm")

    def test_a_body_that_cannot_be_used_is_refused(self) -> None:
        self.assert_problem(self.ask("POST", ALL, {}), 422, "invalid_request", "data")
        answer = self.ask("POST", ALL, {"data": 1, "to": "alice"})
        self.assert_problem(answer, 422, "invalid_request", "to")
