"""Store-and-forward of one switch: advices are sent until they are acknowledged.

Each round takes what is due and can be sent: as many as the network's drain rate and its share of
the window let through, different payments side by side, those of one payment one after the other.
A sending is counted, durably, before it leaves; so a silent network, or one that crashes, gets the
repeat's MTI, and no count is lost with this process. When it is due again was decided by the same
commit: an answer that ends the matter deletes the row, everything else just leaves it there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import attrs
import trio

from chassis.log import get_logger
from ledger.deciding.records import SafRow
from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.forwarding import SAVED_S, DrainRate, RepeatSchedule
from switch.core.operations.records import Conclusion
from switch.operations.desk import Desk
from switch.operations.equipping import Equipment, Equipping, Unequipped, Want
from switch.operations.errands import OperationCounts
from switch.operations.exchanges import Exchange, Exchanges
from switch.operations.telling import About, Telling
from switch.pipeline.anomalies import Anomalies

log = get_logger(__name__)

AGAIN_S: Final = 0.02  # between rounds while more is due than one takes: live traffic goes first

# What an operator found out, as a network would have said it.
WORDS: Final = {
    "acknowledged": Finding("approved", "resolved"),
    "refused": Finding("declined", "resolved"),
}


class DueAdvices(Protocol):
    """The ledger's look at the queue of one switch."""

    def __call__(
        self, *, now_us: int, limit: int, networks: Sequence[str]
    ) -> Awaitable[list[SafRow]]:
        """What is due."""


CountSends = Callable[[Sequence[tuple[bytes, int]]], Awaitable[dict[bytes, int]]]


@attrs.frozen(kw_only=True)
class ForwardingTerms:
    """The waits and the rate of one network."""

    schedule: RepeatSchedule
    drain_per_s: float


class Forwarder:
    """The advices of one responsibility.

    Args:
        desk: of the responsibility.
        due: the ledger's look at its queue.
        count_sends: counts sendings in the ledger before they leave.
        equipping: for advices.
        exchanges: sends them.
        telling: has operators' words decided on.
        terms: by network name.
        batch_max: rows a round.
        counts: all operations'.
        anomalies: the process's.
        steady_us: the clock by which advices come due, microseconds since 1970.
        uniform: draws between two bounds.
    """

    def __init__(
        self,
        *,
        desk: Desk,
        due: DueAdvices,
        count_sends: CountSends,
        equipping: Equipping,
        exchanges: Exchanges,
        telling: Telling,
        terms: Mapping[str, ForwardingTerms],
        batch_max: int,
        counts: OperationCounts,
        anomalies: Anomalies,
        steady_us: Callable[[], int],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._desk = desk
        self._due = due
        self._count_sends = count_sends
        self._equipping = equipping
        self._exchanges = exchanges
        self._telling = telling
        self._terms = terms
        self._batch_max = batch_max
        self._counts = counts
        self._anomalies = anomalies
        self._steady_us = steady_us
        self._uniform = uniform
        now = trio.current_time()
        self._rates = {name: DrainRate(each.drain_per_s, now) for name, each in terms.items()}
        self._resolving: set[bytes] = set()  # an operator's word that is being decided on

    async def round(self) -> float | None:
        """Send what is due, once.

        Returns: after how many seconds more can be sent of what may be due already; None when a
        round has taken it all.

        Raises:
            LedgerError: the ledger could not be asked. What was counted and not sent is due again
                in its time.
            LeaseLostError: another process has taken the switch over.
        """
        now = trio.current_time()
        room = {
            network: min(self._equipping.room(network), self._rates[network].allowed(now))
            for network in self._terms
        }
        open_ = [network for network, count in room.items() if count]
        resolving = set(self._resolving)  # what is decided during the look may be seen undecided
        rows = await self._due(now_us=self._steady_us(), limit=self._batch_max, networks=open_)
        sending: list[SafRow] = []
        for row in rows:
            if row.attempt_id in resolving:
                continue
            if row.network not in self._terms:
                self._tell_unknown(row)
            elif row.resolution:
                self._resolve(row)
            elif room[row.network]:
                room[row.network] -= 1
                sending.append(row)
        if sending:
            await self._send(sending)
        if len(rows) == self._batch_max:
            return AGAIN_S
        if any(rate.spent for rate in self._rates.values()):
            return SAVED_S / 2  # before the rate has saved up all that it may
        return None

    def _tell_unknown(self, row: SafRow) -> None:
        self._anomalies.tell(
            log.error,
            "advice_of_unknown_network",
            network=row.network,
            attempt=row.attempt_id.hex(),
        )

    def _resolve(self, row: SafRow) -> None:
        """Have decided what an operator found out, as if the network had said it."""
        self._resolving.add(row.attempt_id)
        self._telling.tell(
            About(row.intent_id, row.attempt_id, row.network, self._desk),
            WORDS[row.resolution],
            f"operator:{row.resolved_by}",
            lambda answer: self._resolved(row, answer),
        )

    def _resolved(self, row: SafRow, answer: Conclusion | Lost) -> None:
        self._resolving.discard(row.attempt_id)
        self._counts.advices_ended_total += isinstance(answer, Conclusion)

    async def _send(self, rows: Sequence[SafRow]) -> None:
        """Count and send what can be sent; what is at fault is counted only, and so gets rarer."""
        wants = [Want(row.intent_id, row.attempt_id, row.network) for row in rows]
        equipped = await self._equipping.equip(wants)
        tried = [(row, each) for row, each in zip(rows, equipped, strict=True) if each != "later"]
        if not tried:
            return
        try:
            counted = await self._count_sends(
                [(row.attempt_id, self._due_again(row)) for row, _ in tried]
            )
        except BaseException:
            for _, equipment in tried:
                self._release(equipment)
            raise
        for row, equipment in tried:
            sends = counted.get(row.attempt_id)
            if sends is None:  # acknowledged, or put aside, since it was found due
                self._release(equipment)
                continue
            self._alarm(row, sends)
            if isinstance(equipment, Equipment):
                self._forward(row, equipment, sends)

    def _release(self, equipment: Equipment | Unequipped) -> None:
        if isinstance(equipment, Equipment):
            self._equipping.release(equipment)

    def _due_again(self, row: SafRow) -> int:
        schedule = self._terms[row.network].schedule
        return schedule.due_again_us(row.repeats + 1, self._steady_us(), self._uniform)

    def _alarm(self, row: SafRow, sends: int) -> None:
        if self._terms[row.network].schedule.alarms(sends):
            self._counts.advices_alarming_total += 1
            self._anomalies.tell(
                log.error,
                "advice_not_acknowledged",
                network=row.network,
                kind=row.kind,
                attempt=row.attempt_id.hex(),
                sends=sends,
            )

    def _forward(self, row: SafRow, equipment: Equipment, sends: int) -> None:
        self._rates[row.network].left(1)
        self._counts.advices_sent_total += 1
        self._counts.advices_repeated_total += sends > 1
        letter = equipment.letter
        if letter is None:
            raise RuntimeError("an advice has a message of its own")
        exchange = Exchange(
            letter=letter,
            intent_id=row.intent_id,
            desk=self._desk,
            forwarded=True,
        )
        self._exchanges.send(
            exchange,
            equipment.slot,
            card=equipment.card,
            acceptor=equipment.acceptor,
            accepted_at=trio.current_time(),
            sent_before=sends > 1,
        )
