"""Answers to the api: one place where a payment's credit is given back."""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import astuple

from chassis.settings import Switch
from ledger.records import TransactionRow
from switch.core.admission import Admission
from switch.pipeline.payment import Payment, PipelineCounts
from switch.wire import Done, Refused, SwitchReply, TransactionState

TERMINAL = frozenset({"succeeded", "failed", "reversed"})
_STATE_FIELDS = len(TransactionState.__struct_fields__)


class Replies:
    """Answers payments and remembers terminal ones, so that a repeat needs no look-up.

    `in_flight` maps the key digest of every payment inside to that payment; it is how a duplicate
    finds the first one to join.
    """

    __slots__ = ("_admission", "_counts", "_recent", "_recent_max", "in_flight")

    def __init__(self, admission: Admission, counts: PipelineCounts, settings: Switch) -> None:
        self._admission = admission
        self._counts = counts
        self._recent: OrderedDict[bytes, tuple[bytes, TransactionState]] = OrderedDict()
        self._recent_max = settings.recent_keys_max
        self.in_flight: dict[bytes, Payment] = {}

    def recall(self, key_digest: bytes, request_hash: bytes) -> SwitchReply | None:
        """The answer to a key whose transaction is terminal and recent, or None."""
        known = self._recent.get(key_digest)
        if known is None:
            return None
        if known[0] != request_hash:
            return Refused("idempotency_key_reused")
        return Done(known[1], replayed=True)

    def done(self, payment: Payment, state: TransactionState, *, replayed: bool = False) -> None:
        """Answer with a transaction."""
        if state.status in TERMINAL:
            recent = self._recent
            recent[payment.charge.key_digest] = (payment.charge.request_hash, state)
            if len(recent) > self._recent_max:
                recent.popitem(last=False)
        self._answer(payment, Done(state, replayed))

    def refuse(self, payment: Payment, code: str, retry_after_s: int = 0) -> None:
        """Answer that nothing was recorded for this payment."""
        if self._answer(payment, Refused(code, retry_after_s)):
            self._counts.refused_total += 1

    def forget_cards(self, *, accepted_before: float) -> None:
        """Drop the cards of payments that came in before; their messages can no longer be sent.

        Called on a timer: a payment that waits for a database that does not answer must not keep
        its CVC for as long.
        """
        for payment in self.in_flight.values():
            if payment.accepted_at >= accepted_before:
                break  # in order of intake
            payment.card = None

    def lowest_attempt(self) -> bytes | None:
        """The lowest attempt id of the payments inside; the ledger may not know of it yet."""
        return min(
            (
                payment.record.attempt_id
                for payment in self.in_flight.values()
                if payment.record is not None
            ),
            default=None,
        )

    def _answer(self, payment: Payment, reply: SwitchReply) -> bool:
        """Answer once: whether this was the time."""
        charge = payment.charge
        if self.in_flight.get(charge.key_digest) is not payment:
            return False
        del self.in_flight[charge.key_digest]
        payment.card = None
        self._admission.leave(charge.merchant_id, payment.network)
        peer, request_id = payment.waiter
        peer.reply(request_id, reply)
        joined, payment.joined = payment.joined, None
        if joined is not None:
            if isinstance(reply, Done):
                reply = Done(reply.transaction, replayed=True)
            for peer, request_id in joined:
                peer.reply(request_id, reply)
        return True


def state_of_row(row: TransactionRow) -> TransactionState:
    """A ledger row as the api hears of it: its first fields are those of the state, in order."""
    return TransactionState(*astuple(row)[:_STATE_FIELDS])


def state_of_payment(payment: Payment, status: str, at_us: int) -> TransactionState:
    """A payment whose outcome has just become durable, as the api hears of it."""
    record = payment.record
    finding = payment.finding
    if record is None or finding is None:
        raise RuntimeError("a payment is answered from its own memory only after both commits")
    return TransactionState(  # in the order of its fields: by name it takes 0.4 µs more
        record.transaction_id,
        record.intent_id,
        record.type,
        status,
        finding.approved_minor or payment.amount_minor,
        payment.currency,
        finding.response_code,
        finding.approval_code,
        finding.decline_code,
        finding.advice,
        record.card_brand,
        record.card_last4,
        record.card_exp_month,
        record.card_exp_year,
        payment.created_at_us,
        at_us,
    )
