"""Card testing: who tries stolen cards at a shop's checkout is stopped after a few.

Theory of operation
-------------------
A browser charges with the client secret of one intent, and anybody who fills a basket has one. Two
things tell a thief with a list of numbers from a customer who mistypes: declines, and how many
different cards come from one place. Both are counted by rates (`api.limits.gcra`): so many at once,
which come back evenly over a window.

- by intent and by address: declines, and cards that were not seen there within the window;
- by merchant: declines, for the thief who changes address and basket each time. Here every approval
  makes up for a decline, so that a busy shop's ordinary declines do not add up; which cards are new
  tells nothing of a whole shop.

A charge takes one of each before it is handed on and is given back what did not come true: it was
approved, the card was known, nothing was recorded. So a hundred charges sent at once cannot all
slip through before the first decline is known.

The api never has a card's number. Two cards count as one where brand, last four digits and expiry
are the same; such chance favors the customer.

Charges that a merchant's server signs are not counted: it knows its customers, all of whom share
its address.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns
from typing import Final

from attrs import field, frozen
from msgspec import Struct

from api.errors import Problem, ProblemError
from api.http.exchange import Exchange
from api.limits.addresses import NOBODY, Addresses
from api.limits.alarm import Alarm
from api.limits.gcra import NS_PER_S, Meter, Rate
from api.limits.recent import Recent
from chassis.mux import MuxError
from chassis.settings.limits import Velocity as Settings
from switch.wire import Done, Refused, SwitchReply, TransactionState

DECLINED: Final = "failed"  # of a transaction
INTENT: Final = "payment intent"
APPROVED: Final = "succeeded"
# Refused because of what became of the same card before: one more try all the same.
REFUSED_FOR_DECLINES: Final = frozenset({"card_declined_before", "retry_limit_reached"})


@frozen
class Watch:
    """Declines and cards at one kind of place.

    Attributes:
        place: in the words of the answer.
        tells_of_theft: whether somebody should look when it is over; a basket may be a mistake.
        declines: how many there may be.
        cards: how many different ones; None where they are not counted.
        seen: the cards seen there.
    """

    place: str
    tells_of_theft: bool
    declines: Meter
    cards: Meter | None = None
    seen: Recent | None = None

    def begin(self, sender: bytes, now_ns: int) -> None:
        """Take one of each; raises ProblemError `too_many_attempts` and leaves nothing taken."""
        self._take(self.declines, sender, now_ns, "declined")
        if self.cards is None:
            return
        try:
            self._take(self.cards, sender, now_ns, "with different cards")
        except ProblemError:
            self.declines.give_back(sender)
            raise

    def give_back(self, sender: bytes, *, declines: int = 0, cards: int = 0) -> None:
        """Take back what did not come true."""
        for _ in range(declines):
            self.declines.give_back(sender)
        if self.cards is not None and cards:
            self.cards.give_back(sender)

    def is_new(self, sender: bytes, card: bytes, now_ns: int) -> bool:
        """Whether a card was not seen there before; from now on it was."""
        return self.seen is None or self.seen.add(sender + card, now_ns)

    def _take(self, meter: Meter, sender: bytes, now_ns: int, what: str) -> None:
        wait_ns = meter.take(sender, now_ns)
        if wait_ns:
            raise ProblemError(
                Problem(
                    "too_many_attempts",
                    f"too many charges were {what} for one {self.place}",
                    retry_after_s=-(-wait_ns // NS_PER_S),
                )
            )


class Attempt(Struct, gc=False, frozen=True):
    """A charge that was let through, and where it counts."""

    intent: bytes
    address: bytes
    merchant: bytes


@frozen
class Velocity:
    """Counts what browsers' charges come to.

    Args:
        settings: how many of what.
        addresses: finds whose request it is.
    """

    settings: Settings
    addresses: Addresses
    _watches: tuple[Watch, Watch, Watch] = field(init=False)
    _alarm: Alarm = field(init=False, factory=Alarm)

    def __attrs_post_init__(self) -> None:
        """Make the meters."""
        made = self.settings
        watches = (
            self._watch(INTENT, made.intent_declines_max, made.intent_cards_max),
            self._watch("address", made.address_declines_max, made.address_cards_max),
            self._watch("merchant", made.merchant_declines_max),
        )
        object.__setattr__(self, "_watches", watches)

    @property
    def meters(self) -> list[tuple[str, str, Meter]]:
        """Every meter with its place and what it counts."""
        found = []
        for watch in self._watches:
            found.append((watch.place, "declines", watch.declines))
            if watch.cards is not None:
                found.append((watch.place, "cards", watch.cards))
        return found

    def begin(self, exchange: Exchange, merchant_id: bytes, intent_id: bytes) -> Attempt:
        """Let a browser's charge through; raises as `Watch.begin`, and then it counts nowhere.

        Whoever is let through must come to its `end`.
        """
        address = self.addresses.sender(exchange.peer, exchange.request.headers)
        attempt = Attempt(intent_id, address, merchant_id)
        now_ns = int(exchange.arrived_at * NS_PER_S)
        begun: list[tuple[Watch, bytes]] = []
        try:
            for watch, sender in self._places(attempt):
                watch.begin(sender, now_ns)
                begun.append((watch, sender))
        except ProblemError:
            for begun_watch, sender in begun:
                begun_watch.give_back(sender, declines=1, cards=1)
            if watch.tells_of_theft:
                self._alarm.refused(watch.place, merchant_id, now_ns)
            raise
        return attempt

    def end(self, attempt: Attempt, reply: SwitchReply | MuxError | None) -> None:
        """Hear what became of a charge that was let through; None if it was not handed on."""
        now_ns = monotonic_ns()
        declined, approved, card = _outcome(reply)
        for watch, sender in self._places(attempt):
            is_new = bool(card) and watch.is_new(sender, card, now_ns)
            back = 0 if declined else 1
            if approved and watch.cards is None:
                back = 2
            watch.give_back(sender, declines=back, cards=0 if is_new else 1)

    def _watch(self, place: str, declines: int, cards: int = 0) -> Watch:
        made, tells_of_theft = self.settings, place != INTENT

        def meter(most: int) -> Meter:
            return Meter(Rate(most / made.window_s, most), senders_max=made.senders_max)

        if not cards:
            return Watch(place, tells_of_theft, meter(declines))
        seen = Recent(int(made.window_s * NS_PER_S), members_max=made.senders_max)
        return Watch(place, tells_of_theft, meter(declines), meter(cards), seen)

    def _places(self, attempt: Attempt) -> Sequence[tuple[Watch, bytes]]:
        intent, address, merchant = self._watches
        places = [(intent, attempt.intent), (merchant, attempt.merchant)]
        if attempt.address != NOBODY:
            places.insert(1, (address, attempt.address))
        return places


def _outcome(reply: SwitchReply | MuxError | None) -> tuple[bool, bool, bytes]:
    """Whether a charge was declined or approved, and by which card; nothing of all that else."""
    if isinstance(reply, Refused):
        return reply.code in REFUSED_FOR_DECLINES, False, b""
    if not isinstance(reply, Done) or reply.replayed:
        return False, False, b""
    state = reply.transaction
    return state.status == DECLINED, state.status == APPROVED, _card(state)


def _card(state: TransactionState) -> bytes:
    name = f"{state.card_brand}{state.card_last4}{state.card_exp_month:02}{state.card_exp_year}"
    return name.encode()
