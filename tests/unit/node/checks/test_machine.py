"""Limits of this machine, and what runs on it."""

import json
import socket
import subprocess
import sys

import pytest

from node.checks import machine
from node.checks.finding import Level
from router.settings import LimitSettings
from tests.support.documents import ROOT
from tests.support.findings import level_of
from tests.support.processes import free_port_range


class TestOpenFiles:
    @pytest.mark.parametrize(
        ("hard", "level"), [(524_288, Level.OK), (-1, Level.OK), (20_000, Level.WARN)]
    )
    def test_there_must_be_one_for_each_connection(self, hard: int, level: Level) -> None:
        assert level_of(machine.open_files(LimitSettings(), hard), "open files") is level

    def test_the_limit_of_this_very_process_is_meant(self) -> None:
        program = (
            "import msgspec, resource, sys; from node.checks import machine;"
            "from router.settings import LimitSettings;"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
            "found = list(machine.everything('127.0.0.1', 0, LimitSettings(), ''));"
            "sys.stdout.buffer.write(msgspec.json.encode(found))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=True
        )
        levels = {each["check"]: each["level"] for each in json.loads(done.stdout)}
        assert levels["open files"] == "warn"
        assert levels["python"] == levels["node.port"] == "ok"


class TestQueues:
    def test_a_short_one_refuses_a_crowd(self) -> None:
        check = "connections that wait"
        assert level_of(machine.backlog(128), check) is Level.WARN
        assert level_of(machine.backlog(4_096), check) is Level.OK
        assert list(machine.backlog(None)) == []


class TestPorts:
    def test_few_of_them_are_worth_a_word(self) -> None:
        check = "ports of connections"
        assert level_of(machine.ports((40_000, 41_000), 8001), check) is Level.WARN
        assert level_of(machine.ports((32_768, 60_999), 8001), check) is Level.OK
        assert list(machine.ports(None, 8001)) == []

    def test_one_that_connections_are_given_is_no_good(self) -> None:
        found = machine.ports((32_768, 60_999), 40_000)
        assert level_of(found, "node.port") is Level.WARN

    def test_one_that_is_taken_fails_unless_a_node_of_ours_has_it(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert level_of(machine.free("127.0.0.1", port, ""), "node.port") is Level.FAIL
            assert level_of(machine.free("127.0.0.1", port, "n1"), "node.port") is Level.OK

    def test_an_address_that_is_not_this_machines_fails(self) -> None:
        found = machine.free("192.0.2.1", free_port_range(1), "n1")
        assert level_of(found, "node.port") is Level.FAIL

    def test_a_free_one_is_well(self) -> None:
        for port in (free_port_range(1), 0):
            assert level_of(machine.free("127.0.0.1", port, ""), "node.port") is Level.OK


class TestVersions:
    def test_an_old_python_fails(self) -> None:
        assert level_of(machine.python((3, 10, 9)), "python") is Level.FAIL
        assert level_of(machine.python((3, 12, 0)), "python") is Level.OK

    @pytest.mark.parametrize(
        ("requirement", "level"),
        [
            ("tornado<7,>=6.6", Level.OK),
            ("tornado<6,>=5", Level.WARN),
            ("tornado>=99", Level.WARN),
            ("nobody-has-this>=1", Level.FAIL),
            ('nobody-has-this>=1; extra == "more"', Level.OK),
            ("PyJWT[crypto]<3,>=2.1", Level.OK),
        ],
    )
    def test_libraries_are_those_that_were_tested(self, requirement: str, level: Level) -> None:
        assert level_of(machine.libraries([requirement]), "libraries") is level
