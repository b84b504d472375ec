"""Accounts and the kinds of transfer between them: two tables, no I/O.

An account is named by whose it is, in which mode, for what, and in which currency; its id is a
digest of that, so nobody has to look one up before booking. Each *kind* of transfer debits one
purpose and credits another, always: whoever reads a posting in the stream knows both accounts by
its kind. docs/ledger.md explains the words.

Model: durability.md 7; two-phase transfers after TigerBeetle's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from ledger.ids import ID_BYTES

NOBODY: Final = bytes(ID_BYTES)  # the merchant of an account that is a network's or the platform's
_PERSON: Final = b"turnout account"

Owner = Literal["merchant", "network", "platform"]
Side = Literal["debit", "credit"]


class Purpose(Struct, frozen=True):
    """What an account is for.

    Attributes:
        owner: whose it is.
        grows_on: the side that makes its balance larger.
        memo: promises, not money: summed apart from the rest.
    """

    owner: Owner
    grows_on: Side
    memo: bool = False


PURPOSES: Final[Mapping[str, Purpose]] = MappingProxyType(
    {
        # what others owe us, and what is in the bank
        "scheme_receivable": Purpose("network", "debit"),
        "bank_settlement": Purpose("platform", "debit"),
        "merchant_receivable": Purpose("merchant", "debit"),
        # what we owe to merchants
        "merchant_pending": Purpose("merchant", "credit"),
        "merchant_available": Purpose("merchant", "credit"),
        "merchant_reserve": Purpose("merchant", "credit"),
        "dispute_hold": Purpose("merchant", "credit"),
        "payout_in_transit": Purpose("merchant", "credit"),
        # what we earn, and what it costs
        "fees": Purpose("platform", "credit"),
        "interchange": Purpose("platform", "debit"),
        "scheme_fees": Purpose("platform", "debit"),
        "chargeback_loss": Purpose("platform", "debit"),
        # what nobody can explain yet
        "suspense": Purpose("platform", "credit"),
        # the memo pair: cards on which money is held
        "auth_hold": Purpose("merchant", "debit", memo=True),
        "auth_control": Purpose("network", "credit", memo=True),
    }
)

# Kind of transfer → (debited purpose, credited purpose).
KINDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "hold": ("auth_hold", "auth_control"),
        "hold_posted": ("auth_control", "auth_hold"),
        "hold_released": ("auth_control", "auth_hold"),
        "capture": ("scheme_receivable", "merchant_pending"),
        "fee": ("merchant_pending", "fees"),
        "refund": ("merchant_pending", "scheme_receivable"),
        "refund_available": ("merchant_available", "scheme_receivable"),
        "refund_owed": ("merchant_receivable", "scheme_receivable"),
        "settlement": ("bank_settlement", "scheme_receivable"),
        "settlement_short": ("suspense", "scheme_receivable"),
        "settlement_over": ("bank_settlement", "suspense"),
        "interchange": ("interchange", "scheme_receivable"),
        "scheme_fee": ("scheme_fees", "scheme_receivable"),
        "release": ("merchant_pending", "merchant_available"),
        "reserve": ("merchant_available", "merchant_reserve"),
        "reserve_released": ("merchant_reserve", "merchant_available"),
        "dispute_hold": ("merchant_available", "dispute_hold"),
        "dispute_owed": ("merchant_receivable", "dispute_hold"),
        "chargeback": ("dispute_hold", "scheme_receivable"),
        "representment": ("scheme_receivable", "dispute_hold"),
        "dispute_won": ("dispute_hold", "merchant_available"),
        "dispute_fee": ("merchant_available", "fees"),
        "chargeback_loss": ("chargeback_loss", "merchant_receivable"),
        "payout": ("merchant_available", "payout_in_transit"),
        "payout_confirmed": ("payout_in_transit", "bank_settlement"),
        "payout_returned": ("payout_in_transit", "merchant_available"),
    }
)
HOLDS: Final = frozenset({"hold", "hold_posted", "hold_released"})

for _debit, _credit in KINDS.values():  # a memo account never meets money
    if PURPOSES[_debit].memo is not PURPOSES[_credit].memo:
        raise AssertionError(f"{_debit} and {_credit} are of different kinds")


class Account(Struct, frozen=True):
    """An account by its name."""

    merchant_id: bytes  # NOBODY unless it is a merchant's
    live: bool
    network: str  # empty unless it is a network's
    purpose: str
    currency: str

    @property
    def id(self) -> bytes:
        """Sixteen bytes, a digest of the name: the same everywhere, for ever."""
        words = f"{int(self.live)} {self.network} {self.purpose} {self.currency}".encode()
        return blake2b(self.merchant_id + words, digest_size=ID_BYTES, person=_PERSON).digest()


class Parties(Struct, frozen=True):
    """Between whom a transfer happens, and in which money."""

    merchant_id: bytes
    live: bool
    network: str
    currency: str

    def account(self, purpose: str) -> Account:
        """Their account of this purpose."""
        owner = PURPOSES[purpose].owner
        return Account(
            self.merchant_id if owner == "merchant" else NOBODY,
            self.live,
            self.network if owner == "network" else "",
            purpose,
            self.currency,
        )


class Transfer(Struct, frozen=True):
    """An amount on its way from one account's credit to another's debit."""

    kind: str  # of `KINDS`
    amount_minor: int  # above zero

    @property
    def pending(self) -> bool:
        """Whether it is of the memo pair."""
        return self.kind in HOLDS


def balance(purpose: str, debits_minor: int, credits_minor: int) -> int:
    """What stands on an account, seen from the side on which it grows."""
    difference = debits_minor - credits_minor
    return difference if PURPOSES[purpose].grows_on == "debit" else -difference
