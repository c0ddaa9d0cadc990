"""How deep JSON goes, without parsing it; pure.

Our own parser skips `data` and gives up at about a thousand levels. Others call themselves for each
level and give up sooner, and what they do then is to drop the connection that brought the message.
"""

import re
from itertools import accumulate
from typing import Final

_REST: Final = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = bytes.maketrans(b"[]", b"\x01\xff")  # one up, one down, as signed bytes
_ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
_MERGES: Final = 4  # enough for lists of objects; what is left is counted one by one


def too_deep(data: bytes, limit: int) -> bool:
    """Say whether more than `limit` lists and objects stand inside each other.

    A short message costs a comparison, one with few brackets two searches.

    Args:
        data: valid JSON.
        limit: at least 1.
    """
    if len(data) <= 2 * limit or data.count(b"[") + data.count(b"{") <= limit:
        return False
    if b"\\" in data:
        data = _ESCAPED.sub(b"", data)
    # Two quotes side by side may go: what stands inside a string before stands inside one after.
    marks = data.translate(None, _REST).replace(b'""', b"")
    if b'"' in marks:
        marks = b"".join(marks.split(b'"')[::2])
    marks = marks.translate(_ALIKE)
    for _ in range(_MERGES):
        marks = marks.replace(b"][", b"")  # siblings are as deep as the deepest of them
    if b"[" * (limit + 1) in marks:
        return True
    return len(marks) > 2 * limit and _deepest(marks) > limit


def _deepest(marks: bytes) -> int:
    return max(accumulate(memoryview(marks.translate(_STEPS)).cast("b")))
