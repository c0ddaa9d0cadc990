import json
from pathlib import Path

import msgspec
import pytest

from scripts.comparison.document import Cell, Document, dump, load, schema
from scripts.comparison.page import page
from scripts.comparison.run import no_nan
from tests.support.comparison import FILE, RECORDED

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = [
    "mode",
    "nodes",
    "regime",
    "repeat",
    "size_bytes",
    "messages",
    "per_second",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "cpu_nodes",
    "cpu_store",
    "cpu_sender",
    "store_commands",
    "store_bytes_in",
    "store_bytes_out",
    "wasted",
    "lost",
    "doubled",
    "misdelivered",
]


def test_the_schema_in_the_docs_is_the_one_of_the_code() -> None:
    """Mend with: python -m scripts.comparison.document > docs/comparison-results.schema.json."""
    assert (ROOT / "docs" / "comparison-results.schema.json").read_bytes() == schema()


def test_a_cell_has_the_fields_of_the_contract() -> None:
    assert list(Cell.__struct_fields__) == CONTRACT
    first = ["machine", "versions", "settings", "cells", "faults", "model"]
    assert list(Document.__struct_fields__)[:6] == first


def test_what_was_written_is_read_back() -> None:
    assert load(dump(RECORDED)) == RECORDED
    assert load(FILE.read_bytes()) == RECORDED


@pytest.mark.parametrize(
    ("place", "value"), [("nodes", "four"), ("regime", "slow"), ("surprise", 1)]
)
def test_other_documents_are_refused(place: str, value: object) -> None:
    raw = json.loads(dump(RECORDED))
    raw["cells"][0][place] = value
    with pytest.raises(msgspec.ValidationError):
        load(json.dumps(raw).encode())


def test_json_knows_no_nan() -> None:
    assert no_nan(float("nan")) is None
    assert (no_nan(1.5), no_nan("routed")) == (1.5, "routed")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = page(RECORDED).replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in text
    assert "https://" not in text
    assert "$" not in text.partition("<script>")[0]
