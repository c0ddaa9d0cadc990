"""What a check has found."""

import msgspec

from node.checks.finding import fail, ok, report, warn


def test_only_a_failure_is_one() -> None:
    assert report([ok("a", "fine"), warn("b", "hm", "look")]).ok
    assert not report([ok("a", "fine"), fail("b", "no", "mend it")]).ok
    assert report([]).ok


def test_as_json_nothing_is_said_of_what_needs_no_mending() -> None:
    told = msgspec.json.encode(report(iter([ok("a", "fine"), fail("b", "no", "mend it")])))
    assert msgspec.json.decode(told) == {
        "ok": False,
        "findings": [
            {"check": "a", "level": "ok", "says": "fine"},
            {"check": "b", "level": "fail", "says": "no", "mend": "mend it"},
        ],
    }
