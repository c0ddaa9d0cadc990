import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.descriptors import sessions_that_fit, wanted
from router.settings import LimitSettings

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import json, resource, sys
from node.descriptors import claim
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(json.dumps([claim(int(sys.argv[3])), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "files", "may"),
    [(256, 4_096, 1_000, 1_000), (256, 512, 1_000, 512), (2_000, 4_096, 1_000, 2_000)],
    ids=["raised", "raised as far as it may be", "enough already"],
)
def test_as_many_files_are_claimed_as_there_may_be(
    soft: int, hard: int, files: int, may: int
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [may, may]


def test_what_is_wanted_has_room_for_all_sessions_and_one_less_for_one_less() -> None:
    limits = LimitSettings()
    assert sessions_that_fit(wanted(limits), limits) == limits.sessions
    assert sessions_that_fit(wanted(limits) - 1, limits) == limits.sessions - 1
    assert sessions_that_fit(10, limits) == 1
