"""Node.js, and what the tests take from npm."""

import shutil
import subprocess

import pytest

from tests.support.documents import ROOT

MODULES = ROOT / "tests" / "node_modules"


@pytest.fixture(scope="session")
def node() -> str:
    """Return the program."""
    program = shutil.which("node")
    assert program, "Node.js is needed (Debian: apt install nodejs)"
    assert MODULES.is_dir(), (
        "tests/node_modules is not there: run scripts/test, or npm install in tests"
    )
    return program


def run(*command: str) -> str:
    """Run a command that must succeed, in the root of the checkout; return what it prints."""
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
