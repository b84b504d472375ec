"""Opening cards that were sealed for us, and giving back those that the ledger keeps."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hsm_sim.wire.masked import Masked

Id16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Purpose = Literal["capture", "refund", "reversal", "inquiry", "retry"]


class CardToOpen(Struct, array_like=True, gc=False, frozen=True):
    """One sealed card and the context its `info` is rebuilt from (contract 3)."""

    ciphertext: str  # v1.<kid>.<base64url>
    live: bool
    publishable_key: str
    intent: str  # the public form, pi_…
    intent_id: Id16  # with merchant_id the AAD of the sealed card
    merchant_id: Id16


class OpenedCard(Masked, frozen=True, tag="opened"):
    """A card in the clear, for the switch's memory only; `sealed` is for the ledger."""

    pan: str  # 12-19 digits
    expiry: str  # YYMM, as DE 14 wants it
    cvc: str  # 3-4 digits, or empty
    name: str
    sealed: bytes  # PAN and expiry under AES-256-GCM, a sub-key per day
    fingerprint: Id16  # keyed: equal cards are equal here and nowhere else


class CardRefused(Struct, array_like=True, gc=False, frozen=True, tag="refused"):
    """The one answer to every bad ciphertext; `code` is an error code of contract 4."""

    code: str  # card_undecryptable | card_key_expired


class OpenCards(Struct, array_like=True, gc=False, frozen=True, tag="open_cards"):
    """Open a batch (role: switch)."""

    cards: list[CardToOpen]


class CardsOpened(Struct, array_like=True, gc=False, tag="cards_opened"):
    """One entry per card, in order."""

    cards: list[OpenedCard | CardRefused]


class CardToRelease(Struct, array_like=True, gc=False, frozen=True):
    """One sealed card of the ledger, and the row it was sealed for.

    The two ids must be those that `CardToOpen` carried when `sealed` was made: they are its AAD.
    """

    sealed: bytes  # `OpenedCard.sealed`, as the ledger keeps it
    intent_id: Id16  # noted in the audit log
    merchant_id: Id16


class ReleaseCards(Struct, array_like=True, gc=False, frozen=True, tag="release_cards"):
    """Give back the cards that a message needs which follows a charge (role: switch).

    At most `hsm.release_cards_max` cards. The batch is in the audit log, durably, before it is
    answered: how many, for what, for which intents. Answered by `CardsReleased`, or refused whole:
    `rate_limited` (`hsm.releases_per_minute_max` within 60 seconds: nothing was released; try
    again within the minute), `batch_too_large`, `not_permitted`, `unavailable`.
    """

    purpose: Purpose
    cards: list[CardToRelease]


class ReleasedCard(Masked, frozen=True, tag="released"):
    """Number and expiry of a card, for the switch's memory only. There is no CVC to give back."""

    pan: str  # 12-19 digits
    expiry: str  # YYMM, as DE 14 wants it


class ReleaseRefused(Struct, array_like=True, gc=False, frozen=True, tag="release_refused"):
    """This card cannot be given back, now or later."""

    # card_undecryptable: altered, of another intent or merchant, or of a key that never was ours
    # card_shredded: the key of its day is destroyed; it is past refunds and disputes
    code: Literal["card_undecryptable", "card_shredded"]


class CardsReleased(Struct, array_like=True, gc=False, tag="cards_released"):
    """One entry per card, in order."""

    cards: list[ReleasedCard | ReleaseRefused]


class ListKeys(Struct, array_like=True, gc=False, frozen=True, tag="list_keys"):
    """The public capture keys (any role)."""


class CaptureKey(Struct, array_like=True, gc=False, frozen=True):
    """One public key as `GET /keys` shows it; `public_key` is raw bytes here."""

    kid: str
    suite: int  # 1 = X25519, 2 = P-256
    public_key: bytes
    state: str  # active | decrypt_only
    not_after: int  # seconds since 1970: cards sealed to it are opened until then


class KeysListed(Struct, array_like=True, gc=False, frozen=True, tag="keys_listed"):
    """Newest first."""

    keys: list[CaptureKey]
