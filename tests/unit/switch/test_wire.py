"""The seam between api and switch: what travels, and what breaks the format."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from switch.pipeline.replying import state_of_row
from switch.wire import Charge, Done, Operate, Refused, SwitchReply, SwitchRequest
from tests.support.pipeline import charge, transaction_row

REQUEST = charge(1)
OPERATION = Operate(
    intent_id=REQUEST.intent_id,
    merchant_id=REQUEST.merchant_id,
    live=False,
    type="capture",
    amount_minor=500,
    final_capture=False,
    key_digest=REQUEST.key_digest,
    request_hash=REQUEST.request_hash,
    request_id=REQUEST.request_id,
)


@pytest.mark.parametrize(
    "field", ["intent_id", "merchant_id", "key_digest", "request_hash", "request_id"]
)
@pytest.mark.parametrize("length", [0, 15, 17])
@pytest.mark.parametrize("request_", [REQUEST, OPERATION], ids=["charge", "operate"])
def test_ids_and_digests_have_sixteen_bytes(
    request_: Charge | Operate, field: str, length: int
) -> None:
    """One of another length is refused at the door, before it meets a batch of others."""
    _refused(replace(request_, **{field: bytes(length)}))


@pytest.mark.parametrize("amount_minor", [-1, 1_000_000_000_000])
def test_an_amount_fits_its_element(amount_minor: int) -> None:
    """DE 4 has twelve digits and no sign."""
    _refused(replace(OPERATION, amount_minor=amount_minor))


def test_only_the_operations_of_the_contract_exist() -> None:
    """A word that the switch does not know never becomes a money movement."""
    _refused(replace(REQUEST, operation="refund"))
    _refused(replace(OPERATION, type="charge"))


@pytest.mark.parametrize(
    "request_",
    [REQUEST, replace(REQUEST, operation="verification"), OPERATION],
    ids=["charge", "verification", "operate"],
)
def test_a_request_travels_whole(request_: Charge | Operate) -> None:
    """What the api says is what the switch hears."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request_), type=SwitchRequest) == request_


def _refused(wrong: Charge | Operate) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(wrong), type=SwitchRequest)


def test_both_replies_travel_and_stay_apart() -> None:
    """A transaction and a refusal are told apart by their tags."""
    for reply in (Done(state_of_row(transaction_row(1)), replayed=True), Refused("overloaded", 1)):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(reply), type=SwitchReply) == reply
