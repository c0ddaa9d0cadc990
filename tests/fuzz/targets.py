"""What reads bytes from outside: each reader, with what it may raise, as a function of bytes.

A target returns whatever it is given; an exception that its reader does not document gets out, and
is a finding. `samples` are good inputs, from which the engines make bad ones; `words` are what is
worth putting into them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.fuzz import (
    api_targets,
    envelope_targets,
    frame_targets,
    header_targets,
    reply_targets,
    token_targets,
    word_targets,
)


@dataclass(frozen=True, slots=True)
class Target:
    """One reader under test.

    Args:
        name: as `python -m tests.fuzz --target` takes it.
        run: feeds the reader; raises only what is a finding.
        samples: inputs that the reader takes.
        words: bytes that mean something to it.
    """

    name: str
    run: Callable[[bytes], None]
    samples: Sequence[bytes]
    words: Sequence[bytes] = ()


TARGETS: Final = {
    target.name: target
    for target in (
        Target(
            "client-json", frame_targets.client_json, frame_targets.JSON_SENT, frame_targets.WORDS
        ),
        Target(
            "client-msgpack",
            frame_targets.client_msgpack,
            frame_targets.MSGPACK_SENT,
            frame_targets.WORDS,
        ),
        Target(
            "node-frames", frame_targets.node_frames, frame_targets.JSON_SAID, frame_targets.WORDS
        ),
        Target("envelopes", envelope_targets.envelopes, envelope_targets.ENVELOPES),
        Target("store-values", envelope_targets.store_values, envelope_targets.VALUES),
        Target("store-replies", reply_targets.replies, reply_targets.REPLIES, reply_targets.WORDS),
        Target("api-bodies", api_targets.bodies, api_targets.BODIES, api_targets.WORDS),
        Target("api-queries", api_targets.queries, api_targets.QUERIES, api_targets.WORDS),
        Target("heads", header_targets.heads, header_targets.HEADS, header_targets.WORDS),
        Target("tokens", token_targets.tokens, token_targets.TOKENS, token_targets.WORDS),
        Target("payloads", token_targets.payloads, token_targets.PAYLOADS, token_targets.WORDS),
        Target("key-sets", token_targets.key_sets, token_targets.KEY_SETS, token_targets.WORDS),
        Target("tickets", token_targets.holders, token_targets.HOLDERS, frame_targets.WORDS),
        Target("words", word_targets.words, word_targets.TEXTS),
    )
}
