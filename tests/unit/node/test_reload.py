from typing import Any

import pytest

from node.reload import LIVE, RESTART, Reload, flat, is_live
from router.errors import InvalidSettings
from router.settings import Settings
from tests.support.logs import Logs


class Running:
    """A node's settings: what they are now, and what they will be when they are read again."""

    def __init__(self, **sections: Any) -> None:
        self.file: dict[str, Any] = sections
        self.in_force: list[Settings] = []
        self.refuses = False
        self.reload = Reload(self.read(), self.read, self.put, self.in_force.append)

    def read(self) -> Settings:
        if "broken" in self.file:
            raise InvalidSettings(["broken: there is no such setting; config.toml lists them all"])
        return Settings.model_validate(self.file)

    def put(self, settings: Settings) -> None:
        if self.refuses:
            raise InvalidSettings(["auth.secret_file: there is nothing in it"])


def test_what_can_be_changed_is_put_in_force_and_the_rest_is_named(logs: Logs) -> None:
    running = Running()
    running.file = {"limits": {"strikes": 5}, "log": {"level": "debug"}, "node": {"port": 8005}}
    running.reload.run()
    assert running.in_force[-1].limits.strikes == 5
    (line,) = logs.events("settings reloaded")
    assert line["changed"] == ["limits.strikes", "log.level"]
    assert line["needs_a_restart"] == ["node.port"]


def test_what_waits_for_a_restart_is_named_each_time_and_the_rest_once(logs: Logs) -> None:
    running = Running()
    running.file = {"limits": {"strikes": 5}, "node": {"port": 8005}}
    for _ in range(2):
        running.reload.run()
    told = [(line["changed"], line["needs_a_restart"]) for line in logs.events("settings reloaded")]
    assert told == [(["limits.strikes"], ["node.port"]), ([], ["node.port"])]


def test_settings_that_will_not_do_change_nothing_and_the_next_ones_may(logs: Logs) -> None:
    logs.expect("settings not reloaded, those of before stay")
    running = Running()
    for trouble in ("broken", "refuses"):
        running.file = {"limits": {"strikes": 5}, **({"broken": 1} if trouble == "broken" else {})}
        running.refuses = trouble == "refuses"
        running.reload.run()
        assert running.in_force == []
    told = [
        line["problems"][0] for line in logs.events("settings not reloaded, those of before stay")
    ]
    assert [problem.partition(":")[0] for problem in told] == ["broken", "auth.secret_file"]
    running.refuses = False
    running.reload.run()
    assert running.in_force[-1].limits.strikes == 5


def test_no_value_is_logged(logs: Logs) -> None:
    running = Running()
    running.file = {"redis": {"url": "redis://:hunter22@store:6379"}, "limits": {"strikes": 77}}
    running.reload.run()
    said = str(logs.events("settings reloaded"))
    assert "redis.url" in said
    assert "hunter22" not in said
    assert "77" not in said


@pytest.mark.parametrize("name", [*LIVE, *RESTART])
def test_each_name_is_one_of_a_setting(name: str) -> None:
    names = flat(Settings())
    assert name in names or any(key.startswith(f"{name}.") for key in names)


def test_limits_are_live_and_where_it_listens_is_not() -> None:
    assert is_live("limits.sessions")
    assert is_live("auth.secret_file")
    assert not is_live("auth.mode")
    assert not is_live("node.port")
    assert not is_live("log.trace_user")
