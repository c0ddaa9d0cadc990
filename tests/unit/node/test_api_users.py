"""The online registry over HTTP, and closing sessions."""

from typing import Any
from unittest.mock import patch

from router.model import SessionId
from tests.support.api_case import ApiCase

USERS = "/api/v1/users"


class ListTest(ApiCase):
    def test_online_users_are_listed_in_the_order_of_their_ids(self) -> None:
        bob = self.connect_user("bob")
        self.connect_user("alice")
        self.connect_user("alice", device="phone")
        answer = self.ask("GET", USERS)
        assert answer.status == 200
        assert answer.document.keys() == {"users", "cursor"}
        assert answer.document["cursor"] is None
        alice_row, bob_row = answer.document["users"]
        assert (alice_row["user"], alice_row["sessions"]) == ("alice", 2)
        assert (bob_row["user"], bob_row["sessions"]) == ("bob", 1)
        assert alice_row["nodes"] == bob_row["nodes"] == [bob.node]
        assert alice_row["since"] > 0

    def test_nobody_online_is_an_empty_page(self) -> None:
        assert self.ask("GET", USERS).document == {"users": [], "cursor": None}

    def test_pages_follow_one_another_by_cursor(self) -> None:
        names = ["a1", "a2", "a3", "b1", "ü1"]
        for name in names:
            self.connect_user(name)
        found: list[str] = []
        query = "?limit=2"
        while True:
            page = self.ask("GET", USERS + query).document
            assert len(page["users"]) <= 2
            found += [row["user"] for row in page["users"]]
            if page["cursor"] is None:
                break
            query = f"?limit=2&cursor={page['cursor']}"
        assert found == names

    def test_a_prefix_and_a_node_narrow_the_list(self) -> None:
        for name in ("a1", "a2", "b1"):
            self.connect_user(name)
        assert self.names("?prefix=a") == ["a1", "a2"]
        assert self.names("?prefix=%C3%BC") == []
        assert self.names("?node=n1&prefix=b") == ["b1"]
        assert self.names("?node=elsewhere") == []
        assert self.names("?node=&prefix=&cursor=") == ["a1", "a2", "b1"]
        assert self.names("?prefix=b&prefix=a") == ["a1", "a2"]

    def names(self, query: str) -> list[str]:
        return [row["user"] for row in self.ask("GET", USERS + query).document["users"]]

    def test_a_query_that_cannot_be_used_is_refused_and_the_field_named(self) -> None:
        for query, field in (
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=many", "limit"),
            ("limit=", "limit"),
            ("limit=1.5", "limit"),
            ("limits=5", "limits"),
            ("prefix=%FF", "prefix"),
            (f"prefix={'x' * 129}", "prefix"),
        ):
            answer = self.ask("GET", f"{USERS}?{query}")
            self.assert_problem(answer, 422, "invalid_request", field)


class QueryTest(ApiCase):
    def test_those_who_are_online_are_told_with_their_nodes(self) -> None:
        self.connect_user("alice")
        answer = self.ask("POST", f"{USERS}/query", {"users": ["alice", "bob"]})
        assert (answer.status, answer.document) == (200, {"online": {"alice": ["n1"]}})

    def test_asking_for_nobody_is_answered_with_nobody(self) -> None:
        answer = self.ask("POST", f"{USERS}/query", {"users": []})
        assert (answer.status, answer.document) == (200, {"online": {}})

    def test_a_list_that_cannot_be_used_is_refused(self) -> None:
        cases: list[tuple[Any, str, str]] = [
            ({}, "invalid_request", "users"),
            ({"users": "alice"}, "invalid_request", "users"),
            ({"users": [None]}, "invalid_request", "users[0]"),
            ({"users": ["a b"]}, "invalid_user", "users"),
            ({"users": [f"u{n}" for n in range(1001)]}, "invalid_request", "users"),
            ({"users": [], "node": "n1"}, "invalid_request", "node"),
        ]
        for body, code, field in cases:
            self.assert_problem(self.ask("POST", f"{USERS}/query", body), 422, code, field)

    def test_a_full_list_of_the_longest_ids_is_no_body_too_large(self) -> None:
        users = [f"{n:04}".ljust(128, "x") for n in range(1000)]
        assert self.ask("POST", f"{USERS}/query", {"users": users}).document == {"online": {}}

    def test_somebody_may_be_called_query(self) -> None:
        self.connect_user("query")
        answer = self.ask("GET", f"{USERS}/query")
        assert (answer.status, answer.document["user"]) == (200, "query")
        assert answer.document["online"]


class UserTest(ApiCase):
    def test_a_user_is_shown_with_every_session(self) -> None:
        web = self.connect_user("alice", device="web")
        phone = self.connect_user("alice", device="phone")
        answer = self.ask("GET", f"{USERS}/alice")
        assert answer.status == 200
        sessions = answer.document.pop("sessions")
        assert answer.document == {
            "user": "alice",
            "online": True,
            "mailbox": 0,
            "last_seen": None,
        }
        by_device = {session.pop("device"): session for session in sessions}
        for client, device in ((web, "web"), (phone, "phone")):
            shown = by_device[device]
            assert shown.pop("since") > 0
            assert shown == {
                "session": client.session,
                "node": "n1",
                "endpoint": self.node.member.endpoint.id,
                "address": "127.0.0.1",
            }

    def test_a_user_who_left_was_last_seen(self) -> None:
        client = self.connect_user("alice")
        self.ask("DELETE", f"{USERS}/alice/sessions")
        self.wait_for(client.closed())
        self.wait_for(self.node.presence.stop(5.0))
        shown = self.ask("GET", f"{USERS}/alice").document
        assert not shown["online"]
        assert shown["last_seen"] > 0

    def test_a_user_never_seen_is_offline_and_not_an_error(self) -> None:
        assert self.ask("GET", f"{USERS}/nobody").document == {
            "user": "nobody",
            "online": False,
            "sessions": [],
            "mailbox": 0,
            "last_seen": None,
        }

    def test_a_user_id_that_breaks_the_rules_is_refused(self) -> None:
        for path in ("", "a%20b", "%FF"):
            answer = self.ask("GET", f"{USERS}/{path}")
            self.assert_problem(answer, 422, "invalid_user", "user")


class KickTest(ApiCase):
    def test_all_sessions_are_closed_and_hear_why(self) -> None:
        clients = [self.connect_user("alice"), self.connect_user("alice")]
        bob = self.connect_user("bob")
        answer = self.ask("DELETE", f"{USERS}/alice/sessions?reason=see%20you")
        assert (answer.status, answer.document) == (200, {"closed": 2})
        for client in clients:
            code, reason, frames = self.wait_for(client.closed())
            assert (code, reason) == (4410, "see you")
            assert frames[-1]["type"] == "goodbye"
        assert self.wait_for(bob.nothing_came())

    def test_one_session_is_closed_by_its_id(self) -> None:
        first, second = self.connect_user("alice"), self.connect_user("alice")
        path = f"{USERS}/alice/sessions/{first.session}"
        answer = self.ask("DELETE", path, {"reason": "this one"})
        assert (answer.status, answer.document) == (200, {"closed": 1})
        assert self.wait_for(first.closed())[:2] == (4410, "this one")
        assert self.wait_for(second.nothing_came())

    def test_nobody_to_close_is_none_closed(self) -> None:
        self.connect_user("alice")
        for path in ("bob/sessions", "alice/sessions/nosuchsession"):
            assert self.ask("DELETE", f"{USERS}/{path}").document == {"closed": 0}

    def test_a_request_that_cannot_be_used_is_refused(self) -> None:
        path = f"{USERS}/alice/sessions"
        cases: list[tuple[str, Any, str, str]] = [
            (f"{USERS}/a%20b/sessions", None, "invalid_user", "user"),
            (f"{path}/", None, "invalid_request", "session"),
            (path, {"reasons": "x"}, "invalid_request", "reasons"),
            (path, {"reason": 1}, "invalid_request", "reason"),
            (path, {"reason": "x" * 101}, "invalid_request", "reason"),
            (path, {"reason": "a\nb"}, "invalid_request", "reason"),
            (f"{path}?reason=a%0Ab", {"reason": "fine"}, "invalid_request", "reason"),
            (f"{path}?reasons=x", {"reason": "fine"}, "invalid_request", "reasons"),
            (f"{path}?why=x", None, "invalid_request", "why"),
        ]
        for where, body, code, field in cases:
            self.assert_problem(self.ask("DELETE", where, body), 422, code, field)

    def test_an_empty_session_id_never_stands_for_all_of_them(self) -> None:
        with patch.object(self.router, "kick") as kick:
            self.ask("DELETE", f"{USERS}/alice/sessions/")
        kick.assert_not_called()

    def test_a_session_id_is_percent_decoded(self) -> None:
        seen: list[SessionId | None] = []

        async def kick(_: str, *, session: SessionId | None, reason: str) -> int:
            seen.append(session)
            return 0

        with patch.object(self.router, "kick", kick):
            self.ask("DELETE", f"{USERS}/alice/sessions/a%2Fb")
        assert seen == ["a/b"]
