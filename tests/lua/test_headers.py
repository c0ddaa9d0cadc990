"""A script's header is its contract: what it names is what the script uses, and nothing else."""

import itertools
import re
from importlib import resources

import pytest

from router.keys import Keys
from router.store import scripts
from router.store.scripts import Script

_NUMBERED = re.compile(r"(?:^|\s{2,})(\d+)(\.\.)?\s+(\S+)")
# Commands that name no key.
_KEYLESS = {"TIME"}


def header(script: Script) -> list[str]:
    """Return the comment at the top of a script, one string per line, without the dashes."""
    lines = script.source.decode().splitlines()
    first_of_code = next(i for i, line in enumerate(lines) if not line.startswith("--"))
    return [line.removeprefix("--").strip() for line in lines[:first_of_code]]


def body(script: Script) -> str:
    lines = script.source.decode().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))


def named(script: Script, what: str) -> dict[int, tuple[str, bool]]:
    """Return number -> (first word, whether it stands for all that follow) of KEYS or ARGV."""
    lines = header(script)
    start = next((i for i, line in enumerate(lines) if line.startswith(what)), None)
    if start is None:
        return {}
    rest = itertools.takewhile(lambda line: line[:1].isdigit(), lines[start + 1 :])
    numbers = _NUMBERED.findall("  ".join([lines[start].removeprefix(what), *rest]))
    return {int(number): (word.strip("`,"), bool(dots)) for number, dots, word in numbers}


def used(script: Script, what: str) -> set[int]:
    """Return the numbers by which the code uses KEYS or ARGV, and where a rest begins."""
    code = body(script)
    single = re.findall(rf"{what}\[(\d+)\]", code)
    rests = re.findall(rf"unpack\({what}, (\d+)\)", code)
    loops = re.findall(rf"for i = (\d+), #{what} do", code)
    return {int(number) for number in (*single, *rests, *loops)}


@pytest.fixture(params=scripts.ALL, ids=lambda script: script.name)
def script(request: pytest.FixtureRequest) -> Script:
    found: Script = request.param
    return found


def test_every_file_is_a_script_that_is_loaded() -> None:
    files = resources.files("router.store").joinpath("lua").iterdir()
    assert {file.name for file in files} == {f"{script.name}.lua" for script in scripts.ALL}


def test_the_header_begins_with_what_the_script_does(script: Script) -> None:
    assert re.match(r"[A-Z].*", header(script)[0])


def test_the_header_says_what_it_returns(script: Script) -> None:
    assert any(line.startswith("Returns ") for line in header(script))


@pytest.mark.parametrize("what", ["KEYS", "ARGV"])
def test_the_header_names_what_the_code_uses_and_nothing_else(script: Script, what: str) -> None:
    assert set(named(script, what)) == used(script, what)


@pytest.mark.parametrize("what", ["KEYS", "ARGV"])
def test_numbers_in_the_header_have_no_gap(script: Script, what: str) -> None:
    numbers = list(named(script, what))
    assert numbers == list(range(1, len(numbers) + 1))


def test_only_the_last_argument_stands_for_many(script: Script) -> None:
    rests = [number for number, (_, many) in named(script, "ARGV").items() if many]
    assert rests in ([], [len(named(script, "ARGV"))])


def test_a_rest_in_the_code_is_a_rest_in_the_header(script: Script) -> None:
    code = body(script)
    rests = re.findall(r"unpack\(ARGV, (\d+)\)|for i = (\d+), #ARGV do", code)
    in_code = [int(one or other) for one, other in rests]
    assert in_code == [number for number, (_, many) in named(script, "ARGV").items() if many]


def test_every_key_in_the_header_is_one_that_keys_py_builds(script: Script) -> None:
    for word, _ in named(script, "KEYS").values():
        assert hasattr(Keys, word)


def test_every_command_reaches_its_keys_through_keys(script: Script) -> None:
    calls = re.findall(
        r"redis\.call\('(\w+)'(?:, '(?:STREAM|USAGE)')?(?:, ([^,)]+))?", body(script)
    )
    for command, first in calls:
        assert command in _KEYLESS or re.fullmatch(r"KEYS\[\d+\]", first)


def test_durations_name_their_unit(script: Script) -> None:
    for line in header(script):
        for duration in re.findall(r"TTL[^.;]*?(?=\s{3}|$)", line):
            if line.startswith("ARGV"):
                assert "milliseconds" in duration


def test_the_cost_is_that_of_the_keys_it_is_given(script: Script) -> None:
    assert not re.search(r"'(KEYS|SCAN|HSCAN|SSCAN|FLUSHALL|FLUSHDB)'", body(script))
