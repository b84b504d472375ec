"""What happens to a payment's money, as the rules of booking see it.

The first five come from the ledger's outcomes. The others are for the networks' files, payouts and
disputes, which no part of the product produces yet; their rules stand and are tested.
"""

from __future__ import annotations

from msgspec import Struct


class Sold(Struct, frozen=True):
    """An automatic charge succeeded: authorized and captured at once, in whole or in part."""

    amount_minor: int


class Authorized(Struct, frozen=True):
    """A manual charge succeeded: the amount is held on the card."""

    amount_minor: int


class Captured(Struct, frozen=True):
    """A capture of an authorization succeeded; a final one gives back the rest of the hold."""

    amount_minor: int
    final: bool


class Canceled(Struct, frozen=True):
    """A cancel succeeded, or an authorization expired: what is still held is given back."""


class Refunded(Struct, frozen=True):
    """A refund succeeded.

    Attributes:
        available_minor: what its merchant may have at that time, of all payments: for the part
            that is no longer pending.
    """

    amount_minor: int
    available_minor: int = 0


class Settled(Struct, frozen=True):
    """A network's file paid for this payment.

    Attributes:
        claimed_minor: what it should have paid, before what it keeps.
        paid_minor: what it paid.
        interchange_minor: what it kept for the issuer.
        scheme_fee_minor: what it kept for itself.
    """

    claimed_minor: int
    paid_minor: int
    interchange_minor: int = 0
    scheme_fee_minor: int = 0


class Released(Struct, frozen=True):
    """Pending money becomes the merchant's to have, less a reserve."""

    amount_minor: int
    reserve_minor: int = 0


class ReserveReleased(Struct, frozen=True):
    """A reserve becomes the merchant's to have."""

    amount_minor: int


class Disputed(Struct, frozen=True):
    """A chargeback: the network takes money back, and the merchant has to stand in for it."""

    amount_minor: int
    available_minor: int = 0


class DisputeWon(Struct, frozen=True):
    """A representment was accepted: the network gives the money back."""

    amount_minor: int


class DisputeLost(Struct, frozen=True):
    """A dispute is over and lost; `borne_minor` is what the platform bears for the merchant."""

    fee_minor: int = 0
    borne_minor: int = 0


class PaidOut(Struct, frozen=True):
    """Money is on its way to the merchant's bank."""

    amount_minor: int


class PayoutConfirmed(Struct, frozen=True):
    """The bank has it."""

    amount_minor: int


class PayoutReturned(Struct, frozen=True):
    """The bank sent it back."""

    amount_minor: int


Event = (
    Sold
    | Authorized
    | Captured
    | Canceled
    | Refunded
    | Settled
    | Released
    | ReserveReleased
    | Disputed
    | DisputeWon
    | DisputeLost
    | PaidOut
    | PayoutConfirmed
    | PayoutReturned
)
