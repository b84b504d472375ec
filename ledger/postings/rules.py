"""Which transfers an event books: the only place that knows. Pure.

Theory of operation
-------------------
A payment's *books* are the sums of its postings by kind. A rule looks at the books and at the event
and answers with transfers; the books after it are the sums of both. So what is remembered is what
is posted, and there is nothing else that could disagree. Each transfer moves one amount between two
accounts of one currency (`accounts.KINDS`): debits equal credits by construction.

A hold is a two-phase transfer on the memo pair: made pending by an authorization, then posted in
one or several parts by captures, and its rest released by a final capture, a cancel or an expiry.
Posted and released never exceed it. An automatic charge authorizes and captures in one step, so it
has no hold and is one capture.

A doubt books nothing: neither an unknown outcome nor its reversal has moved money that we count.

An event that contradicts the books is refused (`RuleError`), never bent: it is put aside for people
and the books stay as they were.

The rules of `Settled` and all below it are for the networks' files, payouts and disputes, which no
part of the product produces yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from ledger.errors import LedgerError
from ledger.postings.accounts import Transfer
from ledger.postings.money_events import (
    Authorized,
    Canceled,
    Captured,
    Disputed,
    DisputeLost,
    DisputeWon,
    Event,
    PaidOut,
    PayoutConfirmed,
    PayoutReturned,
    Refunded,
    Released,
    ReserveReleased,
    Settled,
    Sold,
)

BASIS_POINTS: Final = 10_000  # of a whole
_HALF: Final = BASIS_POINTS // 2


class RuleError(LedgerError):
    """An event that the books do not admit; says which sum it would break, without its data."""


class Books(Struct, frozen=True):
    """The sums of one payment's postings, by kind."""

    sums: Mapping[str, int] = {}

    def __getitem__(self, kind: str) -> int:
        return self.sums.get(kind, 0)

    def after(self, transfers: Sequence[Transfer]) -> Books:
        """The books with these transfers in them."""
        sums = dict(self.sums)
        for transfer in transfers:
            sums[transfer.kind] = sums.get(transfer.kind, 0) + transfer.amount_minor
        return Books(sums)

    @property
    def held_minor(self) -> int:
        """What can still be captured."""
        return self["hold"] - self["hold_posted"] - self["hold_released"]

    @property
    def pending_minor(self) -> int:
        """Of what was captured, what the merchant is owed and may not have yet."""
        return self["capture"] - self["fee"] - self["refund"] - self["release"]

    @property
    def refunded_minor(self) -> int:
        """What went back to the card, wherever it was taken from."""
        return self["refund"] + self["refund_available"] + self["refund_owed"]

    @property
    def disputed_minor(self) -> int:
        """What the network has taken back for a dispute."""
        return self["chargeback"] - self["representment"]

    @property
    def refundable_minor(self) -> int:
        """What of the captured amount is still with us."""
        return self["capture"] - self.refunded_minor - self.disputed_minor


class FeeSchedule(Struct, frozen=True):
    """What the platform keeps of each capture.

    Attributes:
        basis_points: hundredths of a percent of the amount.
        fixed_minor: besides, in minor units of whatever currency.
    """

    basis_points: int = 0
    fixed_minor: int = 0

    def of(self, amount_minor: int) -> int:
        """The fee, rounded half up, and never more than the amount."""
        share = (amount_minor * self.basis_points + _HALF) // BASIS_POINTS
        return min(amount_minor, share + self.fixed_minor)


Amounts = Mapping[str, int]


def book(books: Books, event: Event, fees: FeeSchedule) -> list[Transfer]:
    """The transfers that an event books, in the order of their legs; none where nothing moved.

    Raises:
        RuleError: the books do not admit it.
    """
    amounts = _RULES[type(event)](books, event, fees)
    for kind, amount_minor in amounts.items():
        if amount_minor < 0:
            raise RuleError(f"{kind} would be negative")
    return [Transfer(kind, amount_minor) for kind, amount_minor in amounts.items() if amount_minor]


def _at_most(amount_minor: int, limit_minor: int, what: str) -> None:
    if not 0 < amount_minor <= limit_minor:
        raise RuleError(what)


def _sold(books: Books, event: Sold, fees: FeeSchedule) -> Amounts:
    if books["capture"] or books["hold"]:
        raise RuleError("the payment was charged before")
    return {"capture": event.amount_minor, "fee": fees.of(event.amount_minor)}


def _authorized(books: Books, event: Authorized, _: FeeSchedule) -> Amounts:
    if books["capture"] or books["hold"]:
        raise RuleError("the payment was charged before")
    return {"hold": event.amount_minor}


def _captured(books: Books, event: Captured, fees: FeeSchedule) -> Amounts:
    _at_most(event.amount_minor, books.held_minor, "more is captured than is held")
    return {
        "hold_posted": event.amount_minor,
        "capture": event.amount_minor,
        "fee": fees.of(event.amount_minor),
        "hold_released": books.held_minor - event.amount_minor if event.final else 0,
    }


def _canceled(books: Books, _event: Canceled, _: FeeSchedule) -> Amounts:
    return {"hold_released": books.held_minor}


def _refunded(books: Books, event: Refunded, _: FeeSchedule) -> Amounts:
    """From what this payment brought first, then from what its merchant has, then on credit."""
    _at_most(event.amount_minor, books.refundable_minor, "more is refunded than was captured")
    from_pending = min(event.amount_minor, max(0, books.pending_minor))
    rest = event.amount_minor - from_pending
    from_available = min(rest, max(0, event.available_minor))
    return {
        "refund": from_pending,
        "refund_available": from_available,
        "refund_owed": rest - from_available,
    }


def _settled(_books: Books, event: Settled, _: FeeSchedule) -> Amounts:
    """Everything claimed is accounted for; a difference waits in suspense for a person."""
    kept = event.interchange_minor + event.scheme_fee_minor
    short = event.claimed_minor - kept - event.paid_minor
    return {
        "settlement": event.paid_minor + min(short, 0),
        "settlement_short": max(short, 0),
        "settlement_over": max(-short, 0),
        "interchange": event.interchange_minor,
        "scheme_fee": event.scheme_fee_minor,
    }


def _released(books: Books, event: Released, _: FeeSchedule) -> Amounts:
    _at_most(event.amount_minor, books.pending_minor, "more is released than is pending")
    if event.reserve_minor > event.amount_minor:
        raise RuleError("more is reserved than is released")
    return {"release": event.amount_minor, "reserve": event.reserve_minor}


def _reserve_released(books: Books, event: ReserveReleased, _: FeeSchedule) -> Amounts:
    reserved = books["reserve"] - books["reserve_released"]
    _at_most(event.amount_minor, reserved, "more is released than is reserved")
    return {"reserve_released": event.amount_minor}


def _disputed(books: Books, event: Disputed, _: FeeSchedule) -> Amounts:
    _at_most(event.amount_minor, books.refundable_minor, "more is disputed than was captured")
    from_available = min(event.amount_minor, max(0, event.available_minor))
    return {
        "dispute_hold": from_available,
        "dispute_owed": event.amount_minor - from_available,
        "chargeback": event.amount_minor,
    }


def _dispute_won(books: Books, event: DisputeWon, _: FeeSchedule) -> Amounts:
    _at_most(event.amount_minor, books.disputed_minor, "more is won than is disputed")
    return {"representment": event.amount_minor, "dispute_won": event.amount_minor}


def _dispute_lost(books: Books, event: DisputeLost, _: FeeSchedule) -> Amounts:
    if event.borne_minor > books["dispute_owed"] - books["chargeback_loss"]:
        raise RuleError("more is borne than the merchant owes")
    return {"dispute_fee": event.fee_minor, "chargeback_loss": event.borne_minor}


def _paid_out(books: Books, event: PaidOut, _: FeeSchedule) -> Amounts:
    if books["payout"]:
        raise RuleError("the payout was made before")
    return {"payout": event.amount_minor}


def _payout_left(books: Books, amount_minor: int) -> None:
    ended = books["payout_confirmed"] + books["payout_returned"]
    _at_most(amount_minor, books["payout"] - ended, "more ends than is in transit")


def _payout_confirmed(books: Books, event: PayoutConfirmed, _: FeeSchedule) -> Amounts:
    _payout_left(books, event.amount_minor)
    return {"payout_confirmed": event.amount_minor}


def _payout_returned(books: Books, event: PayoutReturned, _: FeeSchedule) -> Amounts:
    _payout_left(books, event.amount_minor)
    return {"payout_returned": event.amount_minor}


_RULES: Final[Mapping[type[Struct], Callable[[Books, Any, FeeSchedule], Amounts]]] = {
    Sold: _sold,
    Authorized: _authorized,
    Captured: _captured,
    Canceled: _canceled,
    Refunded: _refunded,
    Settled: _settled,
    Released: _released,
    ReserveReleased: _reserve_released,
    Disputed: _disputed,
    DisputeWon: _dispute_won,
    DisputeLost: _dispute_lost,
    PaidOut: _paid_out,
    PayoutConfirmed: _payout_confirmed,
    PayoutReturned: _payout_returned,
}
