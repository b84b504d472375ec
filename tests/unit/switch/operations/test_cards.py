"""Cards: asked for by purpose and in batches; whatever goes wrong is said per card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
import trio

from chassis.mux import MuxClosedError
from hsm_sim.wire import CardsReleased, ReleaseCards, ReleasedCard, ReleaseRefused
from ledger.deciding.records import SealedCardRow
from switch.core.messages_following import Card
from switch.operations.cards import Cards
from switch.operations.errands import OperationCounts
from switch.pipeline.anomalies import Anomalies

PAN = "4242424242424242"


@attrs.define
class Worker:
    """An HSM worker."""

    connected: bool = True
    in_flight: int = 0
    asked: list[ReleaseCards] = attrs.field(factory=list)
    reply: Callable[[ReleaseCards], Any] = lambda request: CardsReleased(
        [ReleasedCard(each.sealed.decode(), "3012") for each in request.cards]
    )

    async def call(self, request: ReleaseCards) -> Any:
        """Answer a request."""
        await trio.lowlevel.checkpoint()
        self.asked.append(request)
        reply = self.reply(request)
        if reply is None:
            await trio.sleep_forever()
        return reply


async def sealed_cards(
    charges: Sequence[tuple[bytes, bytes]],
) -> dict[bytes, SealedCardRow]:
    """Every card but that of the charge `?`; the seal says whose it is."""
    await trio.lowlevel.checkpoint()
    return {
        charge_id: SealedCardRow(charge_id, intent_id, b"m" * 16, charge_id)
        for intent_id, charge_id in charges
        if charge_id != b"?"
    }


@pytest.fixture
def worker() -> Worker:
    """Connected."""
    return Worker()


def make(*workers: Worker, counts: OperationCounts | None = None) -> Cards:
    """Two cards a request."""
    return Cards(
        workers=workers,  # type: ignore[arg-type]
        sealed_cards=sealed_cards,
        batch_max=2,
        deadline_s=1.0,
        counts=counts or OperationCounts(),
        anomalies=Anomalies(),
    )


async def test_cards_come_back_in_order_by_purpose_and_in_batches(worker: Worker) -> None:
    """The HSM is told what each is for, and whose it is."""
    released = await make(worker).release(
        [
            ((b"i1", b"1"), "refund"),
            ((b"i2", b"2"), "capture"),
            ((b"i3", b"3"), "refund"),
            ((b"i4", b"4"), "refund"),
        ]
    )
    assert released == [Card(number, "3012") for number in "1234"]
    asked = [(each.purpose, [card.intent_id for card in each.cards]) for each in worker.asked]
    assert asked == [("refund", [b"i1", b"i3"]), ("refund", [b"i4"]), ("capture", [b"i2"])]
    assert {card.merchant_id for each in worker.asked for card in each.cards} == {b"m" * 16}


async def test_refusals_and_absences_are_said_per_card(worker: Worker) -> None:
    """The others come back."""
    counts = OperationCounts()
    worker.reply = lambda _: CardsReleased(
        [ReleasedCard(PAN, "3012"), ReleaseRefused("card_shredded")]
    )
    released = await make(worker, counts=counts).release(
        [((b"i", b"1"), "refund"), ((b"i", b"?"), "refund"), ((b"i", b"2"), "refund")]
    )
    assert released == [Card(PAN, "3012"), "absent", "card_shredded"]
    assert counts.cards_not_released_total == 2


def closed(_request: ReleaseCards) -> Any:
    """Lose the connection."""
    raise MuxClosedError("gone")


@pytest.mark.parametrize(
    "reply",
    [lambda _: None, closed, lambda _: CardsReleased([]), lambda _: "nonsense"],
    ids=["silent", "closed", "too_few", "nonsense"],
)
async def test_an_hsm_that_does_not_answer_is_unavailable(
    reply: Callable[[ReleaseCards], Any], worker: Worker
) -> None:
    """Nothing was sent, so nothing is lost."""
    worker.reply = reply
    assert await make(worker).release([((b"i", b"1"), "refund")]) == ["unavailable"]


async def test_the_least_busy_worker_is_asked(worker: Worker) -> None:
    """Of those that are connected."""
    busy, away = Worker(in_flight=3), Worker(connected=False)
    worker.in_flight = 1
    await make(busy, away, worker).release([((b"i", b"1"), "refund")])
    assert (len(worker.asked), busy.asked, away.asked) == (1, [], [])
    assert await make(away).release([((b"i", b"1"), "refund")]) == ["unavailable"]


async def test_nothing_is_asked_for_nothing(worker: Worker) -> None:
    """Neither the ledger's answer nor a card."""
    assert await make(worker).release([]) == []
    assert worker.asked == []
