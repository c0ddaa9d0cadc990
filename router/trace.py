"""Who watches a message: a trace id with which its steps can be found again.

Pure. It is written as W3C Trace Context has it, so the traces of other programs go on in ours.
Source: https://www.w3.org/TR/trace-context/#traceparent-header
"""

import re
from dataclasses import dataclass
from typing import Final, Self

TRACEPARENT: Final = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"
_READ: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """One message's place in a trace.

    Args:
        id: of the trace, 32 hexadecimal digits, not all 0.
        span: what this message is a part of, 16 hexadecimal digits, not all 0.
        sampled: whether spans are wanted.
        noted: whether the steps are kept in the store for a minute.
    """

    id: str
    span: str
    sampled: bool = True
    noted: bool = False

    @classmethod
    def parse(cls, header: str, *, noted: bool = False) -> Self | None:
        """Return what a `traceparent` says; None when it is none, for such a one is ignored.

        Args:
            header: its value.
            noted: see the class.
        """
        found = _READ.fullmatch(header.strip())
        if found is None:
            return None
        version, trace, span, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(span, 16):
            return None
        return cls(trace, span, bool(int(flags, 16) & _SAMPLED), noted)

    def __str__(self) -> str:
        return f"00-{self.id}-{self.span}-{int(self.sampled):02x}"
