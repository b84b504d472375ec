"""Doubts of one switch: asked about while their windows are open, reversed when they close.

Rows come due by the clock. One whose network takes nothing now is looked at again at the next
round; its window closes all the same, and the reversal waits in store-and-forward for a link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import trio

from chassis.log import get_logger
from ledger.deciding.records import VerificationRow
from switch.core.numbers import NumbersExhaustedError
from switch.core.operations.records import Conclusion, Context, Letter, NetworkRules
from switch.core.operations.steps import CloseWindow, Inquire
from switch.operations.desk import Desk
from switch.operations.drawing import Drawing
from switch.operations.equipping import Equipment, Equipping, Want
from switch.operations.errands import OperationCounts
from switch.operations.exchanges import Exchange, Exchanges
from switch.pipeline.anomalies import Anomalies

log = get_logger(__name__)


class DueDoubts(Protocol):
    """The ledger's look at the queue of one switch."""

    def __call__(
        self, *, now_us: int, limit: int, networks: Sequence[str]
    ) -> Awaitable[list[VerificationRow]]:
        """What is due."""


class Doubts:
    """The doubts of one responsibility.

    Args:
        desk: of the responsibility.
        due: the ledger's look at its queue.
        equipping: for inquiries.
        exchanges: sends them.
        rules: for deciders, by network name.
        drawing: numbers of messages.
        batch_max: rows a round.
        queued: called when a reversal has been put into store-and-forward.
        counts: all operations'.
        anomalies: the process's.
        now_us: the time of day, microseconds since 1970.
        steady_us: the clock by which doubts come due, likewise.
    """

    def __init__(
        self,
        *,
        desk: Desk,
        due: DueDoubts,
        equipping: Equipping,
        exchanges: Exchanges,
        rules: Mapping[str, NetworkRules],
        drawing: Drawing,
        batch_max: int,
        queued: Callable[[], None],
        counts: OperationCounts,
        anomalies: Anomalies,
        now_us: Callable[[], int],
        steady_us: Callable[[], int],
    ) -> None:
        self._desk = desk
        self._due = due
        self._equipping = equipping
        self._exchanges = exchanges
        self._rules = rules
        self._drawing = drawing
        self._batch_max = batch_max
        self._queued = queued
        self._counts = counts
        self._anomalies = anomalies
        self._now_us = now_us
        self._steady_us = steady_us
        self._busy: set[bytes] = set()  # being decided: still due, as the ledger has them

    async def round(self) -> None:
        """Look at what is due, once.

        Raises:
            LedgerError: the ledger could not be asked.
        """
        room = {network: self._equipping.room(network) for network in self._rules}
        open_ = [network for network, count in room.items() if count]
        now_us = self._steady_us()
        busy = set(self._busy)  # what is decided during the look may be seen as it was before
        rows = await self._due(now_us=now_us, limit=self._batch_max, networks=open_)
        asking: list[VerificationRow] = []
        for row in rows:
            if row.attempt_id in busy:
                continue
            if row.network not in self._rules:
                self._tell_unknown(row)
                continue
            doubt = self._rules[row.network].doubt
            if doubt.must_reverse(row.window_ends_at_us, now_us):
                self._reverse(row)
            elif doubt.may_inquire(row.inquiries) and room[row.network]:
                room[row.network] -= 1
                asking.append(row)
        if asking:
            await self._inquire(asking)

    def _tell_unknown(self, row: VerificationRow) -> None:
        self._anomalies.tell(
            log.error,
            "doubt_of_unknown_network",
            network=row.network,
            attempt=row.attempt_id.hex(),
        )

    def _context(self, network: str) -> Context:
        spare = self._drawing.spare(network, self._desk.take_ids(1)[0])
        rules = self._rules[network]
        return Context(self._now_us(), self._steady_us(), "switch", rules, spare)

    # ----------------------------------------------------------------------------------- reverse

    def _reverse(self, row: VerificationRow) -> None:
        try:
            context = self._context(row.network)
        except NumbersExhaustedError:
            return  # due still
        step = CloseWindow(row.intent_id, row.attempt_id, context)
        self._submit(row, step, lambda answer: self._reversed(row, answer))

    def _reversed(self, row: VerificationRow, answer: Any) -> None:
        self._busy.discard(row.attempt_id)
        if isinstance(answer, Conclusion) and answer.queued:
            self._counts.reversals_begun_total += 1
            self._queued()

    # ----------------------------------------------------------------------------------- inquire

    async def _inquire(self, rows: Sequence[VerificationRow]) -> None:
        wants = [Want(row.intent_id, row.attempt_id, row.network, inquiry=True) for row in rows]
        equipped = await self._equipping.equip(wants)
        for row, equipment in zip(rows, equipped, strict=True):
            if not isinstance(equipment, Equipment):
                continue  # the window closes all the same
            try:
                context = self._context(row.network)
            except NumbersExhaustedError:
                self._equipping.release(equipment)
                continue
            self._ask(row, equipment, context)

    def _ask(self, row: VerificationRow, equipment: Equipment, context: Context) -> None:
        step = Inquire(row.intent_id, row.attempt_id, context)
        self._submit(row, step, lambda answer: self._recorded(row, equipment, answer))

    def _recorded(self, row: VerificationRow, equipment: Equipment, answer: Any) -> None:
        """Send an inquiry that stands in the ledger; there is none where the doubt has ended."""
        self._busy.discard(row.attempt_id)
        if not isinstance(answer, Letter):
            self._equipping.release(equipment)
            return
        self._counts.inquiries_total += 1
        exchange = Exchange(letter=answer, intent_id=row.intent_id, desk=self._desk)
        self._exchanges.send(
            exchange,
            equipment.slot,
            card=equipment.card,
            acceptor=equipment.acceptor,
            accepted_at=trio.current_time(),
        )

    def _submit(
        self, row: VerificationRow, step: CloseWindow | Inquire, deliver: Callable[[Any], None]
    ) -> None:
        self._busy.add(row.attempt_id)
        self._desk.submit(step, deliver)
