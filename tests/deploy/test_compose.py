"""deploy/compose.yaml: valid for Compose, and one part fits the other.

`docker-compose config` reads it, fills in the variables and holds it against the schema of its
specification. No engine runs: that the containers come up is not tried here, but the store's
command is, with the server that the tests have.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from redis import Redis
from redis.exceptions import RedisError

from router.settings import Settings
from scripts.measuring.ports import free_port_range
from tests.support.documents import ROOT
from tests.support.environments import settings_of
from tests.support.processes import wait_until
from tests.support.valkey import wheel_program

FILE: Final = ROOT / "deploy/compose.yaml"
NGINX: Final = ROOT / "deploy/nginx/switchboard.conf"
SECRETS: Final = {"STORE_PASSWORD": "a-password", "TOKEN_SECRET": "x" * 44}


def compose(file: Path, secrets: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Have a file of Compose read and checked."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed; scripts/test installs it on Debian as root")
    clean = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return subprocess.run(
        [program, "--file", file, "config"],
        env=clean | dict(secrets),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> Any:
    """What Compose makes of the file, service by service."""
    read = compose(FILE, SECRETS)
    assert read.returncode == 0, read.stderr
    return yaml.safe_load(read.stdout)["services"]


@pytest.fixture(scope="module")
def nodes(services: Any) -> dict[str, Settings]:
    """What each node runs with."""
    return {
        name: settings_of(service["environment"])
        for name, service in services.items()
        if service["image"] == "switchboard"
    }


class TestFile:
    @pytest.mark.parametrize("missing", SECRETS)
    def test_without_a_secret_nothing_starts(self, missing: str) -> None:
        read = compose(FILE, {name: each for name, each in SECRETS.items() if name != missing})
        assert read.returncode != 0
        assert "put it into deploy/.env" in read.stderr

    def test_a_wrong_one_would_be_noticed(self, tmp_path: Path) -> None:
        wrong = tmp_path / "compose.yaml"
        wrong.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace_time"))
        read = compose(wrong, SECRETS)
        assert read.returncode != 0
        assert "stop_grace_time" in read.stderr

    def test_what_is_mounted_is_in_this_folder(self, services: Any) -> None:
        mounted = services["balancer"]["volumes"]
        places = [each if isinstance(each, str) else each["source"] for each in mounted]
        names = {
            Path(place.partition(":")[0]).relative_to(FILE.parent).as_posix() for place in places
        }
        assert names == {"nginx/switchboard.conf", "tls"}


class TestNodes:
    def test_each_has_its_own_name_and_address(
        self, services: Any, nodes: dict[str, Settings]
    ) -> None:
        for name, settings in nodes.items():
            address = services[name]["networks"]["nodes"]["ipv4_address"]
            assert settings.node.name == name
            assert settings.node.host == settings.api.host == address
        assert len({settings.node.host for settings in nodes.values()}) == len(nodes) > 1

    def test_their_store_is_that_of_this_file(self, nodes: dict[str, Settings]) -> None:
        urls = {settings.redis.url for settings in nodes.values()}
        assert urls == {f"redis://:{SECRETS['STORE_PASSWORD']}@store:6379"}

    def test_they_believe_the_balancer_and_nobody_else(
        self, services: Any, nodes: dict[str, Settings]
    ) -> None:
        balancer = services["balancer"]["networks"]["nodes"]["ipv4_address"]
        assert all(settings.node.trusted_proxies == [balancer] for settings in nodes.values())

    def test_they_have_the_time_for_a_drain(
        self, services: Any, nodes: dict[str, Settings]
    ) -> None:
        for name, settings in nodes.items():
            assert (
                float(services[name]["stop_grace_period"].rstrip("s")) > settings.node.drain_s + 3
            )

    def test_they_may_nothing_and_write_nowhere(
        self, services: Any, nodes: dict[str, Settings]
    ) -> None:
        for name in nodes:
            assert services[name]["read_only"] is True
            assert services[name]["cap_drop"] == ["ALL"]
            assert services[name]["security_opt"] == ["no-new-privileges:true"]

    @pytest.mark.skipif(not NGINX.exists(), reason="there is no configuration of nginx")
    def test_they_are_those_that_nginx_knows(self, nodes: dict[str, Settings]) -> None:
        known = re.findall(r"^\s*server ([\d.]+:\d+)[ ;]", NGINX.read_text(), re.MULTILINE)
        assert known == [f"{each.node.host}:{each.node.port}" for each in nodes.values()]


class TestStore:
    def test_its_command_makes_a_store_with_a_password_and_a_file(
        self, services: Any, tmp_path: Path
    ) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/valkey-server").symlink_to(wheel_program())
        port = free_port_range(1)
        shell, flag, script = (word.replace("$$", "$") for word in services["store"]["command"])
        own = f" --port {port} --bind 127.0.0.1 <<END"
        script = script.replace("--dir /data", f"--dir {tmp_path}").replace(" <<END", own)
        assert own in script
        environment = {**os.environ, **services["store"]["environment"]}
        environment["PATH"] = f"{tmp_path}/bin:{environment['PATH']}"
        server = subprocess.Popen([shell, flag, script], env=environment, stdout=subprocess.DEVNULL)
        try:
            store = Redis(port=port, password=SECRETS["STORE_PASSWORD"])
            wait_until(lambda: answers(store), "the store is up")
            assert not answers(Redis(port=port))
            kept: Any = store.config_get("appendonly", "maxmemory-policy", "proto-max-bulk-len")
            assert kept == {
                "appendonly": "yes",
                "maxmemory-policy": "noeviction",
                "proto-max-bulk-len": "33554432",
            }
            shown = Path(f"/proc/{server.pid}/cmdline")
            assert not shown.exists() or SECRETS["STORE_PASSWORD"] not in shown.read_text()
            server.send_signal(signal.SIGTERM)  # it is the server itself that hears it
            assert server.wait(30) == 0
        finally:
            server.kill()
            server.wait()


def answers(store: "Redis") -> bool:
    """Say whether a store lets us in."""
    try:
        return bool(store.ping())
    except RedisError:
        return False
