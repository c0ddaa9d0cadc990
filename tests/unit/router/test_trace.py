import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.trace import Trace

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_traceparent_is_read_as_it_is_written() -> None:
    header = f"00-{ID}-{SPAN}-01"
    assert Trace.parse(header) == Trace(ID, SPAN, sampled=True)
    assert str(Trace.parse(header)) == header
    assert str(Trace(ID, SPAN, sampled=False)) == f"00-{ID}-{SPAN}-00"


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert Trace.parse(f"01-{ID}-{SPAN}-03-more-to-come") == Trace(ID, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{ID}-{SPAN}",
        f"00-{ID}-{SPAN}-01-more",  # version 00 has no more
        f"ff-{ID}-{SPAN}-01",  # never a version
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID.upper()}-{SPAN}-01",
        f"00-{ID[1:]}-{SPAN}-01",
        f"00-{ID}-{SPAN}-1",
        f"00-{ID}-{SPAN}-0g",
        f"00_{ID}_{SPAN}_01",
        f"00-{ID}-{SPAN}-01\r\nX: y",
    ],
)
def test_what_is_no_traceparent_is_ignored(header: str) -> None:
    assert Trace.parse(header) is None


@given(st.text(max_size=80))
def test_any_text_is_a_trace_or_none(text: str) -> None:
    found = Trace.parse(text)
    assert found is None or len(str(found)) == 55
