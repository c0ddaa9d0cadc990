"""docs/clients.md tells what the client SDKs do."""

import dataclasses
import inspect

import pytest

from node import disconnects
from node.disconnects import Disconnect
from router import client
from router.client import Client, ClientError, Closed, Connecting, Open, Options, Waiting, policy
from router.client.words import CLIENT_ERRORS
from tests.support.documents import code_in, read

PAGE = read("docs/clients.md")
CALLS = [code_in(cell)[0] for cell in PAGE.table("call", "does").column("call")]


def test_every_state_is_told() -> None:
    rows = PAGE.table("state", "means", "what comes with it").rows
    assert [(code_in(row[0])[0], code_in(row[2])) for row in rows] == [
        (state.name, [field.name for field in dataclasses.fields(state)])
        for state in (Connecting, Open, Waiting, Closed)
    ]


def test_every_error_is_told() -> None:
    rows = PAGE.table("error", "code", "means", "may pass by itself").rows
    names = [code_in(row[0])[0] for row in rows]
    real = vars(client)
    errors = {name for name in client.__all__ if _is_error(real[name])}
    assert set(names) == errors
    told = {code_in(row[1])[0]: row[3] == "yes" for row in rows if code_in(row[1])}
    assert told == CLIENT_ERRORS
    assert {real[name].code for name in names if name != "Refused"} == set(told)


def _is_error(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, ClientError) and found is not ClientError


def test_every_option_is_told_with_its_default() -> None:
    rows = PAGE.table("option", "default", "what it is").rows
    told = {code_in(row[0])[0]: float(row[1].replace(",", "")) for row in rows}
    assert told == {field.name: field.default for field in dataclasses.fields(Options)}


def test_every_call_is_told() -> None:
    names = {call.partition("(")[0] for call in CALLS} - {"Client"}
    assert names == {name for name, _ in inspect.getmembers(Client) if not name.startswith("_")}


@pytest.mark.parametrize("call", [call for call in CALLS if "(" in call])
def test_each_is_told_with_the_arguments_it_must_have(call: str) -> None:
    name = call.partition("(")[0]
    function = Client.__init__ if name == "Client" else getattr(Client, name)
    parameters = inspect.signature(function).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.name != "self"]
    assert call == f"{name}({', '.join(needed)})"


def test_a_client_stays_away_after_the_codes_that_the_nodes_say_are_final() -> None:
    codes = [code for code in vars(disconnects).values() if isinstance(code, Disconnect)]
    final = {each.code for each in codes if not each.reconnect}
    assert final <= policy.FINAL_CODES
    assert policy.FINAL_CODES.isdisjoint({each.code for each in codes} - final)
