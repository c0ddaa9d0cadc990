"""Keys of the API: which count, for what, and how the file may change meanwhile."""

import contextlib
import hmac
import os
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from node.auth.apikeys import ApiKeys, digest_of, make
from node.auth.callers import Callers
from node.auth.gate import Scope
from node.auth.origins import Origins
from router.counts import Counts
from router.errors import Forbidden, InvalidRequest, InvalidSettings, Unauthenticated
from tests.support.requests import request_of

COUNTS = Counts()
NOW = datetime(2027, 1, 1, tzinfo=UTC).timestamp()


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def row(key: str, *scopes: str, name: str = "backend", more: str = "") -> str:
    digest = digest_of(key).hex()
    return f'[[key]]\nname = "{name}"\nsha256 = "{digest}"\nscopes = {list(scopes)}\n{more}\n'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def keys_of(path: Path, text: str, clock: Clock | None = None) -> ApiKeys:
    path.write_text(text)
    return ApiKeys(path, COUNTS, now=lambda: NOW, clock=clock or Clock())


def check(keys: ApiKeys, key: str, scope: Scope = Scope.READ) -> str:
    return keys.check(request_of("/", ("Authorization", f"Bearer {key}")), scope).name


def refusal(keys: ApiKeys, *headers: tuple[str, str], path: str = "/") -> str:
    with pytest.raises(Unauthenticated) as caught:
        keys.check(request_of(path, *headers), Scope.READ)
    return str(caught.value)


class TestKeys:
    def test_no_two_are_equal_and_each_names_who_has_it(self) -> None:
        first, second = make("back-end1"), make("back-end1")
        assert first != second
        assert first.startswith("sb_back-end1_")
        assert len(first) == len("sb_back-end1_") + 43

    @pytest.mark.parametrize("name", ["", "a_b", "a b", "x" * 33, "é", "a\n"])
    def test_a_name_that_is_none_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidRequest, match="name: "):
            make(name)

    def test_one_counts_for_its_scopes_and_admin_for_all(self, path: Path) -> None:
        reader, boss = make("reader"), make("boss")
        keys = keys_of(path, row(reader, "read", "send", name="reader") + row(boss, "admin"))
        assert check(keys, reader, Scope.READ) == "reader"
        assert check(keys, reader, Scope.SEND) == "reader"
        for scope in (Scope.KICK, Scope.ADMIN):
            with pytest.raises(Forbidden, match=f"'reader' is not .* lacks the scope '{scope}'"):
                check(keys, reader, scope)
        assert [check(keys, boss, scope) for scope in Scope] == ["backend"] * 4

    def test_one_that_has_expired_does_not_count(self, path: Path) -> None:
        old, new = make("old"), make("new")
        keys = keys_of(
            path,
            row(old, "read", more="expires = 2027-01-01T00:00:00Z")
            + row(new, "read", name="new", more="expires = 2027-01-01T02:00:00+01:00"),
        )
        assert refusal(keys, ("Authorization", f"Bearer {old}"))
        assert check(keys, new) == "new"

    def test_every_refusal_is_the_same_and_repeats_nothing(self, path: Path) -> None:
        key, other = make("backend"), make("backend")
        keys = keys_of(path, row(key, "read", more="expires = 2026-01-01T00:00:00Z"))
        given = [
            [],
            [("Authorization", f"Bearer {key}")],
            [("Authorization", f"Bearer {other}")],
            [("Authorization", f"Bearer {make('nobody')}")],
            [("Authorization", f"Bearer {key[:-1]}")],
            [("Authorization", "Bearer x")],
            [("Authorization", "Bearer")],
            [("Authorization", f"Basic {key}")],
            [("Authorization", "Bearer sb_\u00e9")],
            [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")],
        ]
        words = {refusal(keys, *headers) for headers in given}
        assert len(words) == 1
        assert key not in words.pop()

    def test_one_in_the_address_does_not_count(self, path: Path) -> None:
        key = make("backend")
        keys = keys_of(path, row(key, "read"))
        assert refusal(keys, path=f"/api/v1/users?token={key}")
        protocols = ("Sec-WebSocket-Protocol", f"switchboard.bearer.{key}")
        assert keys.check(request_of("/", protocols), Scope.READ).name == "backend"

    def test_the_work_is_the_same_whether_a_key_is_known_or_not(self, path: Path) -> None:
        known = [make("a"), make("b"), make("c")]
        keys = keys_of(path, "".join(row(key, "read") for key in known))
        looked = []
        for given in (known[0], known[2], make("a"), make("nobody"), "x", "sb_x"):
            with patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
                with contextlib.suppress(Unauthenticated):
                    check(keys, given)
            looked.append(compare.call_count)
        assert looked == [3] * 6

    def test_without_a_file_nobody_is_let_in(self) -> None:
        assert refusal(ApiKeys(None), ("Authorization", f"Bearer {make('x')}"))


class TestFile:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[[key]", "not valid TOML"),
            ("key = 1", "key"),
            ("[[keys]]\n", "unknown field `keys`"),
            (row("k", "read", name="a b"), "key[0].name"),
            (row("k", "write"), "key[0].scopes"),
            (row("k"), "key[0].scopes"),
            (row("k", "read").replace("sha256", "key"), "unknown field `key`"),
            ('[[key]]\nname = "a"\nsha256 = "x"\nscopes = ["read"]', "key[0].sha256"),
            (row("k", "read", more="expires = 2027-01-01T00:00:00"), "expires"),
            (row("k", "read", more='expires = "soon"'), "expires"),
        ],
    )
    def test_one_that_cannot_be_used_is_named_with_what_is_wrong(
        self, path: Path, text: str, words: str
    ) -> None:
        with pytest.raises(InvalidSettings) as caught:
            keys_of(path, text)
        (problem,) = caught.value.problems
        assert problem.startswith(f"api.keys_file: {path}: ")
        assert words in problem

    def test_one_that_is_not_there_or_not_text_is_named(self, path: Path) -> None:
        with pytest.raises(InvalidSettings, match="No such file"):
            ApiKeys(path)
        path.write_bytes(b"\xff")
        with pytest.raises(InvalidSettings, match="not valid TOML"):
            ApiKeys(path)

    def test_a_change_counts_soon_and_without_a_restart(self, path: Path, clock: Clock) -> None:
        first, second = make("first"), make("second")
        keys = keys_of(path, row(first, "read", name="first"), clock)
        path.write_text(row(first, "read", name="first") + row(second, "read", name="second"))
        clock.now += 3
        assert [check(keys, first), check(keys, second)] == ["first", "second"]
        path.write_text(row(second, "read", name="second"))
        clock.now += 3
        assert check(keys, second) == "second"
        assert refusal(keys, ("Authorization", f"Bearer {first}"))

    def test_it_is_not_looked_at_for_every_call(self, path: Path, clock: Clock) -> None:
        key = make("backend")
        keys = keys_of(path, row(key, "read"), clock)
        path.unlink()
        with capture_logs() as logs:
            for _ in range(50):
                check(keys, key)
        assert logs == []
        clock.now += 3
        with capture_logs() as logs:
            check(keys, key)
            clock.now += 3
            check(keys, key)
        assert [log["log_level"] for log in logs] == ["error"]

    def test_one_that_became_useless_changes_nothing_until_it_is_mended(
        self, path: Path, clock: Clock
    ) -> None:
        key, other = make("backend"), make("other")
        keys = keys_of(path, row(key, "read"), clock)
        path.write_text("[[key]")
        clock.now += 3
        before = COUNTS.failures["apikeys"]
        with capture_logs() as logs:
            assert check(keys, key) == "backend"
        assert "not valid TOML" in logs[0]["error"]
        assert COUNTS.failures["apikeys"] == before + 1
        with pytest.raises(InvalidSettings):
            keys.reload()
        path.write_text(row(other, "read", name="other"))
        keys.reload()
        assert check(keys, other) == "other"

    def test_one_that_was_put_in_its_place_is_noticed_though_nothing_else_differs(
        self, path: Path, clock: Clock
    ) -> None:
        first, second = make("backend"), make("backend")
        keys = keys_of(path, row(first, "read"), clock)
        before = path.stat()
        fresh = path.with_suffix(".new")
        fresh.write_text(row(second, "read"))
        os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
        fresh.replace(path)
        clock.now += 3
        assert check(keys, second) == "backend"


class TestCallers:
    def test_a_foreign_page_may_not_call_even_with_a_key(self, path: Path) -> None:
        key = make("backend")
        callers = Callers(keys_of(path, row(key, "read")), Origins(["https://app.example"]))
        bearer = ("Authorization", f"Bearer {key}")
        for origin in ("http://localhost", "https://app.example"):
            callers.authorize(request_of("/", bearer, ("Origin", origin)), Scope.READ)
        for origin in ("https://evil.example", "null"):
            with pytest.raises(Forbidden, match="Origin: "):
                callers.authorize(request_of("/", bearer, ("Origin", origin)), Scope.READ)

    def test_what_changes_something_for_others_leaves_a_line_without_the_key(
        self, path: Path
    ) -> None:
        key = make("backend")
        callers = Callers(keys_of(path, row(key, "admin", name="ops")), Origins([]))
        with capture_logs() as logs:
            for scope in Scope:
                request = request_of("/api/v1/x", ("Authorization", f"Bearer {key}"))
                callers.authorize(request, scope)
        assert [(log["event"], log["key"], log["path"]) for log in logs] == [
            ("operator call", "ops", "/api/v1/x")
        ] * 2
        assert key not in str(logs)
