"""docs/api.md tells what the code does, table by table."""

import inspect
import operator
import re
import tomllib
from typing import Any, ClassVar

import msgspec
import pytest
import typer

from node import acks, disconnects, frames, limits, reload
from node.cli import app
from node.disconnects import Disconnect
from node.figures import ClusterFigures, NodeFigures
from node.handlers import problem
from node.handlers.api import TABLE
from node.handlers.base import Operation
from node.handlers.openapi import operations_of
from router import aio, codec, directory, errors, kicking, model, sync
from router.aio import Router
from router.model import OUTCOMES, Outcome
from router.settings import Settings
from router.transport import base
from tests.support.documents import ROOT, code_in, read

API = read("docs/api.md")
SETTINGS = Settings()
FROM_NODE, FROM_CLIENT = [table for table in API.tables if table.header == ("type", "fields")]
Described = list[tuple[str, bool]]


def described(cell: str) -> Described:
    """Return the names in a cell, and whether each may be left out."""
    return [(name, f"`{name}`?" in cell) for name in code_in(cell)]


def fields_of(struct: type[msgspec.Struct]) -> Described:
    info = msgspec.structs.fields(struct)
    return [(field.encode_name, not field.required) for field in info]


def answer_of(struct: type[msgspec.Struct]) -> Described:
    """Return an answer's fields; only those that are left out when empty may be missing."""
    omits = struct.__struct_config__.omit_defaults
    return [(name, optional and omits) for name, optional in fields_of(struct)]


def test_every_limit_is_told() -> None:
    node = SETTINGS.node
    table = API.table("limit", "value")
    assert dict(zip(table.column("limit"), table.column("value"), strict=True)) == {
        what: f"{value:,}"
        for what, value in {
            "characters of a user id": model.MAX_USER_CHARACTERS,
            "characters of a device or node name": model.MAX_NAME_CHARACTERS,
            "characters of an idempotency key": model.MAX_KEY_CHARACTERS,
            "durable messages stored for one user": SETTINGS.mailbox.max_length,
            "bytes of them": SETTINGS.mailbox.max_bytes,
            "devices of one user whose place is kept": SETTINGS.mailbox.max_devices,
            "messages of one session whose senders wait for `acked`": acks.MAX_WAITING,
            "bytes of one message, either direction": node.max_message_bytes,
            "users in one HTTP send": aio.MAX_USERS_PER_CALL,
            "users in one send frame": frames.MAX_USERS_PER_FRAME,
            "users in one page of the registry": directory.MAX_PAGE,
            "users in one query": directory.MAX_QUERY,
            "envelopes in one inbox": SETTINGS.inbox.max_length,
            "bytes in one inbox": SETTINGS.inbox.max_bytes,
            "bytes that wait for one client": node.max_waiting_bytes,
            "sends of one process that wait for their outcome": SETTINGS.delivery.max_waiting,
            "times a message follows its user": codec.MAX_HOPS,
            "characters of the reason of a kick": kicking.MAX_REASON_CHARACTERS,
        }.items()
    }
    assert base.MAX_DETOURS == codec.MAX_HOPS


class TestLimitsForClients:
    TABLE = API.table("limit", "setting", "default", "what the client sees", "counted as")

    def test_each_is_told_with_its_setting_and_default(self) -> None:
        told = {
            code_in(row[1])[0]: float(row[2].replace(",", "")) for row in self.TABLE.rows if row[1]
        }
        names = [f"limits.{name}" for name in SETTINGS.limits.model_dump()]
        names += ["node.max_message_bytes", "node.max_data_depth", "node.max_waiting_bytes"]
        real = {name: operator.attrgetter(name)(SETTINGS) for name in names}
        assert told == real

    def test_each_word_that_is_counted_is_told(self) -> None:
        told = [code_in(cell)[0] for cell in self.TABLE.column("counted as") if cell]
        sources = [path.read_text() for path in (ROOT / "node").rglob("*.py")]
        said = re.findall(r'(?:\.limit|\.over|_limit)\(\s*"(\w+)"', "\n".join(sources))
        assert sorted(told) == sorted({*said, "frames", "bytes"})

    def test_none_can_be_higher_than_what_a_parser_lets_through(self) -> None:
        assert SETTINGS.limits.frame_recipients == frames.MAX_USERS_PER_FRAME
        assert SETTINGS.limits.call_recipients == aio.MAX_USERS_PER_CALL

    def test_the_window_of_strikes_and_refusals_is_told(self) -> None:
        window = f"in {limits.STRIKE_WINDOW_S:g} s"
        assert sum(window in cell for cell in self.TABLE.column("limit")) == 2


class TestOutcomes:
    TABLE = API.table("outcome", "means", "HTTP", "exit", "today")

    def test_each_is_told_with_what_follows_from_it(self) -> None:
        told = {code_in(row[0])[0]: (int(row[2]), int(row[3])) for row in self.TABLE.rows}
        assert told == {
            outcome.value: (after.http_status, after.exit_status)
            for outcome, after in OUTCOMES.items()
        }

    def test_those_marked_for_later_are_said_by_nobody_yet(self) -> None:
        later = {code_in(row[0])[0] for row in self.TABLE.rows if row[4] == "later"}
        sources = [path for path in (ROOT / "router").rglob("*.py") if path.name != "model.py"]
        text = "\n".join(path.read_text() for path in sources)
        unsaid = {outcome.value for outcome in Outcome if f"Outcome.{outcome.name}" not in text}
        assert later == unsaid

    def test_the_levels_of_confirmation_are_told(self) -> None:
        levels = [f"`{level.name.lower()}`" for level in model.Confirm]
        words = f"{', '.join(levels[:-1])} or {levels[-1]}"
        assert f"its `confirm`: {words}." in API.prose


class TestErrors:
    def test_each_is_told_with_what_follows_from_it(self) -> None:
        table = API.table("code", "means", "HTTP", "exit", "may pass by itself")
        told = {
            code_in(row[0])[0]: (int(row[2]), int(row[3]), row[4] == "yes") for row in table.rows
        }
        assert told == {
            code: (after.http_status, after.exit_status, after.retry)
            for code, after in errors.CONSEQUENCES.items()
        }

    def test_those_of_the_edges_are_told(self) -> None:
        table = API.table("code", "where", "means")
        told = {code_in(row[0])[0]: row[1] for row in table.rows}
        http = {code: f"HTTP, {status}" for status, (code, _) in problem._HTTP_ERRORS.items()}
        http[problem._OTHER_HTTP_ERROR[0]] = "HTTP, 400"
        assert told == {**http, "bad_frame": "WebSocket"}
        assert set(http) | set(errors.CONSEQUENCES) == set(problem._TITLES)


def test_every_request_is_told() -> None:
    told = {
        code_in(row[0])[0]: (
            described(row[1]),
            described(row[2]),
            tuple(int(status) for status in row[3].split(", ")),
        )
        for row in API.table("request", "takes", "answers", "statuses").rows
    }
    real: dict[str, tuple[Described, Described, tuple[int, ...]]] = {}
    for path, handler in TABLE:
        found: dict[str, Operation] = operations_of(handler)
        for method, op in found.items():
            answer = answer_of(op.gives) if op.gives is not None else []
            real[f"{method.upper()} {path}"] = (fields_of(op.takes), answer, op.statuses)
    assert told == real


class TestFrames:
    def test_each_frame_of_the_node_is_told(self) -> None:
        kinds = frames.OutFrame.__args__
        assert [(code_in(row[0])[0], described(row[1])) for row in FROM_NODE.rows] == [
            (kind.__struct_config__.tag, fields_of(kind)) for kind in kinds
        ]

    def test_each_frame_of_a_client_is_told(self) -> None:
        kinds = frames.InFrame.__args__
        assert [(code_in(row[0])[0], described(row[1])) for row in FROM_CLIENT.rows] == [
            (kind.__struct_config__.tag, fields_of(kind)) for kind in kinds
        ]

    def test_both_subprotocols_are_told(self) -> None:
        assert all(f"`{protocol}`" in API.prose for protocol in frames.CODECS)

    def test_each_close_code_is_told(self) -> None:
        rows = API.table("code", "means", "come back").rows
        codes = [value for value in vars(disconnects).values() if isinstance(value, Disconnect)]
        assert [(int(code), means, back == "yes") for code, means, back in rows] == [
            (found.code, found.reason, found.reconnect)
            for found in sorted(codes, key=lambda found: found.code)
        ]


def calls_of(router: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(router) if not name.startswith("_")}


def test_the_feed_of_the_dashboard_is_told() -> None:
    rows = API.table("field", "means").rows
    told = [name for cell, _ in rows for name in code_in(cell)]
    assert told == ["type", *ClusterFigures.__struct_fields__]
    [of_a_node] = [means for cell, means in rows if code_in(cell) == ["nodes"]]
    assert code_in(of_a_node)[:-1] == list(NodeFigures.__struct_fields__)  # the last is `null`


class TestRouter:
    TOLD: ClassVar = [code_in(cell)[0] for cell in API.table("call", "gives").column("call")]

    def test_every_call_is_told(self) -> None:
        inside = {"draft", "join", "level"}  # for the node, which is built on a Router
        names = {call.partition("(")[0].removeprefix("Router.") for call in self.TOLD}
        assert names == calls_of(Router) - inside

    def test_the_blocking_one_has_the_same_calls(self) -> None:
        names = {call.partition("(")[0].removeprefix("Router.") for call in self.TOLD}
        assert names == calls_of(sync.Router)

    @pytest.mark.parametrize("call", TOLD)
    def test_each_is_told_with_the_arguments_it_must_have(self, call: str) -> None:
        name = call.partition("(")[0].removeprefix("Router.")
        parameters = inspect.signature(getattr(Router, name)).parameters.values()
        needed = [p.name for p in parameters if p.default is p.empty and p.name != "self"]
        assert call.removeprefix("Router.") == f"{name}({', '.join(needed)})"


def test_every_command_is_told() -> None:
    common = {"--config", "--redis", "--json"}
    told = {
        code_in(row[0])[0].removeprefix("switchboard "): (code_in(row[1]), code_in(row[2]))
        for row in API.table("command", "arguments", "options").rows
    }
    group: Any = typer.main.get_command(app)
    real = {}
    for name, command in group.commands.items():
        shown = [p for p in command.params if not getattr(p, "hidden", False)]
        arguments = [p.name for p in shown if p.param_type_name == "argument"]
        options = [p.opts[0] for p in shown if p.param_type_name == "option"]
        assert common <= set(options)
        real[name] = (arguments, [option for option in options if option not in common])
    assert told == real


def test_every_setting_is_told_with_its_default() -> None:
    table = API.table("setting", "default", "what it is")
    told = {
        code_in(row[0])[0]: tomllib.loads(f"x = {code_in(row[1])[0]}")["x"] for row in table.rows
    }
    sections = SETTINGS.model_dump(mode="json").items()
    assert told == {f"{s}.{key}": value for s, keys in sections for key, value in keys.items()}


def test_it_is_told_which_settings_change_while_a_node_runs() -> None:
    rows = API.table("setting", "a change counts").rows
    told = {name: "at once" in when for names, when in rows for name in code_in(names)}
    assert told == {**dict.fromkeys(reload.LIVE, True), **dict.fromkeys(reload.RESTART, False)}
