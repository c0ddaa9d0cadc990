"""Which modes this machine and this version can run; the others are left out, with the reason."""

import shutil
from collections.abc import Collection

from scripts.comparison.cluster import known_modes
from scripts.comparison.options import STICKY

FANOUT = "fanout"
BROKER = "rabbitmq-server"


def availability(words: Collection[str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return (mode -> why it is left out, mode -> settings it needs).

    Args:
        words: of --modes.
    """
    left_out: dict[str, str] = {}
    known = known_modes()
    for word in words:
        if word != STICKY and word not in known:
            left_out[word] = f"{word} is left out: this version has no delivery.mode {word}"
        elif word == FANOUT and shutil.which(BROKER) is None:
            left_out[word] = f"{word} is left out: it needs {BROKER} (Debian: apt install {BROKER})"
    return left_out, {}
