"""What may not be in a log, taken out of every line as it is about to be written; pure.

Nothing of ours logs a secret or what is in a message. This is the net below: an error of a library
may quote an address with a password, or a request with its query.
"""

import re
from typing import Final

_HIDDEN: Final = "[hidden]"
_SHAPES: Final = (
    r"(?<=://)[^\s/@:'\"]*:[^\s/@'\"]+(?=@)",  # user and password of an address
    r"(?<=switchboard\.bearer\.)[^\s,;'\"\\]+",
    r"(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{8,}",
    r"(?i:(?<=[?&]token=)|(?<=[?&]ticket=)|(?<=[?&]key=)|(?<=password=))[^\s&'\"\\]+",
    r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",  # a JSON Web Token
    r"\bsb_[A-Za-z0-9-]+_[A-Za-z0-9_-]{16,}",  # an API key
)
_SECRETS: Final = re.compile("|".join(_SHAPES))


def redact(text: str) -> str:
    """Return `text` without what looks like a password, a token or a key."""
    return _SECRETS.sub(_HIDDEN, text)
