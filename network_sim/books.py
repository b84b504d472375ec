"""The network's books: decided messages, holds and totals, read back from the record. Pure.

Theory of operation. Every message that moves money or holds it changes its card's account by two
numbers: so much more or less held, so much more or less posted. They stand in the message's line of
the record, so that the books of a new process are the sum of the lines (`restore`), and whoever
reads the record can check the books.

The settlement date is the books' own: it moves at a cutover and not with the clock, and every
answer that moves money carries it (DE 15).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from network_sim.holds import Hold, Holds, hold_key
from network_sim.journal import Entry, message_key
from network_sim.memory import Decided, DecidedMessages
from network_sim.messages import APPROVED, NOT_FOUND
from network_sim.totals import Totals

_AUTHORIZATION: Final = "01"  # the first two digits of an MTI
_REVERSAL: Final = "04"


class Books:
    """The books of one network.

    Args:
        opens_on: the settlement date until the first cutover.
        de7_identifies: whether DE 7 is part of what makes two messages the same; not where a repeat
            carries a new one.
        remembered_max: decided messages that are remembered.
        holds_max: holds that are kept.

    Attributes:
        messages: decided messages by identity.
        holds: by payment.
        settles: DE 15 of an answer given now, MMDD.
        settlement_date: the same with its year, YYYY-MM-DD.
    """

    def __init__(
        self,
        *,
        opens_on: date,
        de7_identifies: bool,
        remembered_max: int,
        holds_max: int,
    ) -> None:
        self.de7_identifies = de7_identifies
        self.messages = DecidedMessages(remembered_max)
        self.holds = Holds(holds_max)
        self._totals: dict[tuple[str, str, str], Totals] = {}
        self.cut_over(opens_on)

    def identity(
        self, acquirer_id: str, stan: str, de7: str, rrn: str, card_acceptor_id: str
    ) -> str:
        """What makes two messages the same one: DE 32, 11, 7, 37, 42."""
        kept = de7 if self.de7_identifies else ""
        return message_key(acquirer_id, stan, kept, rrn, card_acceptor_id)

    def mark_reversed(self, identity: str) -> None:
        """Note that a message was reversed whole, also one that has not come yet."""
        original = self.messages.get(identity)
        if original is None:
            self.messages.add(identity, Decided("", "", 0, reversed=True))
        else:
            original.reversed = True

    def cut_over(self, day: date) -> None:
        """Begin a settlement date; what was answered before stays on its own."""
        self.settlement_date = day.isoformat()
        self.settles = f"{day.month:02d}{day.day:02d}"
        self._today: dict[tuple[str, str], Totals] = {}

    def post(self, acquirer_id: str, currency: str, posted: int) -> None:
        """Count a sale or refund in today's totals; positive left the cardholder's account.

        `Totals.add` spelled out, because every sale under load comes by here.
        """
        totals = self._today.get((acquirer_id, currency)) or self.today(acquirer_id, currency)
        if posted > 0:
            totals.debits += 1
            totals.debits_amount += posted
        else:
            totals.credits += 1
            totals.credits_amount -= posted

    def hold(self, answer: Mapping[int, str], card: str, amount: int) -> Hold:
        """Hold an amount by the answer that approves it; `card` is masked."""
        hold = Hold(card, answer[49], answer[11] + answer[7], amount, amount)
        self.holds.add(hold_key(answer[32], answer[37], answer[42]), hold)
        return hold

    def today(self, acquirer_id: str, currency: str) -> Totals:
        """The totals that grow now."""
        totals = self._today.get((acquirer_id, currency))
        if totals is None:
            totals = self.totals(acquirer_id, currency, self.settlement_date)
            self._today[acquirer_id, currency] = totals
        return totals

    def totals(self, acquirer_id: str, currency: str, settlement_date: str) -> Totals:
        """The totals of a settlement date, YYYY-MM-DD."""
        return self._totals.setdefault((acquirer_id, currency, settlement_date), Totals())

    def date_of(self, settles: str) -> str:
        """The latest settlement date that DE 15 can mean; empty if the books have none."""
        known = {day for _, _, day in self._totals} | {self.settlement_date}
        ending = f"-{settles[:2]}-{settles[2:]}"
        return max((day for day in known if day.endswith(ending)), default="")

    def restore(self, entry: Entry, *, remember: bool) -> None:
        """Take in a line of the record; lines come oldest first.

        Args:
            entry: the line.
            remember: whether a repeat of its message may still come.
        """
        if entry.posted_change:
            totals = self.totals(entry.acquirer_id, entry.currency, entry.settlement_date)
            count = totals.add_reversal if entry.mti.startswith(_REVERSAL) else totals.add
            count(entry.posted_change)
        if entry.settlement_date > self.settlement_date:
            self.cut_over(date.fromisoformat(entry.settlement_date))
        hold = self._restore_hold(entry)
        if remember:
            self._restore_message(entry, hold)

    def _restore_hold(self, entry: Entry) -> Hold | None:
        """Bring the hold that a line opened or changed to what it was; return one it opened."""
        if not entry.held_change:
            return None
        key = hold_key(entry.acquirer_id, entry.rrn, entry.card_acceptor_id)
        if entry.mti.startswith(_AUTHORIZATION):
            opened = Hold(
                card=entry.masked_pan,
                currency=entry.currency,
                origin=entry.stan + entry.de7,
                authorized=entry.held_change,
                held=entry.held_change,
            )
            self.holds.add(key, opened)
            return opened
        hold = self.holds.get(key)
        if hold is not None:
            hold.held += entry.held_change
            if entry.posted_change:  # a capture, or the reversal of one
                hold.captured += entry.posted_change
            elif not entry.remaining:
                hold.reversed = True
        return None

    def _restore_message(self, entry: Entry, hold: Hold | None) -> None:
        identity = self.identity(
            entry.acquirer_id, entry.stan, entry.de7, entry.rrn, entry.card_acceptor_id
        )
        earlier = self.messages.get(identity)
        decided = Decided(
            body=entry.body,
            response_code=entry.response_code,
            answer_delay_ms=entry.answer_delay_ms,
            reversed=earlier is not None and earlier.reversed,
            settles=entry.settles,
            posted=entry.posted_change,
            hold=hold,
            under_way_until_us=entry.under_way_until_us,
        )
        self.messages.add(identity, decided)
        if entry.original:
            self._restore_reversal(entry)

    def _restore_reversal(self, entry: Entry) -> None:
        stan, de7 = entry.original[:6], entry.original[6:16]
        identity = self.identity(entry.acquirer_id, stan, de7, entry.rrn, entry.card_acceptor_id)
        if not entry.remaining and entry.response_code in (APPROVED, NOT_FOUND):
            self.mark_reversed(identity)
        elif entry.posted_change:
            original = self.messages.get(identity)
            if original is not None:
                original.posted += entry.posted_change
