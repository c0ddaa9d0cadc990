"""Which modes this machine and this version can run; the others are left out, with the reason."""

from collections.abc import Collection

from scripts.comparison.cluster import FANOUT, known_modes
from scripts.comparison.options import STICKY
from scripts.measuring.rabbit import find_program


def left_out(words: Collection[str]) -> dict[str, str]:
    """Return mode -> why it is left out, of those that cannot be measured here.

    Args:
        words: of --modes.
    """
    found: dict[str, str] = {}
    for word in words:
        if word != STICKY and word not in known_modes():
            found[word] = f"{word} is left out: this version has no delivery.mode {word}"
        elif word == FANOUT and find_program() is None:
            found[word] = (
                f"{word} is left out: it needs RabbitMQ (Debian: apt install rabbitmq-server)"
            )
    return found
