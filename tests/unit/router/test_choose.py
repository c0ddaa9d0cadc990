"""Which transport a mode means, and that nobody needs the library of a mode they do not use."""

import subprocess
import sys

import pytest

from router.errors import InvalidSettings
from router.member import Member
from router.settings import Settings
from router.transport.broadcast import BroadcastTransport
from router.transport.channel import ChannelTransport
from router.transport.fanout import FanoutTransport
from router.transport.routed import RoutedTransport

URL = "redis://127.0.0.1:1"


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("routed", RoutedTransport),
        ("channel", ChannelTransport),
        ("broadcast", BroadcastTransport),
        ("fanout", FanoutTransport),
    ],
)
async def test_each_mode_has_a_transport_of_its_own(mode: str, kind: type) -> None:
    settings = Settings.model_validate({"delivery": {"mode": mode}})
    assert type(Member(settings, URL).transport) is kind


async def test_without_its_library_fanout_is_refused_with_the_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("router.transport.fanout", "router.transport.broker"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "aio_pika", None)
    settings = Settings.model_validate({"delivery": {"mode": "fanout"}})
    with pytest.raises(InvalidSettings, match="aio_pika: pip install 'switchboard\\[fanout\\]'"):
        Member(settings, URL)


def test_the_other_modes_do_not_import_it() -> None:
    program = "import sys, node.node; print([m for m in sys.modules if 'aio_pika' in m])"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
