"""No input from outside crashes a reader, makes it hang, or stays in memory.

`python -m tests.fuzz` is the same with a progress bar, a seed of its own and as many inputs as one
likes. What was found once is in `test_findings.py`.
"""

from pathlib import Path

import pytest

from tests.fuzz import running
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.watching import Finding, Watch, check_growth


def explore(count: int, seed: int, folder: Path) -> None:
    report = running.run(count, seed, folder, lambda _: None)
    print(report)
    assert report.inputs.total() >= count
    assert all(report.inputs[name] for name in TARGETS)


@pytest.mark.timeout(600)
def test_twenty_thousand_inputs_find_nothing(tmp_path: Path) -> None:
    explore(20_000, 1, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_a_million_inputs_find_nothing(tmp_path: Path) -> None:
    explore(1_000_000, 2, tmp_path)


class TestTheWatch:
    """What would be found, if it were there."""

    def test_an_exception_is_a_finding_that_can_be_replayed(self, tmp_path: Path) -> None:
        def run(data: bytes) -> None:
            raise KeyError(data)

        with pytest.raises(Finding, match=r"broken: KeyError: b'x'; the input: b'x'") as caught:
            Watch().run(Target("broken", run, (b"",)), b"x")
        saved = caught.value.save(tmp_path)
        assert saved.name.startswith("broken-")
        assert saved.read_bytes() == b"x"

    def test_an_input_that_takes_long_is_a_finding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.fuzz.watching.SLOWEST_S", 0.001)
        slow = Target("slow", lambda data: sorted(range(500_000), key=str).clear(), (b"",))
        with pytest.raises(Finding, match="of CPU time"):
            Watch().run(slow, b"x")

    def test_what_is_kept_of_each_input_is_a_finding(self) -> None:
        kept: list[bytes] = []
        leaks = Target("leaks", lambda data: kept.append(data + b"x" * 100), (b"sample",))
        with pytest.raises(Finding, match="memory grows"):
            check_growth(leaks, 1_000)
