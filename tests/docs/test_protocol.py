"""docs/protocol.md tells what the code does: keys, scripts and envelopes."""

import re
from typing import get_args

import msgspec

from router.codec import (
    VERSION,
    Answer,
    DrainEnvelope,
    KickEnvelope,
    Lease,
    MessageEnvelope,
    ReceiptEnvelope,
    StoredMessage,
    TracedEnvelope,
)
from router.deadletters import MAX_DEAD_LETTERS
from router.keys import Keys
from router.model import EndpointId, Outcome, UserId
from router.settings import DeliverySettings
from router.store import scripts
from router.store.trouble import OTHER, TROUBLES, Meaning
from router.vitals import Vitals
from tests.support.documents import ROOT, code_in, read

PROTOCOL = read("docs/protocol.md")
SOURCES = "\n".join(path.read_text() for path in (ROOT / "router").rglob("*.py"))


def key_names() -> set[str]:
    keys = Keys()
    names: set[str] = set()
    for name, maker in vars(Keys).items():
        if isinstance(maker, property):
            names.add(getattr(keys, name))
        elif callable(maker) and not name.startswith("_"):
            names.add(
                maker(
                    keys,
                    *(
                        f"{{{a}}}" if a == "key" else a
                        for a in maker.__annotations__
                        if a != "return"
                    ),
                )
            )
    return names


def test_every_key_is_told_and_no_other() -> None:
    keys = PROTOCOL.table("key", "type", "holds", "ends").column("key")
    channels = PROTOCOL.table("channel", "`delivery.mode`", "who listens").column("channel")
    told = [code_in(cell)[0] for cell in [*keys, *channels]]
    assert set(told) == key_names()
    assert Keys().open(EndpointId("endpoint")) in told
    assert Keys().routes(UserId("user")) in told


def test_what_a_lease_says_is_told_in_its_order() -> None:
    for heading, struct in (("field", Lease), ("of `vitals`", Vitals)):
        told = [
            name
            for cell in PROTOCOL.table(heading, "means").column(heading)
            for name in code_in(cell)
        ]
        assert told == list(struct.__struct_fields__)


def test_the_outcomes_in_a_lease_are_told_in_their_order() -> None:
    rows = PROTOCOL.table("of `vitals`", "means").rows
    [means] = [means for name, means in rows if code_in(name) == ["outcomes"]]
    assert code_in(means) == [outcome.value for outcome in Outcome]


def test_every_mode_is_told() -> None:
    modes = get_args(DeliverySettings.model_fields["mode"].annotation)
    table = PROTOCOL.table("channel", "`delivery.mode`", "who listens")
    told = [code_in(cell)[0] for cell in table.column("`delivery.mode`")]
    assert ["routed", *told] == list(modes)


def test_every_script_is_told_with_its_keys() -> None:
    table = PROTOCOL.table("script", "keys", "does")
    told = {code_in(row[0])[0]: row[1].split(", ") for row in table.rows}
    real = {}
    for script in scripts.ALL:
        header = re.search(r"^-- KEYS +(.*)$", script.source.decode(), re.MULTILINE)
        assert header is not None
        real[f"{script.name}.lua"] = re.findall(r"\d ([a-z]+)", header[1])
    assert told == real


def test_every_envelope_is_told_with_its_fields() -> None:
    table = PROTOCOL.table("kind", "first element", "fields")
    told = {code_in(row[0])[0]: (int(row[1]), code_in(row[2])) for row in table.rows}
    kinds: tuple[type[msgspec.Struct], ...] = (
        MessageEnvelope,
        ReceiptEnvelope,
        KickEnvelope,
        DrainEnvelope,
        StoredMessage,
        TracedEnvelope,
    )
    assert told == {
        kind.__name__: (kind.__struct_config__.tag, list(kind.__struct_fields__)) for kind in kinds
    }
    assert {number // 16 for number, _ in told.values()} == {VERSION}
    assert f"version is {VERSION}." in " ".join(PROTOCOL.prose.split())


def test_every_answer_is_told() -> None:
    table = PROTOCOL.table("answer", "value", "says")
    assert [(code_in(row[0])[0], int(row[1])) for row in table.rows] == [
        (answer.name, answer.value) for answer in Answer
    ]


def test_every_error_of_the_store_is_told_with_its_meaning() -> None:
    table = PROTOCOL.table("first word", "means", "connection")
    told = {row[0].strip("`"): (code_in(row[1])[0], "given up" in row[2]) for row in table.rows}
    real = {word: (each.meaning.value, each.elsewhere) for word, each in TROUBLES.items()}
    assert told == {**real, "any other": (OTHER.meaning.value, OTHER.elsewhere)}


def test_every_meaning_is_told() -> None:
    meanings = PROTOCOL.table("meaning", "what follows").column("meaning")
    assert [code_in(cell)[0] for cell in meanings] == [meaning.value for meaning in Meaning]


def test_the_bound_of_the_dead_letters_is_told() -> None:
    assert f"at most {MAX_DEAD_LETTERS:,}" in PROTOCOL.prose
