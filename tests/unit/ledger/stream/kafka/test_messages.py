"""What stands in a message, and what is refused of one."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from ledger.ids import public_id
from ledger.stream.errors import StreamCorruptError
from ledger.stream.kafka.messages import (
    Composer,
    State,
    encode_state,
    leaf_of,
    read_message,
    read_state,
)
from ledger.stream.record import NO_INTENT, Mark, Position, descriptor_id
from tests.support.stream import DESCRIPTOR, INT8, SYSTEM, UUID, descriptor, record

KNOWN = {descriptor_id(DESCRIPTOR): DESCRIPTOR}
MERCHANT = b"m" * 16


def test_a_message_is_the_event_with_its_record_beside_it() -> None:
    """Keyed by payment, as the event has it."""
    message = Composer(0).compose(41, record(7), KNOWN)
    event = json.loads(message.value)
    assert message.key.decode() == event["payment_intent"] == public_id("pi", (7).to_bytes(16))
    assert event["position"]["offset"] == 41
    found = read_message("t", 3, 99, message.headers)
    assert (found.partition, found.offset, found.record) == (3, 41, record(7))
    assert found.descriptor == DESCRIPTOR
    assert message.size > len(message.value) + len(record(7)) + len(DESCRIPTOR)


def test_without_a_payment_the_merchant_is_the_key_and_else_the_table() -> None:
    """What has neither shares the order of its table."""
    columns = descriptor("payouts", ("merchant_id", UUID), ("n", INT8))
    row = {"row": (MERCHANT, bytes(8)), "intent_id": NO_INTENT}
    own = record(7, descriptor=descriptor_id(columns), **row)
    message = Composer(0).compose(0, own, {descriptor_id(columns): columns})
    assert message.key.decode() == public_id("mer", MERCHANT)
    assert Composer(0).compose(0, record(0), KNOWN).key == b"outcomes"


def test_a_record_nobody_can_read_is_passed_on_with_the_reason() -> None:
    """Under its payment's key, with its bytes: nothing is left out because it is odd."""
    odd = record(7, row=(bytes(16),))
    message = Composer(2).compose(5, odd, KNOWN)
    assert json.loads(message.value) == {
        "position": {"shard": 2, "offset": 5},
        "error": "outcomes: 1 columns; its descriptor has 2",
    }
    assert message.key.decode() == public_id("pi", (7).to_bytes(16))
    assert read_message("t", 0, 0, message.headers).record == odd


def test_a_payments_previous_version_is_told_where_it_was_seen() -> None:
    """As in every other form of the event."""
    columns = descriptor("payment_intents", ("id", UUID), ("version", INT8))
    known = {descriptor_id(columns): columns}
    composer = Composer(0)

    def version(number: int) -> dict[str, object]:
        row = (b"p" * 16, number.to_bytes(8))
        one = record(7, kind=b"U", descriptor=descriptor_id(columns), row=row)
        document: dict[str, object] = json.loads(composer.compose(number, one, known).value)
        return document

    assert version(1)["before"] is None
    second = version(2)
    assert isinstance(second["before"], dict)
    assert second["before"]["version"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("offset", None), ("record", None), ("descriptor", None), ("offset", b"first")],
)
def test_a_message_of_somebody_else_is_refused_by_its_place(name: str, value: bytes | None) -> None:
    """With topic, partition and Kafka's offset, and without what it holds."""
    headers = dict(Composer(0).compose(1, record(1), KNOWN).headers)
    if value is None:
        del headers[name]
    else:
        headers[name] = value
    with pytest.raises(StreamCorruptError, match=r"t\[4\] at offset 17: it lacks the headers"):
        read_message("t", 4, 17, headers)


def test_a_record_must_name_the_descriptor_beside_it() -> None:
    """Or it would be read by the wrong one."""
    headers = dict(Composer(0).compose(1, record(1), KNOWN).headers)
    headers["descriptor"] = descriptor("attempts")
    with pytest.raises(StreamCorruptError, match="does not name the descriptor"):
        read_message("t", 4, 17, headers)


def test_a_state_comes_back_as_it_was_written() -> None:
    """And what is no state is refused."""
    state = State(
        next_offset=5,
        mark=Mark(SYSTEM, 2, 99),
        last=Position(64, 1),
        leaf=leaf_of(record(4)),
        partitions=48,
    )
    assert read_state("t", 0, encode_state(state)) == state
    with pytest.raises(StreamCorruptError, match="it is no state"):
        read_state("t", 3, b"{}")


def test_a_leaf_is_hashed_as_the_audit_log_does() -> None:
    """RFC 6962: a zero byte before the record."""
    assert leaf_of(b"abc") == sha256(b"\x00abc").hexdigest()
