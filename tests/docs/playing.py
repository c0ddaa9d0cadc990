"""Plays a document: its files are written, its commands run, and what they show is compared."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.documents import ROOT, Document, Fence
from tests.support.processes import wait_until
from tests.support.terminals import DEADLINE_S, Program, Shell
from tests.support.transcripts import Names, Step, first_missing, steps

# What the documents tell the reader to run and this test does not run, and why that is no gap.
NOT_RUN: Final[Mapping[str, str]] = {
    "scripts/demo --once": "tests/integration/test_demo.py plays it, CI on a clean checkout too",
    "scripts/test": "it is what runs this test",
    "scripts/test --long": "the same",
    "scripts/test tests/unit -k outcome": "the same",
    "scripts/lint": "CI runs it before the tests",
    "scripts/lint --fix": "the same; it changes files",
    "scripts/bench": "it takes minutes; tests/unit/scripts tests its parts",
    "scripts/compare --faults --out comparison": (
        "it takes minutes; tests/integration/test_compare.py runs --quick"
    ),
    "scripts/compare --modes sticky --nodes 1,2,4,8": (
        "it takes minutes; tests/integration/test_compare.py runs --quick"
    ),
    "scripts/chaos --seconds 120 --seed 1 --nodes 4 --users 200 --rate 300 --faults all": (
        "it takes minutes; tests/chaos/test_short_run.py runs it small"
    ),
    "scripts/chaos --hosts --seconds 120 --seed 1 --nodes 3 --users 100 --rate 100": (
        "it takes minutes and needs root; tests/hosts plays short plans"
    ),
    "scripts/chaos --store cluster --seconds 60 --seed 1 --nodes 3 --users 60 --rate 60": (
        "it takes minutes; tests/chaos/test_several_servers.py runs it small"
    ),
    ".ci/run": "it is what CI runs",
    "docker build --tag switchboard --file ./Dockerfile .": (
        "it takes an engine; tests/deploy/test_dockerfile.py does its steps"
    ),
    "docker compose --file deploy/compose.yaml up --build --detach": (
        "the same; tests/deploy/test_compose.py looks at it"
    ),
    "kubectl apply --kustomize deploy/kubernetes": (
        "it takes a cluster; tests/deploy/test_kubernetes.py looks at it"
    ),
    "kubectl --namespace switchboard rollout restart deployment/switchboard": "the same",
    "kubectl --namespace switchboard rollout status deployment/switchboard": "the same",
    "sudo python3 -m venv /opt/switchboard": (
        "it changes the machine; tests/deploy/test_dockerfile.py installs so somewhere else"
    ),
    "sudo /opt/switchboard/bin/pip install -r requirements.txt .": "the same",
    "sudo mkdir /etc/switchboard": (
        "it changes the machine; tests/deploy/test_systemd.py starts what the unit starts"
    ),
    "sudo cp deploy/systemd/config.toml deploy/systemd/secrets.env /etc/switchboard": "the same",
    "sudo chmod 600 /etc/switchboard/secrets.env": "the same",
    "sudo cp deploy/systemd/switchboard@.service deploy/systemd/switchboard.target "
    "/etc/systemd/system": "the same",
    "sudo systemctl daemon-reload": "the same",
    "sudo systemctl enable --now switchboard@01 switchboard@02 switchboard.target": "the same",
    "for i in 01 02; do sudo systemctl restart switchboard@$i || break; done": "the same",
    "sudo systemctl start switchboard@02 && sudo systemctl stop switchboard@01": (
        "the same; tests/integration/test_shared_port.py hands a port over"
    ),
    "redis-cli -h store.example.org --user admin --rdb backup.rdb": (
        "tests/deploy/test_backup.py runs it on a store of its own"
    ),
    "redis-cli -h store.example.org --user admin config set appendonly yes": "the same",
    "python3 -m tests.model --all": "it takes an hour; one configuration is run",
}
# Programs that are none of ours: whether a machine has them is up to its reader.
_OF_OTHERS: Final = ("docker", "for", "kubectl", "redis-cli", "sudo")
# Commands that only look: what they show may need a heartbeat to come true.
_LOOKS: Final = ("switchboard nodes", "switchboard users", "switchboard user ", "curl -s http")
_CHANGES: Final = (" -d ", " -X ")
PATIENCE_S: Final = 15.0


class Stage:
    """The terminals in which a document is played; use it as a context manager.

    Args:
        folder: looks like the root of a checkout.
        environment: of every command.
        names: what things are called in this run.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], names: Names) -> None:
        self.folder = folder
        self.names = names
        self._environment = environment
        self._shell = Shell(folder, environment)
        self._programs: dict[str, Program] = {}
        self._taken: dict[str, set[int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shell.close()
        for program in self._programs.values():
            program.kill()

    def play(self, document: Document) -> None:
        """Do everything that a document says, in its order; at its end nothing may run any more."""
        for fence in document.fences:
            if fence.language == "python":
                self._write(fence)
            elif fence.language == "console":
                self._console(document, fence)
        ended = [program.has_ended for program in self._programs.values()]
        wait_until(lambda: all(ask() for ask in ended), f"{document.name} leaves nothing running")

    def _write(self, fence: Fence) -> None:
        name = fence.lines[0].removeprefix("# ")
        assert name.endswith(".py"), f"line {fence.at}: a program begins with the name of its file"
        (self.folder / name).write_text(self.names.here(fence.text))

    def _console(self, document: Document, fence: Fence) -> None:
        stays = fence.terminal != ""
        before: list[str] = []
        todo = steps(fence.lines, fence.at, stays=stays)
        for step, after in zip(todo, [*todo[1:], None], strict=True):
            where = f"{document.name}:{step.at}"
            if step.text in NOT_RUN:
                assert _is_there(step.text), f"{where}: there is no such program"
            elif not stays:
                self._run(step, where, shows_status=after is not None and after.text == "echo $?")
            elif step.kind == "run" and after is not None and after.kind == "run":
                before.append(step.text)
            else:
                self._stay(fence.terminal, step, before, where)

    def _run(self, step: Step, where: str, *, shows_status: bool) -> None:
        assert step.kind == "run", f"{where}: output without a command"
        command = self.names.here(step.text)
        give_up_at = time.monotonic() + (PATIENCE_S if only_looks(step.text) else 0.0)
        while True:
            status, said = self._shell.run(command)
            same = self.names.all_same(step.shown, said)
            if same or time.monotonic() > give_up_at:
                break
        told = "\n".join(["", "told:", *step.shown, "said:", *said])
        assert same, f"{where}: {command}{told}"
        assert status == 0 or shows_status, f"{where}: {command} ended with {status}{told}"

    def _stay(self, terminal: str, step: Step, before: list[str], where: str) -> None:
        if step.kind == "run":
            command = self.names.here("\n".join([*before, step.text]))
            assert terminal not in self._programs, f"{where}: terminal {terminal} is in use"
            self._programs[terminal] = Program(self.folder, self._environment, command)
            self._taken[terminal] = set()
        program = self._programs[terminal]
        if step.kind == "type":
            program.type(self.names.here(step.text))
        if step.kind == "stop":
            status = program.stop()
            assert status in (0, 130), f"{where}: it ended with {status}: {program.said}"
        missing: list[str | None] = []

        def seen() -> bool:
            taken = self._taken[terminal]
            missing[:] = [first_missing(step.shown, program.said, taken, self.names.same)]
            return missing == [None]

        try:
            wait_until(seen, "what is told", DEADLINE_S)
        except AssertionError:
            said = "\n".join(program.said)
            raise AssertionError(f"{where}: {missing[0]}\nis not in:\n{said}") from None


def _is_there(command: str) -> bool:
    """Say whether the program of a command that is not run exists."""
    words = command.split()
    if words[0] in _OF_OTHERS:
        return True
    if words[1:2] == ["-m"]:
        return (ROOT / words[2].replace(".", "/") / "__main__.py").is_file()
    return (ROOT / next(word for word in words if "/" in word)).is_file()


def only_looks(command: str) -> bool:
    """Say whether a command changes nothing, so that it may be run until it shows what is told."""
    return command.startswith(_LOOKS) and not any(word in command for word in _CHANGES)
