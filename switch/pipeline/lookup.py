"""Known key? One query a batch finds keys already used; another loads acceptor data not yet held.

The look-up comes before the HSM opens a card, so that a replay is answered with the HSM down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from chassis.log import get_logger
from chassis.stage import Inbox
from ledger.errors import LedgerError
from ledger.records import Lost, Replay
from switch.core.messages import Acceptor
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies, state_of_row

log = get_logger(__name__)

FindReplays = Callable[
    [Sequence[tuple[bytes, bytes, bytes]]], Awaitable[list[Replay | Lost | None]]
]
LoadAcceptors = Callable[[Sequence[bytes]], Awaitable[dict[bytes, Acceptor]]]
RETRY_AFTER_S = 1


class Lookup:
    """The stage between intake and the HSM."""

    def __init__(
        self,
        *,
        find_replays: FindReplays,
        load_acceptors: LoadAcceptors,
        opening: Inbox[Payment],
        replies: Replies,
        counts: PipelineCounts,
        anomalies: Anomalies,
    ) -> None:
        self._find_replays = find_replays
        self._load_acceptors = load_acceptors
        self._opening = opening
        self._replies = replies
        self._counts = counts
        self._anomalies = anomalies
        self._acceptors: dict[bytes, Acceptor] = {}

    def forget_acceptors(self) -> None:
        """Load them anew from now on: called on a timer, so that changes take effect."""
        self._acceptors.clear()

    async def handle(self, batch: list[Payment]) -> None:
        """Answer the known, hand on the new."""
        try:
            found = await self._find_replays(
                [(p.charge.merchant_id, p.charge.key_digest, p.charge.request_hash) for p in batch]
            )
            await self._load_missing(batch)
        except LedgerError as error:
            self._anomalies.tell(
                log.warning, "lookup_failed", payments=len(batch), error=type(error).__name__
            )
            for payment in batch:
                self._replies.refuse(payment, "ledger_unavailable", RETRY_AFTER_S)
            return
        fresh: list[Payment] = []
        for payment, known in zip(batch, found, strict=True):
            if known is not None:
                self._answer(payment, known)
                continue
            payment.acceptor = self._acceptors.get(payment.charge.merchant_id)
            if payment.acceptor is None:
                self._replies.refuse(payment, "not_found")
                continue
            fresh.append(payment)
        self._opening.put_many(fresh)

    def _answer(self, payment: Payment, known: Replay | Lost) -> None:
        """Answer a payment whose key the ledger knows."""
        if isinstance(known, Lost):
            self._replies.refuse(payment, known.code)
        else:
            self._counts.replayed_total += 1
            self._replies.done(payment, state_of_row(known.transaction), replayed=True)

    async def _load_missing(self, batch: list[Payment]) -> None:
        missing = {p.charge.merchant_id for p in batch} - self._acceptors.keys()
        if missing:
            self._acceptors.update(await self._load_acceptors(sorted(missing)))
