"""The seam between api and switch: what travels, and what breaks the format."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from switch.pipeline.replying import state_of_row
from switch.wire import Done, Refused, SwitchReply, SwitchRequest
from tests.support.pipeline import charge, transaction_row

REQUEST = charge(1)


@pytest.mark.parametrize(
    "field", ["intent_id", "merchant_id", "key_digest", "request_hash", "request_id"]
)
@pytest.mark.parametrize("length", [0, 15, 17])
def test_ids_and_digests_have_sixteen_bytes(field: str, length: int) -> None:
    """One of another length is refused at the door, before it meets a batch of others."""
    wrong = msgspec.msgpack.encode(replace(REQUEST, **{field: bytes(length)}))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(wrong, type=SwitchRequest)


def test_a_charge_travels_whole() -> None:
    """What the api says is what the switch hears."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(REQUEST), type=SwitchRequest) == REQUEST


def test_both_replies_travel_and_stay_apart() -> None:
    """A transaction and a refusal are told apart by their tags."""
    for reply in (Done(state_of_row(transaction_row(1)), replayed=True), Refused("overloaded", 1)):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(reply), type=SwitchReply) == reply
