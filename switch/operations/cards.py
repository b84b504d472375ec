"""Cards that the ledger keeps, released by the HSM in batches.

A card comes without its CVC and lives until its message is encoded. Whatever goes wrong is said per
card, as a value: nothing was sent, so nothing is lost by asking again later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import trio

from chassis.log import get_logger
from chassis.mux import MuxClient, MuxError
from hsm_sim.wire import (
    CardsReleased,
    CardToRelease,
    HSMReply,
    HSMRequest,
    ReleaseCards,
    ReleasedCard,
)
from ledger.deciding.records import SealedCardRow
from switch.core.messages_following import Card
from switch.operations.errands import OperationCounts
from switch.pipeline.anomalies import Anomalies

log = get_logger(__name__)

Purpose = Literal["capture", "refund", "reversal", "inquiry", "retry"]
Unreleased = Literal["unavailable", "card_shredded", "card_undecryptable", "absent"]
Charge = tuple[bytes, bytes]  # intent id, and id of the charge whose card is asked for
SealedCards = Callable[[Sequence[Charge]], Awaitable[dict[bytes, SealedCardRow]]]


class Cards:
    """Looks sealed cards up in the ledger and has the HSM release them.

    Args:
        workers: clients of the HSM.
        sealed_cards: the ledger's look-up.
        batch_max: cards a request.
        deadline_s: how long the HSM may take for one.
        counts: all operations'.
        anomalies: the process's.
    """

    def __init__(
        self,
        *,
        workers: Sequence[MuxClient[HSMRequest, HSMReply]],
        sealed_cards: SealedCards,
        batch_max: int,
        deadline_s: float,
        counts: OperationCounts,
        anomalies: Anomalies,
    ) -> None:
        self._workers = workers
        self._sealed_cards = sealed_cards
        self._batch_max = batch_max
        self._deadline_s = deadline_s
        self._counts = counts
        self._anomalies = anomalies

    async def release(self, charges: Sequence[tuple[Charge, Purpose]]) -> list[Card | Unreleased]:
        """The cards of charges, each for its purpose, in order.

        Raises:
            LedgerError: the ledger could not be asked.
        """
        found = await self._sealed_cards([charge for charge, _ in charges])
        cards: list[Card | Unreleased] = ["absent"] * len(charges)
        by_purpose: dict[Purpose, list[int]] = {}
        for place, ((_, charge_id), purpose) in enumerate(charges):
            if charge_id in found:
                by_purpose.setdefault(purpose, []).append(place)
        for purpose, places in by_purpose.items():
            for start in range(0, len(places), self._batch_max):
                part = places[start : start + self._batch_max]
                sealed = [found[charges[place][0][1]] for place in part]
                for place, card in zip(part, await self._ask(purpose, sealed), strict=True):
                    cards[place] = card
        self._counts.cards_not_released_total += sum(isinstance(card, str) for card in cards)
        return cards

    async def _ask(
        self, purpose: Purpose, sealed: Sequence[SealedCardRow]
    ) -> list[Card | Unreleased]:
        request = ReleaseCards(
            purpose,
            [CardToRelease(row.sealed_card, row.intent_id, row.merchant_id) for row in sealed],
        )
        reply: HSMReply | None = None
        worker = min(
            (each for each in self._workers if each.connected),
            key=lambda each: each.in_flight,
            default=None,
        )
        if worker is not None:
            with trio.move_on_after(self._deadline_s):
                try:
                    reply = await worker.call(request)
                except MuxError:
                    reply = None
        if not isinstance(reply, CardsReleased) or len(reply.cards) != len(sealed):
            self._anomalies.tell(
                log.warning,
                "cards_not_released",
                cards=len(sealed),
                purpose=purpose,
                reply=type(reply).__name__,
            )
            return ["unavailable"] * len(sealed)
        return [
            Card(card.pan, card.expiry) if isinstance(card, ReleasedCard) else card.code
            for card in reply.cards
        ]
