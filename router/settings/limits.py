"""The section about what clients may do, and how many of them there may be."""

from typing import Annotated

from pydantic import Field

from router.settings.section import Count, Seconds, Section

_Rate = Annotated[float, Field(ge=1, le=1e9)]
_SlowRate = Annotated[float, Field(ge=0.01, le=1e9)]


class LimitSettings(Section):
    """Bounds on clients; every one of them can be changed while a node runs."""

    frames_per_second: _Rate = 20.0
    frames_burst: Count = 40
    bytes_per_second: Annotated[int, Field(ge=1_024)] = 262_144
    strikes: Count = 3
    user_messages_per_second: _SlowRate = 50.0
    user_messages_burst: Count = 100
    user_refusals: Count = 100
    user_sessions: Count = 10
    address_sessions: Count = 100
    address_handshakes_per_second: _SlowRate = 2.0
    address_handshakes_burst: Count = 20
    sessions: Count = 20_000
    handshakes_per_second: _Rate = 500.0
    http_connections: Count = 5_000
    header_s: Seconds = 10.0
    body_s: Seconds = 30.0
    idle_s: Seconds = 60.0
    header_bytes: Annotated[int, Field(ge=1_024, le=1024 * 1024)] = 16_384
    frame_recipients: Annotated[int, Field(ge=1, le=1_000)] = 1_000
    call_recipients: Annotated[int, Field(ge=1, le=10_000)] = 10_000
