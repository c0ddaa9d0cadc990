"""Single words: ids, names, offsets, origins."""

from collections.abc import Callable
from typing import Any, Final

from router.errors import SwitchboardError
from router.kicking import check_reason
from router.model import Confirm, Offset, check_name, check_user
from router.settings import is_loopback, normal_origin

TEXTS: Final = (
    *(b"alice", "böb".encode(), b"web-1", b"1795419635120-0", b"delivered", b"a{b}"),
    *(b"127.0.0.1", b"::1", b"https://Example.org:443", b"http://[::1]:8001"),
)
_CHECKS: Final[tuple[Callable[[str], Any], ...]] = (
    check_user,
    check_reason,
    Confirm.parse,
    Offset.parse,
    is_loopback,
    normal_origin,
    lambda text: check_name(text, "device"),
)


def words(data: bytes) -> None:
    """Read text where an id, a name, an offset, a level or an origin is asked for."""
    text = data.decode("utf-8", "surrogateescape")
    for check in _CHECKS:
        try:
            check(text)
        except SwitchboardError as exc:
            _refused(exc)


def _refused(error: SwitchboardError) -> None:
    assert 400 <= error.consequence.http_status < 500, error
    str(error).encode("utf-8", "backslashreplace")
