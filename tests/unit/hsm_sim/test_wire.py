"""Records that hold secrets show nothing of them, however they are asked."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest
from msgspec import Struct
from rich.pretty import pretty_repr

from hsm_sim.wire import (
    CardsOpened,
    HSMReply,
    HSMRequest,
    LoadKek,
    Macs,
    MacToGenerate,
    MacToVerify,
    OpenedCard,
    ReleasedCard,
    SealSecrets,
    SecretsUnsealed,
)

PAN = "4242424242424242"
SECRETS: list[Struct] = [
    OpenedCard(PAN, "3012", "123", "A CARDHOLDER", b"sealed", b"f" * 16),
    ReleasedCard(PAN, "3012"),
    MacToGenerate("vsim", "01", PAN.encode()),
    MacToVerify("vsim", "01", PAN.encode(), b"12345678"),
    LoadKek("vsim", [b"sk_test_docs"], ["3012"]),
    SealSecrets([b"sk_test_docs"], [b"context"]),
    SecretsUnsealed([b"sk_test_docs"]),
]


@pytest.mark.parametrize("record", SECRETS, ids=lambda record: type(record).__name__)
def test_no_text_form_tells_a_secret(record: Struct) -> None:
    """`repr`, `str`, formatting and rich's own rendering name the type and nothing else."""
    masked = f"{type(record).__name__}(<masked>)"
    assert (repr(record), str(record), f"{record}") == (masked, masked, masked)
    shown = pretty_repr(record) + pretty_repr([record])
    for secret in ("4242", "3012", "123", "CARDHOLDER", "sk_test"):
        assert secret not in shown


@pytest.mark.parametrize("record", SECRETS, ids=lambda record: type(record).__name__)
def test_no_secret_is_pickled_or_copied(record: Struct) -> None:
    """A second copy would outlive the first, so there is none."""
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(record)
    with pytest.raises(TypeError, match="secret"):
        copy.copy(record)
    with pytest.raises(TypeError, match="secret"):
        copy.deepcopy(record)


def test_a_batch_that_holds_cards_is_masked_too() -> None:
    """The container prints its entries, which are masked."""
    assert "4242" not in repr(CardsOpened([SECRETS[0]])) + pretty_repr(CardsOpened([SECRETS[0]]))


def test_messages_to_authenticate_are_masked_in_their_batch() -> None:
    """A packed message holds the card number."""
    batch = Macs(
        [MacToGenerate("vsim", "01", PAN.encode())], [MacToVerify("vsim", "", PAN.encode(), b"")]
    )
    assert "4242" not in repr(batch) + pretty_repr(batch)


def test_masked_records_still_travel() -> None:
    """Masking changes nothing on the wire."""
    sent = CardsOpened([OpenedCard(PAN, "3012", "123", "", b"sealed", b"f" * 16)])
    received = msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=HSMReply)
    assert isinstance(received, CardsOpened)
    assert received == sent
    asked = SealSecrets([b"s"], [b"c"])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(asked), type=HSMRequest) == asked


def test_a_fingerprint_has_sixteen_bytes() -> None:
    """A worker that answers with another length breaks the format, before the ledger sees it."""
    wrong = CardsOpened([OpenedCard(PAN, "3012", "", "", b"sealed", b"f" * 15)])
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(wrong), type=HSMReply)
