"""A port that is promised to one program is given to no other."""

import subprocess
import sys
from typing import Final

from router.store import server_files
from scripts.measuring import ports
from tests.support.documents import ROOT

# Another process, which looks at one port after another from the first on.
_ELSEWHERE: Final = """
import sys
from scripts.measuring import ports
looks = iter(range(int(sys.argv[1]), 65_536))
ports.random.choice = lambda _: next(looks)
print(ports.free_port_range(1))
"""


def test_no_port_is_promised_twice() -> None:
    firsts = [ports.free_port_range(2) for _ in range(50)]
    assert len({port for first in firsts for port in (first, first + 1)}) == 100


def test_another_process_passes_over_what_is_promised_here() -> None:
    first = ports.free_port_range(3)
    command = [sys.executable, "-c", _ELSEWHERE, str(first)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(run.stdout) >= first + 3


def test_the_embedded_store_takes_others() -> None:
    assert not {*ports.PORTS} & {*server_files.PORTS}
