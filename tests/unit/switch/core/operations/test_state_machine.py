"""What holds for every order in which a payment is charged, asked about, answered and resolved.

The network here may say anything about any attempt at any time, twice, late, and against itself.
Whatever it says: one operation at a time (I3), nothing that succeeded is reversed (I4), a reversal
stays in its queue until it is acknowledged (I5), every attempt ends or stands in a queue (I2), and
once the network has said a last word about everything the payment is at rest.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from ledger.deciding.records import AttemptView
from ledger.lifecycle import ADMITS, TRANSACTION_TERMINAL
from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.operations.reading import APPROVED as APPROVED_RESULTS
from switch.core.operations.reading import final_result, requests_of
from switch.core.operations.steps import TryAgain
from tests.support.operations import (
    AMOUNT,
    APPROVED,
    DECLINED,
    INTENT,
    NOT_NOW,
    NOT_SENT,
    NOTHING_FOUND,
    POISON,
    SECOND_US,
    SILENCE,
    Book,
    partial,
)

AWAY = replace(DECLINED, response_code="91")
TO_REQUESTS = (APPROVED, partial(600), DECLINED, AWAY, SILENCE, NOT_SENT)
TO_ADVICES = (APPROVED, NOTHING_FOUND, NOT_NOW, POISON, SILENCE, NOT_SENT)
AMOUNTS = st.sampled_from([0, 1, 300, 600, AMOUNT, AMOUNT + 1])
LIVE_TYPES = ("charge", "verification", "capture", "cancel")


def is_advice(attempt: AttemptView) -> bool:
    """Whether a message tells of a fact, by its MTI: 0220, 0400, 0420."""
    return attempt.mti[1:3] in ("22", "40", "42")


class Payment(RuleBasedStateMachine):
    """One intent, and what was ever seen of it."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.over: dict[bytes, str] = {}  # transactions that were terminal, and how
        self.reversals: set[bytes] = set()

    @initialize(manual=st.booleans(), partial_=st.booleans(), dual=st.booleans())
    def begin(self, *, manual: bool, partial_: bool, dual: bool) -> None:
        """An intent of some merchant's, on some network."""
        self.mti = "0100" if dual or manual else "0200"
        self.book = Book(capture_method="manual" if manual else "automatic", allow_partial=partial_)

    @property
    def free(self) -> bool:
        """Whether a charge may begin."""
        view = self.book.view
        return view.status in ADMITS["charge"] and view.live_transaction_id is None

    @precondition(lambda self: self.free and self.book.view.charge_count < 4)
    @rule()
    def charge(self) -> None:
        """Commit 1."""
        self.book.charge(mti=self.mti)

    @precondition(lambda self: self.free and self.book.view.status == "created")
    @rule()
    def verify(self) -> None:
        """Commit 1 of an account verification."""
        self.book.charge(type_="verification")

    @rule(
        type_=st.sampled_from(["capture", "cancel", "refund"]), minor=AMOUNTS, final=st.booleans()
    )
    def order(self, *, type_: str, minor: int, final: bool) -> None:
        """A merchant asks for something."""
        self.book.admit(type_, minor, final_capture=final)

    @precondition(lambda self: self.book.view.attempts)
    @rule(data=st.data())
    def find_out(self, data: st.DataObject) -> None:
        """Something is found out about any attempt: in time, late, again, against itself."""
        attempt = data.draw(st.sampled_from(self.book.view.attempts))
        findings = TO_ADVICES if is_advice(attempt) else TO_REQUESTS
        self.book.settle(attempt.attempt_id, data.draw(st.sampled_from(findings)))

    @precondition(lambda self: self.book.view.verification)
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        """A doubt is due."""
        row = data.draw(st.sampled_from(self.book.view.verification))
        self.book.inquire(row.attempt_id)

    @precondition(lambda self: self.book.view.attempts)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        """A window is over; it may have been closed otherwise since it was found so."""
        attempt = data.draw(st.sampled_from(self.book.view.attempts))
        if attempt.kind == "request" and self.book_type(attempt) in ("charge", "refund"):
            self.book.close_window(attempt.attempt_id)

    @precondition(lambda self: self.book.view.attempts)
    @rule(data=st.data(), finding=st.sampled_from([AWAY, NOT_SENT]))
    def try_again(self, data: st.DataObject, finding: Finding) -> None:
        """The pipeline would like a second attempt of a charge."""
        attempt = data.draw(st.sampled_from(self.book.view.attempts))
        if attempt.kind == "request" and self.book_type(attempt) == "charge":
            step = TryAgain(
                INTENT, attempt.attempt_id, self.book.context(), mti=self.mti, finding=finding
            )
            self.book.decide(step)

    @precondition(lambda self: any(row.manual for row in self.book.view.saf))
    @rule(data=st.data(), refuse=st.booleans())
    def resolve(self, data: st.DataObject, *, refuse: bool) -> None:
        """An operator says what became of an advice that was put aside."""
        row = data.draw(st.sampled_from([r for r in self.book.view.saf if r.manual]))
        word = DECLINED if refuse and row.kind != "reversal" else APPROVED
        self.book.settle(row.attempt_id, word, actor="operator:ada")

    @rule(seconds=st.sampled_from([1, 30, 8 * 86_400]))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.book.now_us += seconds * SECOND_US

    def book_type(self, attempt: AttemptView) -> str:
        """The type of an attempt's transaction."""
        [type_] = {
            t.type
            for t in self.book.view.transactions
            if t.transaction_id == attempt.transaction_id
        }
        return type_

    # ---------------------------------------------------------------------------- what must hold

    @invariant()
    def one_operation_at_a_time(self) -> None:
        """I3: and the mutex names it. A cancel that waits for a doubt has no message."""
        view = self.book.view
        live = [
            t.transaction_id
            for t in view.transactions
            if t.type in LIVE_TYPES
            and t.status not in TRANSACTION_TERMINAL
            and requests_of(view, t.transaction_id)
        ]
        assert live == ([view.live_transaction_id] if view.live_transaction_id else [])

    @invariant()
    def what_is_over_stays_over(self) -> None:
        """Terminal outcomes are never rewritten."""
        for transaction in self.book.view.transactions:
            if transaction.status in TRANSACTION_TERMINAL:
                known = self.over.setdefault(transaction.transaction_id, transaction.status)
                assert known == transaction.status

    @invariant()
    def nothing_that_succeeded_is_reversed(self) -> None:
        """I4: neither now nor later; what was not approved of it may be."""
        view = self.book.view
        undone = {a.rrn for a in view.attempts if a.kind == "reversal"}
        for transaction in view.transactions:
            if transaction.status == "succeeded" and transaction.type in ("charge", "refund"):
                for attempt in requests_of(view, transaction.transaction_id):
                    if final_result(attempt) in APPROVED_RESULTS:
                        assert attempt.rrn not in undone

    @invariant()
    def reversals_stay_until_they_are_acknowledged(self) -> None:
        """I5: in their queue, or acknowledged; none ever disappears."""
        view = self.book.view
        queued = {row.attempt_id for row in view.saf}
        now = {a.attempt_id: a for a in view.attempts if a.kind == "reversal"}
        assert self.reversals <= now.keys()
        self.reversals = set(now)
        for attempt_id, attempt in now.items():
            assert (attempt_id in queued) != (attempt.result == "approved")

    @invariant()
    def every_attempt_is_looked_after(self) -> None:
        """I2: it has a terminal result, or waits for one: by a timer, queued, or to be reversed."""
        view = self.book.view
        queued = {row.attempt_id for row in view.saf}
        doubted = {row.attempt_id for row in view.verification}
        undone = {a.rrn for a in view.attempts if a.kind == "reversal" and a.attempt_id in queued}
        for attempt in view.attempts:
            if final_result(attempt) != "unknown" or attempt.kind == "inquiry":
                continue
            type_ = self.book_type(attempt)
            if type_ == "verification":
                continue
            follows = {
                a.attempt_id
                for a in requests_of(view, attempt.transaction_id)
                if a.attempt_id in queued
            }
            assert attempt.attempt_id in queued | doubted or attempt.rrn in undone or follows

    @invariant()
    def reserved_amounts_are_those_of_open_refunds(self) -> None:
        """refund_pending is the sum of them, and captured what captures and charges brought."""
        view = self.book.view
        refunds = [t for t in view.transactions if t.type == "refund"]
        open_minor = sum(t.amount_minor for t in refunds if t.status not in TRANSACTION_TERMINAL)
        done_minor = sum(t.amount_minor for t in refunds if t.status == "succeeded")
        assert (view.refund_pending_minor, view.refunded_minor) == (open_minor, done_minor)
        brings = "capture" if view.capture_method == "manual" else "charge"
        captured = sum(
            t.approved_minor or t.amount_minor
            for t in view.transactions
            if t.type == brings and t.status == "succeeded"
        )
        assert view.captured_minor == captured

    def teardown(self) -> None:
        """The network says a last word about everything, and operators about the rest."""
        for _ in range(4):
            for attempt in self.book.view.attempts:
                if not attempt.result and not is_advice(attempt):
                    self.book.settle(attempt.attempt_id, DECLINED)
            for row in self.book.view.verification:
                self.book.close_window(row.attempt_id)
            for row in self.book.view.saf:
                actor = "operator:ada" if row.manual else "network:msim"
                self.book.settle(row.attempt_id, APPROVED, actor=actor)
            for attempt in self.book.view.attempts:
                if not attempt.result:
                    self.book.settle(attempt.attempt_id, APPROVED)
        view = self.book.view
        assert (view.saf, view.verification, view.live_transaction_id) == ([], [], None)
        assert view.status in ("created", "failed", "authorized", "succeeded", "canceled")
        assert view.refund_pending_minor == 0
        statuses: set[Any] = {t.status for t in view.transactions}
        assert statuses <= TRANSACTION_TERMINAL
        assert all(attempt.result for attempt in view.attempts)
        if view.status == "canceled":
            assert self.book.admit("capture") == Lost("intent_canceled")


TestPayment = Payment.TestCase
TestPayment.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
