"""The Dockerfile builds what runs.

No Docker is needed, and none is used: the steps of its first stage are done in a folder, as they
stand there, and what they install is started and asked as the image would do it, by a process
without any right to write there. What is left to Docker is the base image and the user in it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from router.settings import load
from router.store.embedded import EmbeddedServer
from scripts.measuring.ports import free_port_range
from tests.support.cluster import unique_prefix
from tests.support.dockerfile import Step, environment, one, sent, stages
from tests.support.documents import ROOT
from tests.support.processes import wait_until

TEXT: Final = (ROOT / "Dockerfile").read_text()
BUILD, FINAL = stages(TEXT)
HADOLINT: Final = Path(sysconfig.get_path("scripts")) / "hadolint"
pytestmark = pytest.mark.timeout(600)  # it installs everything that the product needs


@dataclass(frozen=True, slots=True)
class Built:
    """The two folders of the image, somewhere else.

    Args:
        places: path in the image -> where it is here.
    """

    places: Mapping[str, Path]

    def here(self, text: str) -> str:
        """Return a text of the Dockerfile with the paths of this machine."""
        for path, place in self.places.items():
            text = text.replace(path, str(place))
        return text

    @property
    def installed(self) -> Path:
        return self.places["/opt/switchboard"]

    @property
    def wheel(self) -> Path:
        (found,) = self.places["/src"].glob("wheels/*.whl")
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Do the first stage."""
    folder = tmp_path_factory.mktemp("image")
    built = Built({"/src": folder / "src", "/opt/switchboard": folder / "opt"})
    built.places["/src"].mkdir()
    for step in BUILD:
        if step.word == "COPY":
            copy(step, built.places["/src"])
        elif step.word == "RUN":
            run(built.here(step.rest), built.places["/src"])
    shutil.copy(ROOT / "deploy/docker/healthy.py", built.installed)
    return built


def copy(step: Step, target: Path) -> None:
    """Copy what .dockerignore lets through of the sources of a COPY."""
    *sources, to = step.words
    let_through = list(sent(ROOT, (ROOT / ".dockerignore").read_text()))
    for source in sources:
        folder = (ROOT / source).is_dir()
        files = [
            each for each in let_through if each == Path(source) or Path(source) in each.parents
        ]
        assert files, f"nothing of {source} is sent to the builder"
        for file in files:
            name = Path(to) / (file.relative_to(source) if folder else file.name)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, target / name)


def run(command: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


class TestWhatItSays:
    def test_the_linter_has_nothing_to_say(self, tmp_path: Path) -> None:
        if not HADOLINT.exists():
            pytest.skip("there is no wheel of hadolint for this machine")
        assert lint(ROOT / "Dockerfile") == ""
        untagged = tmp_path / "Dockerfile"
        untagged.write_text(TEXT.replace(":3.13-slim-bookworm", ""))
        assert "DL3006" in lint(untagged)

    def test_what_it_copies_is_there_and_is_let_through(self) -> None:
        let_through = {each.as_posix() for each in sent(ROOT, (ROOT / ".dockerignore").read_text())}
        for step in (*BUILD, *FINAL):
            if step.word == "COPY" and not step.rest.startswith("--from"):
                for source in step.words[:-1]:
                    assert any(f"{each}/".startswith(f"{source}/") for each in let_through), source

    def test_nothing_else_is_let_through(self, tmp_path: Path) -> None:
        for name in ("data/users.acl", ".git/config", "keys.toml", "config.toml", "deploy/.env"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        for name in ("node/web/index.html", "node/__pycache__/x.pyc", "router/x.pyc", "README.md"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        let_through = sent(tmp_path, (ROOT / ".dockerignore").read_text())
        assert [each.as_posix() for each in let_through] == ["README.md", "node/web/index.html"]

    def test_both_stages_have_the_same_python(self) -> None:
        assert BUILD[0].words[0] == FINAL[0].words[0]
        assert BUILD[0].words[0].startswith("python:3.")

    def test_it_runs_as_a_user_who_is_not_root_and_has_a_number(self) -> None:
        user, group = one(FINAL, "USER").rest.split(":")
        made = one(FINAL, "RUN").rest
        assert f"--uid {user} --gid {group}" in made
        assert int(user) >= 10_000

    def test_it_listens_where_it_says(self) -> None:
        assert one(FINAL, "EXPOSE").rest == str(load(ROOT / "config.toml").node.port)

    def test_it_is_stopped_by_the_signal_that_begins_a_drain(self) -> None:
        assert one(FINAL, "STOPSIGNAL").rest == "SIGTERM"
        assert one(FINAL, "ENTRYPOINT").command == ["switchboard"]  # no shell in between


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://127.0.0.1:8001/healthz"),
        ({"NODE__HOST": "n1", "NODE__PORT": "80"}, "http://n1:80/healthz"),
        ({"NODE__HOST": "fd00::7"}, "http://[fd00::7]:8001/healthz"),
        ({"TLS__CERTIFICATE_FILE": "tls.crt"}, "https://127.0.0.1:8001/healthz"),
    ],
)
def test_the_health_check_asks_where_the_environment_says_that_the_node_listens(
    variables: dict[str, str], address: str
) -> None:
    asked = subprocess.run(
        [sys.executable, ROOT / "deploy/docker/healthy.py"],
        env={f"SWITCHBOARD_{name}": value for name, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1  # nobody is there
    assert asked.stderr.startswith(f"{address}: ")


class TestWhatItInstalls:
    def test_the_wheel_has_every_script_and_every_file_of_the_pages(self, built: Built) -> None:
        wanted = {
            path.relative_to(ROOT).as_posix()
            for folder in ("node", "router")
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        names = set(zipfile.ZipFile(built.wheel).namelist())
        assert wanted <= names
        assert {"router/store/lua/push.lua", "node/web/index.html", "node/py.typed"} <= wanted

    def test_it_has_nothing_that_installs_or_tests(self, built: Built) -> None:
        (packages,) = built.installed.glob("lib/python*/site-packages")
        there = {path.name.partition("-")[0].lower() for path in packages.iterdir()}
        assert {"tornado", "switchboard"} <= there
        assert not there & {"pip", "setuptools", "pytest", "tests", "scripts", "mypy"}


@contextlib.contextmanager
def without_rights(folder: Path) -> Iterator[list[str]]:
    """Take the right to write into a folder from everybody.

    Yields what begins a command that cannot help itself to it either, as root otherwise could.
    """
    there = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    for path in there:
        path.chmod(path.stat().st_mode & ~0o222)
    plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    try:
        yield plain if os.getuid() == 0 else []
    finally:
        for path in there:
            path.chmod(path.stat().st_mode | 0o200)


class TestWhatRuns:
    def test_a_node_of_it_is_healthy_until_it_is_told_to_stop(
        self, built: Built, store: EmbeddedServer, tmp_path: Path
    ) -> None:
        variables = {
            **{name: built.here(value) for name, value in environment(FINAL).items()},
            "SWITCHBOARD_REDIS__URL": store.address.url,
            "SWITCHBOARD_REGISTRY__PREFIX": unique_prefix(),
            "SWITCHBOARD_AUTH__MODE": "jwt",
            "SWITCHBOARD_AUTH__SECRET": "x" * 32,
            "SWITCHBOARD_NODE__PORT": str(free_port_range(1)),
        }
        variables["PATH"] = variables["PATH"].replace("$PATH", os.environ["PATH"])
        command = one(FINAL, "ENTRYPOINT").command + one(FINAL, "CMD").command
        asked = [built.here(word) for word in one(FINAL, "HEALTHCHECK").command]
        folder = tmp_path / "etc"
        folder.mkdir()
        with without_rights(built.installed) as beginning:

            def healthy() -> bool:
                ask = [*beginning, *asked]
                said = subprocess.run(
                    ask, cwd=folder, env=variables, capture_output=True, check=False
                )
                return said.returncode == 0

            assert not healthy()
            node = subprocess.Popen(
                [*beginning, *command],
                cwd=folder,
                env=variables,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                wait_until(lambda: node.poll() is not None or healthy(), "it is healthy")
                assert node.poll() is None, node.stderr and node.stderr.read()
                node.send_signal(signal.SIGTERM)
                _, said = node.communicate(timeout=60)
            finally:
                node.kill()
                node.wait()
            assert node.returncode == 0, said
            assert all(line.startswith("{") for line in said.splitlines()), said  # json
            assert not healthy()
        assert list(folder.iterdir()) == []


def lint(file: Path) -> str:
    """Return what hadolint finds in a Dockerfile; "" for nothing."""
    return subprocess.run(
        [HADOLINT, "--no-color", file], capture_output=True, text=True, check=False
    ).stdout
