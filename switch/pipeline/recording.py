"""Route, reserve, number, commit 1, encode, send.

No byte of a financial message leaves before its attempt is committed (money.md I1), so this stage
sends only what the ledger answers `Won` for. Route and window slot come *before* the commit: a
payment that no network can take now, or that has become too old to be sent, is refused with nothing
recorded.

The slow lane is this same stage over another inbox: it differs in the lane it asks the committer
for, and in batch size. Rows keep the ids they were given first, which is what makes repeating a
commit of unknown fate safe.

Whatever goes wrong with one payment is that payment's outcome: before the commit it is refused,
after it and before the links have the message it is `not_sent`, later it is `unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from operator import attrgetter

import trio

from chassis.crash_points import AFTER_COMMIT_1, BEFORE_COMMIT_1, reach
from chassis.log import get_logger
from chassis.stage import Inbox
from ledger.charges import ChargeCommitter, Lane
from ledger.records import ChargeToRecord, Lost, Replay, Won
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.batching import split_distinct
from switch.core.brands import card_brand
from switch.core.decline_memory import DeclineMemory
from switch.core.findings import Finding, not_sent, unknown
from switch.core.messages import card_request, drop_card
from switch.core.numbers import NumbersExhaustedError, RRNSource
from switch.core.routing import RoutingTable
from switch.core.settlements import HELD, VERIFIED
from switch.iso8583.errors import CodecError
from switch.link.correlation import correlation_key
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies, state_of_row

log = get_logger(__name__)
RETRY_AFTER_S = 1
PASSING = frozenset({"overloaded", "network_unavailable"})  # refusals that a later try may not meet
VERIFICATION = "verification"


class Recording:
    """Both lanes of commit 1 and what follows it."""

    def __init__(
        self,
        *,
        carriers: Mapping[str, Carrier],
        routing: RoutingTable,
        admission: Admission,
        committer: ChargeCommitter,
        replies: Replies,
        counts: PipelineCounts,
        rrns: RRNSource,
        take_ids: Callable[[int], list[bytes]],
        now_us: Callable[[], int],
        anomalies: Anomalies,
        declines: DeclineMemory,
        slow: Inbox[Payment],
        settle: Callable[[Payment, Finding], None],
    ) -> None:
        self._carriers = carriers
        self._routing = routing
        self._admission = admission
        self._committer = committer
        self._replies = replies
        self._counts = counts
        self._rrns = rrns
        self._take_ids = take_ids
        self._now_us = now_us
        self._anomalies = anomalies
        self._declines = declines
        self._slow = slow
        self._settle = settle

    async def handle(self, batch: list[Payment]) -> None:
        """The fast lane: prepare, commit what is not locked, send what was won."""
        rest = self._prepare(batch)
        while rest:
            ready, rest = split_distinct(rest, _intent)
            await self._commit(ready, "fast")

    async def handle_slow(self, batch: list[Payment]) -> None:
        """The slow lane: wait for the locks that the fast lane skipped."""
        rest = batch
        while rest:
            ready, rest = split_distinct(rest, _intent)
            await self._commit(ready, "slow")

    def _prepare(self, batch: list[Payment]) -> list[Payment]:
        """Route, reserve slots, draw numbers; those that are not refused have their record."""
        now, now_us = trio.current_time(), self._now_us()
        ids = self._take_ids(2 * len(batch))
        ready: list[Payment] = []
        for payment, transaction_id, attempt_id in zip(batch, ids[0::2], ids[1::2], strict=True):
            try:
                refusal = self._reserve(payment, now, now_us)
                if not refusal:
                    payment.record = self._row(payment, transaction_id, attempt_id, now_us)
                    ready.append(payment)
                    continue
            except NumbersExhaustedError:
                refusal = "overloaded"
            except Exception as error:  # noqa: BLE001  one payment's fault is its own (design 3)
                refusal = "internal_error"
                self._count_fault("charge_not_prepared", payment, error)
            if payment.slot is not None:
                self._release(payment)
            retry_after_s = RETRY_AFTER_S if refusal in PASSING else 0
            self._replies.refuse(payment, refusal, retry_after_s)
        return ready

    def _reserve(self, payment: Payment, now: float, now_us: int) -> str:
        """Take a window slot on the best network that has one: "" or the error code."""
        card = payment.card
        if card is None:
            return "overloaded"  # it has waited for so long that its card was dropped
        if card.fingerprint in self._declines:
            declined = self._declines.refusal(
                payment.charge.merchant_id, card.fingerprint, card_brand(card.pan), card.pan, now_us
            )
            if declined:
                return declined
        refusal = "network_unavailable"
        for name in self._routing.candidates(card.pan):
            carrier = self._carriers[name]
            if now - payment.accepted_at > carrier.settings.max_send_age_s:
                refusal = "overloaded"  # its message would not be sent any more
                continue
            if not self._admission.enter_network(name):
                refusal = "overloaded"
                continue
            slot = carrier.group.reserve()
            if slot is not None:
                payment.network = name
                payment.slot = slot
                return ""
            self._admission.leave_network(name)
        return refusal

    def _row(
        self, payment: Payment, transaction_id: bytes, attempt_id: bytes, now_us: int
    ) -> ChargeToRecord:
        card = payment.card
        if card is None:
            raise RuntimeError("a payment reaches this stage with its card open")
        charge = payment.charge
        carrier = self._carriers[payment.network]
        shape = carrier.charging if charge.operation == "charge" else carrier.verifying
        stan, de7 = carrier.stans.next(now_us // 1_000_000)
        return ChargeToRecord(  # in the order of its fields: by name it takes 0.6 µs more
            charge.intent_id,
            charge.merchant_id,
            transaction_id,
            attempt_id,
            charge.key_digest,
            charge.request_hash,
            charge.request_id,
            blake2b(charge.ciphertext.encode(), digest_size=16).digest(),  # card_digest
            card.sealed,
            card.fingerprint,
            card_brand(card.pan),
            card.pan[-4:],  # card_last4
            int(card.expiry[2:]),  # card_exp_month
            2000 + int(card.expiry[:2]),  # card_exp_year
            payment.network,
            carrier.settings.acquirer_id,
            shape.mti,
            stan,
            self._rrns.next(),
            de7,
            now_us + carrier.answered_within_us,  # deadline_at_us
            charge.live,
            charge.operation,  # type
        )

    async def _commit(self, ready: list[Payment], lane: Lane) -> None:
        rows = [payment.record for payment in ready if payment.record is not None]
        reach(BEFORE_COMMIT_1)
        verdicts = await self._committer.record(rows, lane=lane)
        reach(AFTER_COMMIT_1)
        self._counts.commit1_batches_total += 1
        self._counts.commit1_rows_total += len(rows)
        for payment, verdict in zip(ready, verdicts, strict=True):
            if isinstance(verdict, Won):
                self._won(payment, verdict)
            elif verdict is None:
                self._counts.slow_lane_total += 1
                self._slow.put(payment)
            else:
                self._answer(payment, verdict)

    def _answer(self, payment: Payment, verdict: Replay | Lost) -> None:
        self._release(payment)
        if isinstance(verdict, Lost):
            self._replies.refuse(payment, verdict.code)
        else:
            self._counts.replayed_total += 1
            row = verdict.transaction
            self._replies.done(payment, state_of_row(row), replayed=True)

    def _won(self, payment: Payment, won: Won) -> None:
        payment.amount_minor = won.amount_minor
        payment.currency = won.currency
        payment.created_at_us = won.created_at_us
        if payment.charge.operation == VERIFICATION:
            payment.settlements = VERIFIED
        elif won.manual:
            payment.settlements = HELD
        else:
            payment.completed = self._carriers[payment.network].dual
        payment.allow_partial = won.allow_partial
        self.send(payment)

    def send(self, payment: Payment) -> None:
        """Hand a recorded payment to its network's links; its outcome comes as an event."""
        carrier = self._carriers[payment.network]
        if payment.card is None:  # it has waited for so long that its card was dropped
            self._release(payment)
            self._settle(payment, not_sent("too_old"))
            return
        try:
            request = self._message(payment)
            frame = carrier.encode(request)
            key = correlation_key(request)
        except Exception as error:  # noqa: BLE001  one payment's fault is its own (design 3)
            # The attempt is recorded and no byte has left: that is a known outcome.
            self._count_fault("message_not_encodable", payment, error)
            self._release(payment)
            self._settle(payment, not_sent("encode_failed"))
            return
        drop_card(request)
        payment.request = request
        try:
            carrier.group.send(payment.slot, key, frame, payment, payment.accepted_at)
        except Exception as error:  # noqa: BLE001  as above, and nobody knows how far it came
            self._count_fault("message_not_handed_over", payment, error)
            self._settle(payment, unknown("internal_error"))

    def resend(self, payment: Payment) -> bool:
        """Put a message of which no byte left on another link of the same network, once.

        The attempt, its STAN and its RRN stay the same (money.md 5). False when no link takes it;
        the link refuses by itself what has become too old.
        """
        if payment.resent or payment.card is None:
            return False
        slot = self._carriers[payment.network].group.reserve()
        if slot is None:
            return False
        payment.slot = slot
        payment.resent = True
        self._counts.resent_total += 1
        self.send(payment)
        return True

    def _message(self, payment: Payment) -> dict[int, str]:
        card, record, acceptor = payment.card, payment.record, payment.acceptor
        if card is None or record is None or acceptor is None:
            raise ValueError("a payment is sent with its card, its record and its acceptor")
        carrier = self._carriers[payment.network]
        return card_request(
            shape=carrier.verifying if record.type == VERIFICATION else carrier.charging,
            pan=card.pan,
            expiry=card.expiry,
            cvc=card.cvc,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            stan=record.stan,
            de7=record.de7,
            rrn=record.rrn,
            acquirer_id=record.acquirer_id,
            acceptor=acceptor,
        )

    def _count_fault(self, event: str, payment: Payment, error: Exception) -> None:
        self._counts.errors_total += 1
        self._anomalies.tell(
            log.error,
            event,
            network=payment.network,
            transaction=payment.transaction_hex,
            error=type(error).__name__,
            # An encoder's text names element and reason; any other might quote the card.
            detail=str(error) if isinstance(error, CodecError) else "",
        )

    def _release(self, payment: Payment) -> None:
        self._carriers[payment.network].group.release(payment.slot)
        payment.slot = None


_intent: Callable[[Payment], bytes] = attrgetter("charge.intent_id")
