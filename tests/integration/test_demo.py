"""The demo's scene, as `scripts/demo --once` plays it."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import demo_scene
from scripts.demo_scene import STEPS, Scene

ROOT = Path(__file__).resolve().parents[2]


def test_every_step_of_the_scene_holds() -> None:
    played = subprocess.run(
        [sys.executable, "-m", "scripts.demo_scene"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stderr
    assert played.stderr == ""
    steps = [line[2:] for line in played.stdout.splitlines() if line.startswith("✓")]
    assert len(steps) == len(STEPS) + 2
    assert set(steps) >= {name for name, _ in STEPS}


def test_a_step_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def stumble(scene: Scene) -> None:
        demo_scene.expect(False, "the floor is wet")

    monkeypatch.setattr(demo_scene, "STEPS", (("a dance", stumble),))
    monkeypatch.setattr(sys.stdout, "reconfigure", lambda **_: None, raising=False)
    assert demo_scene.main() == 1
    said = capsys.readouterr()
    assert said.err.startswith("FAILED: a dance: the floor is wet\n")
    assert said.out == "✓ a private store and two nodes are up\n"
