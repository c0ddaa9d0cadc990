import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidRequest, Unavailable
from router.model import Confirm, MessageId, Outcome, SendResult, UserId
from router.results import encode_data, partial_result_of, result_of
from router.transport.base import Delivery

ID, ALICE = MessageId("m1"), UserId("alice")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def delivery() -> Delivery:
    return Delivery(ALICE, 1, Confirm.DELIVERED, lambda _: None)


class TestData:
    @given(JSON)
    def test_a_json_value_comes_back_as_it_was(self, value: object) -> None:
        assert msgspec.json.decode(encode_data(value)) == value

    def test_what_is_encoded_already_is_taken_as_it_is(self) -> None:
        assert encode_data(msgspec.Raw(b'{"a": [1,\n2]}')) == b'{"a": [1,\n2]}'

    @pytest.mark.parametrize(
        "data",
        [object(), {1, object()}, {(1, 2): 3}, "\ud800", math.sqrt],
        ids=["object", "set", "keys", "surrogate", "function"],
    )
    def test_what_is_no_json_value_is_refused(self, data: object) -> None:
        with pytest.raises(InvalidRequest) as caught:
            encode_data(data)
        assert caught.value.field == "data"

    @pytest.mark.parametrize(
        "raw", [b"", b"{", b"{} {}", b"nul", b"'a'", b"\xff", b'"\xff"', b"[1,]", b"NaN"]
    )
    def test_bytes_that_only_claim_to_be_json_are_refused(self, raw: bytes) -> None:
        with pytest.raises(InvalidRequest) as caught:
            encode_data(msgspec.Raw(raw))
        assert caught.value.field == "data"

    def test_nesting_without_end_is_refused(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(InvalidRequest):
            encode_data(endless)


class TestResults:
    def test_a_settled_delivery_is_a_result(self) -> None:
        settled = delivery()
        settled.outcome, settled.sessions, settled.reason = Outcome.UNKNOWN, 2, "because"
        wanted = SendResult(ID, ALICE, Outcome.UNKNOWN, 2, "because")
        assert result_of(ID, settled) == partial_result_of(ID, settled) == wanted

    def test_an_error_is_raised(self) -> None:
        failed = delivery()
        failed.error = Unavailable("here", "gone")
        with pytest.raises(Unavailable):
            result_of(ID, failed)

    def test_an_error_of_one_among_many_is_busy_with_its_words(self) -> None:
        failed = delivery()
        failed.error = Unavailable("here", "gone")
        found = partial_result_of(ID, failed)
        assert (found.outcome, found.user) == (Outcome.BUSY, ALICE)
        assert "gone" in found.reason
