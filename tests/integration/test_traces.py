"""A message that somebody watches, from the HTTP call on one node to the socket on another."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from router.store.embedded import EmbeddedServer
from router.tracing import MAX_STEPS, STEPS_TTL_S, Step
from tests.support.cluster import Cluster, endpoint_of
from tests.support.waiting import eventually

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "nobody may read this"


async def ask(cluster: Cluster, node: int, path: str, body: Any = None, **headers: str) -> Any:
    answer: HTTPResponse = await AsyncHTTPClient().fetch(
        f"http://{cluster.nodes[node].address}{path}",
        method="GET" if body is None else "POST",
        body=None if body is None else json.dumps(body),
        headers=headers,
        raise_error=False,
    )
    return json.loads(answer.body)


async def steps_of(cluster: Cluster, node: int, trace: str) -> list[dict[str, Any]]:
    found = await ask(cluster, node, f"/api/v1/traces/{trace}")
    assert found["trace"] == trace
    steps: list[dict[str, Any]] = found["steps"]
    return steps


class TestSteps:
    async def test_every_step_is_told_in_order_by_the_node_where_it_happened(
        self, cluster: Cluster
    ) -> None:
        await cluster.connect(1, "alice")
        sent = await ask(
            cluster, 0, "/api/v1/users/alice/messages?trace=true", {"data": SECRET, "from": "bob"}
        )
        assert sent["outcome"] == "delivered"

        async def complete() -> bool:
            return len(await steps_of(cluster, 2, sent["trace"])) == len(Step)

        await eventually(complete)
        steps = await steps_of(cluster, 2, sent["trace"])
        there = endpoint_of(cluster.nodes[1])
        assert {(s["step"], s["node"], s["detail"]) for s in steps} == {
            ("accepted", "n1", "for 1 user, confirm delivered"),
            ("looked_up", "n1", there),
            ("pushed", "n1", there),
            ("taken", "n2", "from the inbox"),
            ("written", "n2", "1 session"),
            ("proved", "n1", "delivered by 1 session"),
            ("settled", "n1", "delivered"),
        }
        times = [step["at"] for step in steps]
        assert times == sorted(times)
        assert SECRET not in json.dumps(steps)

    async def test_of_a_user_who_is_away_the_way_ends_at_the_look_up(
        self, cluster: Cluster
    ) -> None:
        sent = await ask(cluster, 0, "/api/v1/users/nobody/messages?trace=true", {"data": 1})
        steps = await steps_of(cluster, 0, sent["trace"])
        assert [step["step"] for step in steps] == ["accepted", "looked_up", "settled"]
        assert [step["detail"] for step in steps[1:]] == ["nowhere", "offline"]

    async def test_a_durable_message_for_nobody_is_settled_as_queued(
        self, cluster: Cluster
    ) -> None:
        path = "/api/v1/users/away/messages?trace=true"
        sent = await ask(cluster, 0, path, {"data": 1, "durable": True})
        steps = await steps_of(cluster, 0, sent["trace"])
        assert steps[-1]["detail"] == "queued"

    async def test_what_is_kept_is_bounded_and_ends(self, cluster: Cluster) -> None:
        await cluster.connect(0, "alice")
        header = f"00-{TRACE}-{SPAN}-00"
        path = "/api/v1/users/alice/messages?trace=true"
        sent = await ask(cluster, 0, path, {"data": 1}, traceparent=header)
        assert sent["trace"] == TRACE  # the caller's own
        key = cluster.keys.steps(TRACE)
        assert 0 < await cluster.redis.pttl(key) <= STEPS_TTL_S * 1000
        await cluster.redis.rpush(
            key, b'{"x":' + b"[" * 100_000, b"\xff", *["not a step"] * 2 * MAX_STEPS
        )
        await ask(cluster, 0, path, {"data": 1}, traceparent=header)
        assert await cluster.redis.llen(key) == MAX_STEPS
        assert len(await steps_of(cluster, 0, TRACE)) < MAX_STEPS

    async def test_a_message_that_nobody_watches_leaves_nothing(self, cluster: Cluster) -> None:
        await cluster.connect(1, "alice")
        sent = await ask(cluster, 0, "/api/v1/users/alice/messages", {"data": 1})
        assert "trace" not in sent
        header = f"00-{TRACE}-{SPAN}-01"  # of a caller who traces, while spans are switched off
        sent = await ask(
            cluster, 0, "/api/v1/users/alice/messages", {"data": 1}, traceparent=header
        )
        assert "trace" not in sent
        assert not [key for key in await cluster.left_behind() if key.endswith(":steps")]

    @pytest.mark.parametrize("mode", ["channel", "broadcast"])
    async def test_every_mode_tells_of_the_steps_that_it_has(
        self, store: EmbeddedServer, mode: str
    ) -> None:
        async with Cluster(store.address.url, 2, delivery={"mode": mode}) as cluster:
            alice = await cluster.connect(1, "alice")
            sent = await ask(cluster, 0, "/api/v1/users/alice/messages?trace=true", {"data": 1})
            assert sent["outcome"] == "accepted"
            await alice.messages(1)

            async def told() -> bool:
                steps = await steps_of(cluster, 0, sent["trace"])
                wanted = {"accepted", "taken", "written", "settled"}
                return wanted <= {step["step"] for step in steps}

            await eventually(told)

    @pytest.mark.parametrize("trace", ["x", "{}", TRACE.upper(), TRACE + "0"])
    async def test_what_is_no_trace_is_refused(self, cluster: Cluster, trace: str) -> None:
        assert (await ask(cluster, 0, f"/api/v1/traces/{trace}"))["field"] == "trace"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Take every span of this process: a program has one provider, once and for all."""
    found = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    otel.set_tracer_provider(provider)
    return found


class TestSpans:
    @pytest.fixture
    async def traced(
        self, store: EmbeddedServer, exporter: InMemorySpanExporter
    ) -> AsyncIterator[Cluster]:
        exporter.clear()
        async with Cluster(store.address.url, 2, log={"traces": True}) as found:
            yield found

    async def spans(self, exporter: InMemorySpanExporter, count: int) -> dict[str, ReadableSpan]:
        await eventually(lambda: len(exporter.get_finished_spans()) >= count)
        found = exporter.get_finished_spans()
        assert len(found) == count, [span.name for span in found]
        return {span.name.removeprefix("switchboard "): span for span in found}

    def check_the_family(self, spans: dict[str, ReadableSpan], parent: str) -> None:
        send = spans["send"]
        assert send.context is not None
        assert send.parent is not None
        assert (f"{send.context.trace_id:032x}", f"{send.parent.span_id:016x}") == (TRACE, parent)
        for name in ("look up and push", "take", "write"):
            span = spans[name]
            assert span.context is not None
            assert span.parent is not None
            assert span.context.trace_id == send.context.trace_id
            assert span.parent.span_id == send.context.span_id
            assert span.start_time is not None
            assert span.end_time is not None
            assert span.start_time <= span.end_time
        text = " ".join(span.to_json() for span in spans.values())
        assert SECRET not in text
        assert "alice" not in text

    async def test_a_call_over_http_is_followed_to_the_socket_on_another_node(
        self, traced: Cluster, exporter: InMemorySpanExporter
    ) -> None:
        await traced.connect(1, "alice")
        header = f"00-{TRACE}-{SPAN}-01"
        path = "/api/v1/users/alice/messages"
        await ask(traced, 0, path, {"data": SECRET}, traceparent=header)
        spans = await self.spans(exporter, 4)
        self.check_the_family(spans, SPAN)
        assert dict(spans["send"].attributes or {})["switchboard.outcome.delivered"] == 1

    async def test_a_frame_of_a_client_may_carry_its_trace_too(
        self, traced: Cluster, exporter: InMemorySpanExporter
    ) -> None:
        await traced.connect(1, "alice")
        bob = await traced.connect(0, "bob")
        header = f"00-{TRACE}-{SPAN}-01"
        await bob.send(type="send", to="alice", data=SECRET, ref=1, traceparent=header)
        assert (await bob.expect("outcome"))["outcome"] == "delivered"
        self.check_the_family(await self.spans(exporter, 4), SPAN)

    async def test_a_program_that_traces_itself_is_the_parent_of_its_sends(
        self, traced: Cluster, exporter: InMemorySpanExporter
    ) -> None:
        await traced.connect(1, "alice")
        async with traced.router(log={"traces": True}) as router:
            with otel.get_tracer("an application").start_as_current_span("order") as order:
                await router.send("alice", SECRET)
        spans = await self.spans(exporter, 5)
        parent = spans["send"].parent
        assert parent is not None
        assert parent.span_id == order.get_span_context().span_id

    async def test_what_the_caller_does_not_sample_costs_nothing_further(
        self, traced: Cluster, exporter: InMemorySpanExporter
    ) -> None:
        await traced.connect(1, "alice")
        header = f"00-{TRACE}-{SPAN}-00"
        await ask(traced, 0, "/api/v1/users/alice/messages", {"data": 1}, traceparent=header)
        assert exporter.get_finished_spans() == ()

    async def test_one_message_to_many_is_one_span(
        self, traced: Cluster, exporter: InMemorySpanExporter
    ) -> None:
        await traced.connect(1, "alice")
        await traced.connect(1, "bob")
        header = f"00-{TRACE}-{SPAN}-01"
        body = {"to": ["alice", "bob", "nobody"], "data": SECRET, "confirm": "delivered"}
        await ask(traced, 0, "/api/v1/messages", body, traceparent=header)
        spans = await self.spans(exporter, 4)
        attributes = dict(spans["send"].attributes or {})
        assert attributes["messaging.batch.message_count"] == 3
        assert attributes["switchboard.outcome.delivered"] == 2
        assert attributes["switchboard.outcome.offline"] == 1
