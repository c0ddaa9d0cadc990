"""`/metrics` of a real node, read by the parsers of prometheus-client."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from unittest.mock import patch

from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from node.observe.catalog import METRICS
from router.model import UserId
from router.store.connect import Connector
from tests.support.api_case import ApiCase
from tests.support.waiting import eventually

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
Parse = Callable[[str], Iterable[Family]]


class MetricsTest(ApiCase):
    def page(self, accept: str = "*/*") -> tuple[str, str]:
        answer = self.fetch("/metrics", headers={"Accept": accept})
        assert answer.code == 200, answer.body
        return answer.body.decode(), answer.headers["Content-Type"]

    def scrape(self, accept: str = "*/*", parse: Parse = parse_text) -> dict[str, Family]:
        return {family.name: family for family in parse(self.page(accept)[0])}

    def value(self, name: str, **labels: str) -> float:
        """Return one sample as a scrape shows it now."""
        found = [
            sample.value
            for family in self.scrape().values()
            for sample in family.samples
            if sample.name == f"switchboard_{name}" and sample.labels == labels
        ]
        assert len(found) == 1, (name, labels, found)
        return found[0]

    def send(self, user: str, **fields: Any) -> str:
        body = {"data": "s3cret words", **fields}
        answer = self.ask("POST", f"/api/v1/users/{user}/messages", body)
        outcome: str = answer.document["outcome"]
        return outcome

    def until(self, condition: Callable[[], bool]) -> None:
        self.wait_for(eventually(condition))

    def test_every_metric_is_there_in_both_formats_and_no_other_of_ours(self) -> None:
        wanted = {metric.name: metric.kind.value for metric in METRICS}
        for accept, parse in (("*/*", parse_text), (OPENMETRICS, parse_openmetrics)):
            found = self.scrape(accept, parse)
            ours = {name: f.type for name, f in found.items() if name.startswith("switchboard_")}
            assert ours == wanted
            assert all(family.documentation for family in found.values())

    def test_the_format_is_the_one_asked_for(self) -> None:
        text, content_type = self.page()
        assert content_type.startswith("text/plain; version=0.0.4")
        assert not text.endswith("# EOF\n")
        text, content_type = self.page(OPENMETRICS)
        assert content_type.startswith("application/openmetrics-text; version=1.0.0")
        assert text.endswith("# EOF\n")

    def test_a_message_shows_in_every_number_that_it_concerns(self) -> None:
        self.connect_user("alice")
        assert self.send("alice") == "delivered"
        assert self.send("bob") == "offline"
        assert self.value("sends_total") == 2
        assert self.value("outcomes_total", outcome="delivered") == 1
        assert self.value("outcomes_total", outcome="offline") == 1
        assert self.value("outcomes_total", outcome="busy") == 0
        assert self.value("outcome_seconds_count") == 2
        assert self.value("received_total") == 1
        assert self.value("delivered_total") == 1
        assert self.value("send_to_write_seconds_count") == 1
        assert self.value("send_to_write_seconds_bucket", le="+Inf") == 1
        assert self.value("batch_messages_count") >= 1
        assert self.value("pushes_total") >= 1
        assert self.value("waiting_sends") == 0
        assert self.value("inbox_messages") == 0
        assert self.value("store_up") == 1
        assert self.value("store_round_trips_total") > 0

    def test_sessions_are_counted_from_their_handshake_to_their_end(self) -> None:
        client = self.connect_user("alice")
        assert (self.value("sessions"), self.value("sessions_opened_total")) == (1, 1)
        self.until(lambda: self.value_of_counts("registered") == 1)
        self.ask("DELETE", "/api/v1/users/alice/sessions", None)
        self.until(lambda: not len(self.node.hub))
        assert self.value("sessions") == 0
        assert self.value("sessions_closed_total", code="4410") == 1
        assert self.value("slow_consumers_closed_total") == 0
        self.wait_for(client.close())
        refused = self.fetch("/ws?user=", headers={"Upgrade": "websocket"})
        assert refused.code == 422, refused.body
        assert self.node.counts.refused == {"invalid_user": 1}
        assert self.value("handshakes_refused_total", code="invalid_user") == 1

    def value_of_counts(self, name: str) -> int:
        number: int = getattr(self.node.counts, name)
        return number

    def test_a_canary_is_no_message(self) -> None:
        self.wait_for(self.sing())
        self.until(lambda: self.node.counts.canary_s > 0)
        assert self.value("sends_total") == 0
        assert sum(self.node.counts.outcomes.values()) == 0
        assert 0 < self.value("inbox_lag_seconds") < 20

    async def sing(self) -> None:
        self.node.canary._sing()

    def test_no_user_session_or_word_of_a_message_is_shown(self) -> None:
        self.connect_user("alice-in-wonderland", device="looking-glass")
        assert self.send("alice-in-wonderland", **{"from": "white-rabbit"}) == "delivered"
        session = self.node.hub.get(UserId("alice-in-wonderland"))[0]
        planted = ("alice", "glass", "rabbit", "s3cret", session.id, self.settings.registry.prefix)
        for accept in ("*/*", OPENMETRICS):
            text, _ = self.page(accept)
            assert [word for word in planted if word in text] == []

    def test_a_page_from_elsewhere_reads_nothing(self) -> None:
        answer = self.ask("GET", "/metrics", Origin="https://evil.example")
        self.assert_problem(answer, 403, "forbidden")

    def test_what_the_system_says_of_the_process_is_there(self) -> None:
        found = self.scrape()
        for name in ("process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"):
            assert found[name].samples[0].value > 0

    def test_without_the_store_all_but_the_length_of_the_inbox_is_shown(self) -> None:
        may_return = asyncio.Event()

        async def turn(_: Connector) -> None:
            await may_return.wait()

        with patch.object(Connector, "turn", turn):
            self.node.member.store.link_of("").abort("for the test")
            self.until(lambda: not self.node.member.store.up)
            found = self.scrape()
            may_return.set()
        assert found["switchboard_store_up"].samples[0].value == 0
        assert found["switchboard_inbox_messages"].samples == []
        assert found["switchboard_ready"].samples[0].value == 0
        self.until(lambda: self.node.member.store.up)


class SwitchedOffTest(ApiCase):
    overrides: ClassVar[dict[str, dict[str, Any]]] = {"node": {"metrics": False}}

    def test_there_is_nothing_and_no_time_is_measured(self) -> None:
        self.connect_user("alice")
        sent = self.ask("POST", "/api/v1/users/alice/messages", {"data": json.loads("1")})
        assert sent.document["outcome"] == "delivered"
        self.assert_problem(self.ask("GET", "/metrics"), 404, "not_found")
        counts = self.node.counts
        assert (counts.outcome_s.count, counts.written_s.count) == (0, 0)
        assert (counts.sends, counts.delivered) == (1, 1)
