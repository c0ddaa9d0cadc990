"""Whether the process is up, and whether it wants sessions."""

from unittest.mock import patch

from tests.support.api_case import ApiCase


class HealthTest(ApiCase):
    def test_a_process_that_answers_is_up(self) -> None:
        answer = self.ask("GET", "/healthz")
        assert (answer.status, answer.document) == (200, {"ok": True})

    def test_a_node_with_a_lease_and_a_store_is_ready(self) -> None:
        answer = self.ask("GET", "/readyz")
        assert (answer.status, answer.document) == (200, {"ready": True})

    def test_a_monitor_may_ask_with_head(self) -> None:
        for path in ("/healthz", "/readyz"):
            answer = self.ask("HEAD", path)
            assert (answer.status, answer.document) == (200, None)

    def test_a_node_that_stops_is_not_ready_but_healthy(self) -> None:
        self.wait_for(self.node.stop())
        answer = self.ask("GET", "/readyz")
        assert answer.status == 503
        assert answer.document == {"ready": False, "reason": "the node is draining"}
        assert "Retry-After" in answer.headers
        assert self.ask("GET", "/healthz").status == 200

    def test_a_node_whose_lease_has_ended_says_so(self) -> None:
        with patch.object(type(self.node.member.endpoint), "alive", False):
            answer = self.ask("GET", "/readyz")
        assert answer.document == {"ready": False, "reason": "the node's lease has ended"}


class BeforeTheStoreTest(ApiCase):
    def start(self) -> None:
        """Leave the node as it is before it has reached its store."""

    def test_a_node_without_a_store_is_not_ready_but_healthy(self) -> None:
        answer = self.ask("GET", "/readyz")
        assert answer.status == 503
        assert answer.document == {"ready": False, "reason": "the store is not available"}
        assert self.ask("GET", "/healthz").status == 200

    def test_every_question_to_the_store_is_unavailable_and_worth_repeating(self) -> None:
        for method, path, body in (
            ("POST", "/api/v1/users/alice/messages", {"data": 1}),
            ("POST", "/api/v1/messages", {"to": ["alice"], "data": 1}),
            ("POST", "/api/v1/broadcast", {"data": 1}),
            ("GET", "/api/v1/users", None),
            ("POST", "/api/v1/users/query", {"users": ["alice"]}),
            ("GET", "/api/v1/users/alice", None),
            ("DELETE", "/api/v1/users/alice/sessions", None),
            ("GET", "/api/v1/nodes", None),
            ("GET", "/api/v1/stats", None),
        ):
            with self.subTest(method=method, path=path):
                answer = self.ask(method, path, body)
                self.assert_problem(answer, 503, "unavailable")
                assert int(answer.headers["Retry-After"]) >= 1
