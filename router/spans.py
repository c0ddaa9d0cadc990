"""Spans of OpenTelemetry for what happens to messages; the only module that knows its library.

Only the API is used: without an SDK in the program (`opentelemetry-instrument` sets one up) nothing
is recorded. No user and no data is in a span.
Source: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

import time
from typing import Final

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

from router.trace import Trace

_NS: Final = 1_000_000_000
_SYSTEM: Final = {"messaging.system": "switchboard"}


class OtelSend:
    """One send's span; see `tracing.SendSpan`.

    Args:
        tracer: makes its child.
        span: begun.
        noted: whether the steps are kept, too.
    """

    def __init__(self, tracer: otel.Tracer, span: Span, *, noted: bool) -> None:
        self._tracer = tracer
        self._span = span
        context = span.get_span_context()
        self._began = time.time_ns()
        self.trace = Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", noted=noted)

    def end(self, outcomes: list[str], pushed_at: float | None) -> None:
        """See `SendSpan.end`."""
        if pushed_at is not None:
            push = self._tracer.start_span(
                "switchboard look up and push",
                context=otel.set_span_in_context(self._span),
                attributes=_SYSTEM,
                start_time=self._began,
            )
            push.end(round(pushed_at * _NS))
        for outcome in sorted(set(outcomes)):
            self._span.set_attribute(f"switchboard.outcome.{outcome}", outcomes.count(outcome))
        self._span.end()


class OtelSpans:
    """Makes spans with whatever tracer the program has set up; see `tracing.Spans`."""

    def __init__(self) -> None:
        self._tracer = otel.get_tracer("switchboard")

    def begin(self, trace: Trace | None, message: str, users: int) -> OtelSend | None:
        """See `Spans.begin`."""
        span = self._tracer.start_span(
            "switchboard send",
            context=None if trace is None else _remote(trace),
            kind=SpanKind.PRODUCER,
            attributes={
                **_SYSTEM,
                "messaging.operation.type": "send",
                "messaging.message.id": message,
                "messaging.batch.message_count": users,
            },
        )
        context = span.get_span_context()
        if not context.is_valid or not context.trace_flags.sampled:
            span.end()
            return None
        return OtelSend(self._tracer, span, noted=trace is not None and trace.noted)

    def told(self, name: str, trace: Trace, began: float, ended: float) -> None:
        """See `Spans.told`."""
        span = self._tracer.start_span(
            name,
            context=_remote(trace),
            kind=SpanKind.CONSUMER,
            attributes=_SYSTEM,
            start_time=round(began * _NS),
        )
        span.end(round(ended * _NS))


def _remote(trace: Trace) -> Context:
    """Return the context of a span somewhere else."""
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    parent = SpanContext(int(trace.id, 16), int(trace.span, 16), is_remote=True, trace_flags=flags)
    return otel.set_span_in_context(NonRecordingSpan(parent), Context())
