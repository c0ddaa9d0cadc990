"""`switchboard doctor`, run as a user runs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import call
from tests.support.cli_case import CliCase


class DoctorTest(CliCase):
    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "SWITCHBOARD_NODE__PORT": "0"}

    def test_a_cluster_that_is_well_ends_it_with_0(self) -> None:
        run = self.switchboard("doctor")
        assert (run.status, run.err) == (0, ""), run.out
        assert "\nok    nodes: 1 alive: n1" in run.out
        assert run.out.splitlines()[-1].startswith("nothing fails; ")
        assert "\x1b" not in run.out

    def test_json_is_one_document(self) -> None:
        told = self.switchboard("doctor", "--json").document
        assert told["ok"] is True
        levels: dict[str, Any] = {each["check"]: each["level"] for each in told["findings"]}
        for check in ("settings", "store rights", "nodes", "python", "libraries"):
            assert levels[check] == "ok", check

    def test_a_store_of_somebody_else_ends_it_with_1(self) -> None:
        name = self.node.member.keys.endpoints
        self.wait_for(self.node.stop())
        self.wait_for(self.put_a_string(name))
        run = self.switchboard("doctor")
        assert run.status == 1
        assert "FAIL  registry.prefix: another program keeps its own under" in run.out
        assert "      -> choose another registry.prefix" in run.out

    async def put_a_string(self, name: str) -> None:
        link = self.node.member.store
        await link.open()
        await link.command("DEL", name)
        await link.command("SET", name, "theirs")
        await link.close()


def test_a_store_that_is_not_there_fails_and_the_rest_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for options, word in (
        ((), "no embedded store"),
        (("--redis", "redis://127.0.0.1:1"), "refuse"),
    ):
        answer = call("doctor", "--json", *options)
        told = json.loads(answer.out)
        assert (answer.status, answer.err, told["ok"]) == (1, "", False)
        [store] = [each for each in told["findings"] if each["check"] == "store"]
        assert word in store["says"]
        assert any(each["check"] == "python" for each in told["findings"])


def test_settings_that_cannot_work_are_told_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[node]\nhost = "0.0.0.0"\n[redis]\ncolour = 1\n')
    answer = call("doctor")
    assert (answer.status, answer.err) == (1, "")
    assert "FAIL  settings: redis.colour: there is no such setting" in answer.out
    (tmp_path / "config.toml").write_text('[node]\nhost = "0.0.0.0"\n')
    assert 'auth.mode = "dev" lets anybody be anyone' in call("doctor").out
