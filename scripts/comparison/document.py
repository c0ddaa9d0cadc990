"""`results.json` as types: what the file may hold, and nothing else. Pure.

The first six fields are INTERFACE section 7. docs/comparison-results.schema.json is generated from
here (`python -m scripts.comparison.document`), and a test holds the two together.
"""

import sys
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

_Cpu = Annotated[float, Meta(description="CPU seconds per 10,000 messages")]
_PerMessage = Annotated[float, Meta(description="per message, without the idle background")]
_Milliseconds = Annotated[
    float | None, Meta(description="from the call of send to the client's read; null: none came")
]
_Count = Annotated[int, Meta(description="count of messages")]
_Mode = Annotated[
    str,
    Meta(
        description="delivery.mode; routed-delivered is routed with confirm=delivered, "
        "routed-durable is routed with durable messages"
    ),
]
_Nodes = Annotated[int, Meta(description="node processes")]
_Micro = Annotated[float, Meta(description="CPU microseconds of nodes and store, for each user")]


class Cell(Struct, frozen=True, forbid_unknown_fields=True):
    """One mode with one number of nodes under one load, measured once."""

    mode: _Mode
    nodes: _Nodes
    regime: Annotated[
        Literal["full", "rate"], Meta(description="a bounded number under way, or a fixed rate")
    ]
    repeat: Annotated[int, Meta(description="from 0; equal ones were measured side by side")]
    size_bytes: Annotated[int, Meta(description="data of a message, as compact JSON")]
    messages: Annotated[int, Meta(description="sent, each to one user")]
    per_second: Annotated[float, Meta(description="delivered, first send to last receipt")]
    p50_ms: _Milliseconds
    p95_ms: _Milliseconds
    p99_ms: _Milliseconds
    cpu_nodes: _Cpu
    cpu_store: _Cpu
    cpu_sender: _Cpu
    store_commands: _PerMessage
    store_bytes_in: _PerMessage
    store_bytes_out: _PerMessage
    wasted: Annotated[
        float, Meta(description="per message: nodes that received it and do not hold its user")
    ]
    lost: _Count
    doubled: _Count
    misdelivered: _Count


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a steady stream of messages while something broke."""

    mode: _Mode
    fault: Literal["node killed", "node stopped", "store restarted"]
    nodes: _Nodes
    messages: _Count
    arrived: Annotated[int, Meta(description="at least once")]
    lost_silently: Annotated[
        int, Meta(description="never arrived; the sender was told all is well")
    ]
    told: Annotated[int, Meta(description="never arrived; the sender was told that it may not")]
    unsure: Annotated[int, Meta(description="arrived, although the sender was told it may not")]
    late: Annotated[int, Meta(description="arrived more than a second after the send")]
    twice: Annotated[int, Meta(description="arrived more than once")]
    slowest_ms: _Milliseconds
    outcomes: Annotated[dict[str, int], Meta(description="what the sender was told -> how often")]


class Multicast(Struct, frozen=True, forbid_unknown_fields=True):
    """One message to many users; figures per such message."""

    mode: _Mode
    nodes: _Nodes
    repeat: int
    users: Annotated[int, Meta(description="whom one message is for")]
    messages: int
    cpu_nodes_ms: Annotated[float, Meta(description="CPU milliseconds of the nodes")]
    cpu_store_ms: Annotated[float, Meta(description="CPU milliseconds of the store")]
    cpu_sender_ms: Annotated[float, Meta(description="CPU milliseconds of the sender")]
    envelopes: Annotated[float, Meta(description="handed to nodes, all nodes together")]
    store_commands: _PerMessage
    store_bytes_out: _PerMessage
    p50_ms: _Milliseconds
    p99_ms: _Milliseconds
    lost: _Count
    doubled: _Count
    misdelivered: _Count


class Logins(Struct, frozen=True, forbid_unknown_fields=True):
    """Many users connect, a store dies and comes back, and all leave."""

    mode: _Mode
    nodes: _Nodes
    users: int
    login_us: _Micro
    login_commands: Annotated[float, Meta(description="store commands per login")]
    logins_per_second: float
    logout_us: _Micro
    restart_us: Annotated[
        float, Meta(description="CPU microseconds of nodes and new store, for each user")
    ]
    restart_reachable_s: Annotated[
        float | None,
        Meta(description="from the store's answer to the send that reached all; null: never"),
    ]


class Sticky(Struct, frozen=True, forbid_unknown_fields=True):
    """Users placed by a hash of their IP address, on nodes that do not know each other."""

    nodes: _Nodes
    users: int
    messages: int
    delivered: int
    undelivered_share: Annotated[float, Meta(description="0 to 1")]
    expected_share: Annotated[float, Meta(description="(N-1)/N")]
    misdelivered: _Count


class Fit(Struct, frozen=True, forbid_unknown_fields=True):
    """CPU seconds of nodes and store per 10,000 messages: alpha + beta * f(N) + background."""

    mode: _Mode
    regime: Literal["full", "rate"]
    shape: Annotated[
        Literal["directed", "spread"],
        Meta(description="f(N) = N if spread, N / B * (1 - (1 - 1/N)^B) if directed"),
    ]
    together: Annotated[int, Meta(description="B, messages that travel together")]
    alpha: float
    beta: float
    per_second: Annotated[float, Meta(description="messages per second that it was fitted at")]
    error: Annotated[float, Meta(description="largest distance from a measured median, 0 to 1")]


class Background(Struct, frozen=True, forbid_unknown_fields=True):
    """CPU seconds per second that a cluster uses while nothing is sent."""

    mode: _Mode
    per_node: float
    per_user: float


class Crossing(Struct, frozen=True, forbid_unknown_fields=True):
    """From how many nodes on routed costs less than another mode."""

    mode: _Mode
    regime: Literal["full", "rate"]
    nodes: Annotated[int | None, Meta(description="null: not up to 1,000 nodes")]


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """The cost model: fitted to the medians of the cells, not measured beyond them."""

    formula: str
    fits: list[Fit] = []
    background: list[Background] = []
    crossings: list[Crossing] = []


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """One run of scripts/compare."""

    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    cells: list[Cell]
    faults: list[Fault]
    model: Model
    multicast: list[Multicast] = []
    logins: list[Logins] = []
    sticky: list[Sticky] = []


def load(raw: bytes) -> Document:
    """Return the document in a `results.json`.

    Raises:
        msgspec.MsgspecError: it is none; the sentence says where.
    """
    return msgspec.json.decode(raw, type=Document)


def dump(document: Document) -> bytes:
    """Return the bytes of a `results.json`."""
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def schema() -> bytes:
    """Return the JSON schema of a `results.json`."""
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "results.json of scripts/compare",
        **msgspec.json.schema(Document),
    }
    return msgspec.json.format(msgspec.json.encode(found)) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(schema())
