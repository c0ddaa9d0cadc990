"""The HTTP API: one table of addresses, from which the routes and the document are made."""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from node.auth import Gate
from node.auth.origins import Origins
from node.auth.tickets import Tickets
from node.handlers import (
    api_messages,
    api_nodes,
    api_tickets,
    api_traces,
    api_users,
    health,
    metrics,
)
from node.handlers.base import MAX_BODY_BYTES, ApiContext, ApiHandler
from node.handlers.openapi import document
from node.handlers.problem import NotFound
from node.observe.metrics import Metrics
from node.pace import Limits
from router.aio import Router
from router.settings import LimitSettings

__all__ = ["MAX_BODY_BYTES", "TABLE", "context", "public_routes", "routes"]

_NOTHING: Final = (r"/api(?:/.*)?", NotFound)

_TICKETS: Final = "/api/v1/tickets"
# What must be where users come, when the rest is not: for them, and for who sends them there.
_PUBLIC: Final = (_TICKETS, "/healthz", "/readyz")
TABLE: Final[tuple[tuple[str, type[ApiHandler]], ...]] = (
    ("/api/v1/users/{user}/messages", api_messages.MessagesHandler),
    ("/api/v1/messages", api_messages.MessageToManyHandler),
    ("/api/v1/broadcast", api_messages.BroadcastHandler),
    ("/api/v1/users", api_users.UsersHandler),
    ("/api/v1/users/query", api_users.LocateHandler),
    ("/api/v1/users/{user}", api_users.UserHandler),
    ("/api/v1/users/{user}/sessions", api_users.SessionsHandler),
    ("/api/v1/users/{user}/sessions/{session}", api_users.SessionsHandler),
    (_TICKETS, api_tickets.TicketsHandler),
    ("/api/v1/nodes", api_nodes.NodesHandler),
    ("/api/v1/traces/{trace}", api_traces.TraceHandler),
    ("/api/v1/nodes/{node}/drain", api_nodes.DrainHandler),
    ("/api/v1/stats", api_nodes.StatsHandler),
    ("/api/v1/openapi.json", api_nodes.DocumentHandler),
    ("/healthz", health.HealthHandler),
    ("/readyz", health.ReadyHandler),
    ("/metrics", metrics.MetricsHandler),
)


def context(
    router: Router,
    gate: Gate,
    tickets: Tickets,
    ready: Callable[[], str | None],
    shown: Metrics | None = None,
    limits: Limits | None = None,
) -> ApiContext:
    """Return what the handlers of the API need.

    Args:
        router: of this node, entered.
        gate: says who may call.
        tickets: makes one-time tickets.
        ready: returns None while new sessions may come here, else why not, in words.
        shown: what `/metrics` shows; None when it is switched off.
        limits: in force; None for the defaults.
    """
    described = msgspec.json.encode(document(TABLE, wants_keys=gate.wants_keys))
    pages_elsewhere = Origins(router.member.settings.auth.origins)
    found = limits or Limits(LimitSettings())
    return ApiContext(router, gate, ready, described, tickets, pages_elsewhere, shown, found)


def routes(known: ApiContext) -> list[Any]:
    """Return the Tornado routes of the API, those of its health included."""
    rules: list[Any] = [(_pattern(path), handler, {"context": known}) for path, handler in TABLE]
    return [*rules, _NOTHING]


def public_routes(known: ApiContext) -> list[Any]:
    """Return what is left of them where users come, when the API listens elsewhere.

    Tickets are made there for users' own tokens only: a key has nothing to do in the open.
    """
    rules: list[Any] = [
        (_pattern(path), handler, {"context": known}) for path, handler in TABLE if path in _PUBLIC
    ]
    for _, handler, arguments in rules:
        if handler is api_tickets.TicketsHandler:
            arguments["takes_keys"] = False
    return [*rules, _NOTHING]


def _pattern(path: str) -> str:
    """Return the expression for an address; an empty part is for the handler to refuse."""
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]*)", re.escape(path))
