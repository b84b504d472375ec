"""What a message of a queue needs before it can be recorded or sent: a slot, its card, a merchant.

Queues are worked off beside live traffic, so they get a share of each network's window and no more.
What has to wait for a slot or an HSM is still due at the next round. What the HSM refuses, or the
ledger cannot make sense of, is at fault, and the next round would find it so too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import attrs

from chassis.log import get_logger
from ledger.deciding.records import AttemptView, IntentView
from switch.carriers import Carrier
from switch.core.messages import Acceptor
from switch.core.messages_following import Card
from switch.core.operations.letters import charge_of, letter_of
from switch.core.operations.reading import ViewError, find_attempt
from switch.core.operations.records import Letter
from switch.link.correlation import Slot
from switch.operations.cards import Cards, Charge, Purpose
from switch.pipeline.anomalies import Anomalies

log = get_logger(__name__)

ReadViews = Callable[[Sequence[bytes]], Awaitable[dict[bytes, IntentView]]]
LoadAcceptors = Callable[[Sequence[bytes]], Awaitable[dict[bytes, Acceptor]]]
Unequipped = Literal["later", "faulty"]


@attrs.frozen
class Want:
    """The message of an attempt, or an inquiry about it that is yet to be recorded."""

    intent_id: bytes
    attempt_id: bytes
    network: str
    inquiry: bool = False


@attrs.define(eq=False, kw_only=True)
class Equipment:
    """What was found for a want; `slot` must be used or released.

    `letter` is the attempt's own message; None for an inquiry, which has none yet.
    """

    network: str
    letter: Letter | None
    slot: Slot
    acceptor: Acceptor
    card: Card


@attrs.frozen(eq=False, kw_only=True)
class _Known:
    """What the ledger knows of a want."""

    place: int
    charge: Charge
    purpose: Purpose
    letter: Letter | None
    acceptor: Acceptor


class Equipping:
    """Finds it all for a batch of wants.

    Args:
        carriers: by network name.
        cards: released by the HSM.
        read_views: the ledger's look at intents.
        load_acceptors: merchants as networks are told of them.
        in_flight: messages of a network that are no charges.
        anomalies: the process's.
    """

    def __init__(
        self,
        *,
        carriers: Mapping[str, Carrier],
        cards: Cards,
        read_views: ReadViews,
        load_acceptors: LoadAcceptors,
        in_flight: Callable[[str], int],
        anomalies: Anomalies,
    ) -> None:
        self._anomalies = anomalies
        self._carriers = carriers
        self._cards = cards
        self._read_views = read_views
        self._load_acceptors = load_acceptors
        self._in_flight = in_flight

    def room(self, network: str) -> int:
        """How many messages of queues this network takes now."""
        carrier = self._carriers[network]
        if not carrier.group.up_count:
            return 0
        share = int(carrier.settings.saf_window_share * carrier.group.capacity)
        return max(0, share - self._in_flight(network))

    async def equip(self, wants: Sequence[Want]) -> list[Equipment | Unequipped]:
        """Equip a batch, in order.

        `wants` are at most as many of a network as there is `room`.

        Raises:
            LedgerError: the ledger could not be asked; nothing is held.
        """
        views = await self._read_views([want.intent_id for want in wants])
        merchants = sorted({view.merchant_id for view in views.values()})
        acceptors = await self._load_acceptors(merchants)
        known = [
            found
            for place, want in enumerate(wants)
            if (found := self._known(place, want, views, acceptors)) is not None
        ]
        cards = await self._cards.release([(each.charge, each.purpose) for each in known])
        equipped: list[Equipment | Unequipped] = ["faulty"] * len(wants)
        for each, card in zip(known, cards, strict=True):
            if isinstance(card, Card):
                equipped[each.place] = self._with_slot(wants[each.place].network, each, card)
            elif card == "unavailable":
                equipped[each.place] = "later"
        return equipped

    def _with_slot(self, network: str, known: _Known, card: Card) -> Equipment | Unequipped:
        slot = self._carriers[network].group.reserve()
        if slot is None:
            return "later"
        return Equipment(
            network=network, letter=known.letter, slot=slot, acceptor=known.acceptor, card=card
        )

    def _known(
        self,
        place: int,
        want: Want,
        views: Mapping[bytes, IntentView],
        acceptors: Mapping[bytes, Acceptor],
    ) -> _Known | None:
        """What the ledger knows of a want; a fault of one row is its own."""
        view = views.get(want.intent_id)
        acceptor = acceptors.get(view.merchant_id) if view is not None else None
        attempt = find_attempt(view, want.attempt_id) if view is not None else None
        reason = "merchant" if acceptor is None else "attempt"
        if view is not None and acceptor is not None and attempt is not None:
            try:
                return _Known(
                    place=place,
                    charge=(view.intent_id, charge_of(view, attempt.rrn)),
                    purpose="inquiry" if want.inquiry else _purpose(attempt),
                    letter=None if want.inquiry else letter_of(view, attempt),
                    acceptor=acceptor,
                )
            except ViewError as error:
                reason = str(error)
        self._anomalies.tell(
            log.error,
            "message_not_equipped",
            network=want.network,
            attempt=want.attempt_id.hex(),
            missing=reason,
        )
        return None

    def release(self, equipment: Equipment) -> None:
        """Give back what was not used."""
        self._carriers[equipment.network].group.release(equipment.slot)


def _purpose(attempt: AttemptView) -> Purpose:
    """What the card of an advice is released for, by its MTI: a 0220 captures, others give back."""
    return "capture" if attempt.mti[1] == "2" else "reversal"
