"""What goes into a send and what comes out of it: data checked, deliveries turned into results."""

from typing import Any, Final

import msgspec

from router.errors import InvalidRequest
from router.model import MessageId, Outcome, SendResult
from router.transport.base import Delivery

_any_json: Final = msgspec.json.Decoder(msgspec.Raw)


def encode_data(data: Any) -> bytes:
    """Return `data` as JSON bytes.

    Raises:
        InvalidRequest: it is not a JSON value.
    """
    try:
        if isinstance(data, msgspec.Raw):
            # It is copied as it is into the frames of others.
            _any_json.decode(str(data, "utf-8"))
        return msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError, OverflowError) as exc:
        raise InvalidRequest("data", f"is not a JSON value: {exc}") from exc


def result_of(message_id: MessageId, delivery: Delivery) -> SendResult:
    """Return the result of a settled delivery, or raise its error."""
    if delivery.error is not None:
        raise delivery.error
    assert delivery.outcome is not None
    first = delivery.first or message_id
    return SendResult(first, delivery.user, delivery.outcome, delivery.sessions, delivery.reason)


def partial_result_of(message_id: MessageId, delivery: Delivery) -> SendResult:
    """Return the result of one delivery of many; an error of the store becomes `busy`.

    Nothing was pushed for this user, and trying again later is right: what `busy` says.
    """
    if delivery.error is None:
        return result_of(message_id, delivery)
    return SendResult(
        message_id, delivery.user, Outcome.BUSY, delivery.sessions, str(delivery.error)
    )
