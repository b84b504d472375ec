"""A ledger of one intent in memory, for decisions: it applies plans as Postgres would.

`Book.decide` holds every plan to the rules of `ledger.deciding.checks` and to the constraints of
the tables, and then runs the step once more on what it has become, as the committer does when it
never learnt whether a commit went through: nothing may be written twice.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from msgspec.structs import replace

from ledger.deciding.checks import check_plan, moves
from ledger.deciding.records import (
    AttemptView,
    IntentView,
    NewAttempt,
    NewException,
    NewOutcome,
    NewTransaction,
    Plan,
    SafRow,
    Step,
    TransactionView,
)
from ledger.lifecycle import INTENT_LIVE, TRANSACTION_TERMINAL
from ledger.records import Lost
from ledger.verdicts import KeyFinding
from switch.core.doubt import DoubtPolicy
from switch.core.findings import Finding
from switch.core.operations.reading import row_of, transaction_of
from switch.core.operations.records import Context, NetworkRules, Order, Spare
from switch.core.operations.steps import Admit, CloseWindow, Inquire, Settle

NOW_US = 1_800_000_000_000_000
SECOND_US = 1_000_000
MERCHANT = b"m" * 16
INTENT = b"i" * 16
RRN = "0ABCDEFGHIJK"
AMOUNT = 10_00
RULES = NetworkRules(
    reversal_mti="0420",
    doubt=DoubtPolicy("inquire_then_reverse", inquiry_times_s=(1, 3, 8), window_s=30),
    authorization_us=7 * 86_400 * SECOND_US,
)
APPROVED = Finding("approved", "answered", "00", "A1B2C3")
DECLINED = Finding(
    "declined",
    "answered",
    "51",
    decline_code="insufficient_funds",
    advice="retry_later",
    decline_class="soft",
)
SILENCE = Finding("unknown", "timeout")
NOT_SENT = Finding("not_sent", "no_link", decline_code="network_unavailable", advice="retry_later")
NOTHING_FOUND = Finding("nothing_found", "answered", "25")
NOT_NOW = Finding("retry", "answered", "91")
POISON = Finding("poison", "answered", "30")


def partial(minor: int) -> Finding:
    """An approval of a part."""
    return Finding("partial", "answered", "10", "A1B2C3", approved_minor=minor)


class Book:
    """One intent and all that happened to it.

    Attributes:
        view: as a decision would see it.
        exceptions: opened so far.
        declines: remembered so far.
        now_us: of the next decision.
    """

    def __init__(self, **intent: Any) -> None:
        fields: dict[str, Any] = {
            "intent_id": INTENT,
            "merchant_id": MERCHANT,
            "live_transaction_id": None,
            "amount_minor": AMOUNT,
            "capturable_minor": 0,
            "captured_minor": 0,
            "refund_pending_minor": 0,
            "refunded_minor": 0,
            "disputed_minor": 0,
            "created_at_us": NOW_US,
            "updated_at_us": NOW_US,
            "capture_before_us": None,
            "version": 1,
            "charge_count": 0,
            "live": False,
            "allow_partial": False,
            "reversing": False,
            "cancel_requested": False,
            "currency": "usd",
            "status": "created",
            "capture_method": "automatic",
            "canceled_by": None,
        }
        self.view = IntentView(**fields | intent)
        self.exceptions: list[NewException] = []
        self.declines: list[Any] = []
        self.references_freed = 0
        self.expire_at_us: list[int] = []
        self.keys: dict[bytes, KeyFinding] = {}
        self.now_us = NOW_US
        self._numbers = count(1)

    # ---------------------------------------------------------------------------- what steps need

    def spare(self, network: str = "msim") -> Spare:
        """Numbers of their own for one message."""
        number = next(self._numbers)
        return Spare(
            attempt_id=self.view.intent_id[-4:] + b"a" * 4 + number.to_bytes(8),
            network=network,
            acquirer_id="500001",
            stan=f"{number:06d}",
            de7="0102030406",
            rrn=f"0{number:011d}",
            deadline_at_us=self.now_us + 2 * SECOND_US,
        )

    def context(self, actor: str = "network:msim", **changes: Any) -> Context:
        """Who found something out just now."""
        fields: dict[str, Any] = {
            "now_us": self.now_us,
            "steady_us": self.now_us,
            "actor": actor,
            "rules": RULES,
            "spare": self.spare(),
        }
        return Context(**fields | changes)

    def order(self, type_: Any, amount_minor: int = 0, **changes: Any) -> Order:
        """A merchant's order under a key of its own."""
        number = next(self._numbers)
        fields: dict[str, Any] = {
            "type": type_,
            "intent_id": self.view.intent_id,
            "merchant_id": MERCHANT,
            "live": False,
            "amount_minor": amount_minor,
            "final_capture": True,
            "key_digest": b"k" * 8 + number.to_bytes(8),
            "request_hash": bytes(16),
            "request_id": b"r" * 16,
            "transaction_id": b"t" * 8 + number.to_bytes(8),
        }
        return Order(**fields | changes)

    # --------------------------------------------------------------------------- what may be done

    def admit(self, type_: Any, amount_minor: int = 0, **changes: Any) -> Any:
        """Ask for an operation."""
        return self.decide(Admit(self.order(type_, amount_minor, **changes), self.context()))

    def settle(
        self, attempt_id: bytes, finding: Finding, *, actor: str = "network:msim", **changes: Any
    ) -> Any:
        """Tell what was found out about an attempt."""
        context = self.context(actor, **changes)
        return self.decide(Settle(self.view.intent_id, attempt_id, context, finding=finding))

    def close_window(self, attempt_id: bytes) -> Any:
        """Reverse an attempt in doubt."""
        return self.decide(CloseWindow(self.view.intent_id, attempt_id, self.context("switch")))

    def inquire(self, attempt_id: bytes) -> Any:
        """Record an inquiry about an attempt in doubt."""
        return self.decide(Inquire(self.view.intent_id, attempt_id, self.context("switch")))

    def charge(self, *, type_: str = "charge", mti: str = "0100") -> AttemptView:
        """What commit 1 writes."""
        transaction_id = b"c" * 8 + next(self._numbers).to_bytes(8)
        spare = self.spare()
        amount_minor = 0 if type_ == "verification" else self.view.amount_minor
        self._insert(
            NewTransaction(transaction_id, type_, amount_minor, "usd", b"r" * 16),
            fingerprint=b"f" * 16,
        )
        self._record(
            NewAttempt(
                attempt_id=spare.attempt_id,
                transaction_id=transaction_id,
                kind="request",
                network=spare.network,
                acquirer_id=spare.acquirer_id,
                mti=mti,
                stan=spare.stan,
                rrn=spare.rrn,
                de7=spare.de7,
                amount_minor=amount_minor,
                currency="usd",
                deadline_at_us=spare.deadline_at_us,
            )
        )
        status = self.view.status if type_ == "verification" else "processing"
        self._change(
            {
                "status": status,
                "live_transaction_id": transaction_id,
                "charge_count": self.view.charge_count + 1,
            }
        )
        return self.view.attempts[-1]

    # ------------------------------------------------------------------------------ the machinery

    def decide(self, step: Step) -> Any:
        """Run a step, twice; its answer, and the book as it stands after it."""
        answer = self._run(step)
        before = self.view
        again = self._run(step)
        assert self.view == before, "a step that is run again writes nothing"
        assert type(again) is type(answer)
        if isinstance(answer, Lost):
            assert again == answer
        return answer

    def _run(self, step: Step) -> Any:
        view = self.view
        if step.key is not None and step.key[1] in self.keys:
            view = replace(view, key=self.keys[step.key[1]])
        plan = step.decide(view)
        if isinstance(plan, Lost):
            return plan
        check_plan(view, plan, step.key)
        self._apply(plan)
        return plan.value

    def _apply(self, plan: Plan) -> None:
        moved = moves(plan, self.view)
        for new in plan.transactions:
            self._insert(new)
        for attempt in plan.attempts:
            self._record(attempt)
        for told in plan.outcomes:
            self._tell(told)
        dropped, updated = set(plan.saf_drop), {row.attempt_id: row for row in plan.saf_update}
        saf = [updated.get(r.attempt_id, r) for r in self.view.saf if r.attempt_id not in dropped]
        doubts = {row.attempt_id: row for row in plan.verify_update}
        over = set(plan.verify_drop)
        verification = [
            doubts.get(row.attempt_id, row)
            for row in self.view.verification
            if row.attempt_id not in over
        ]
        self.view = replace(
            self.view,
            saf=[*saf, *plan.saf_add],
            verification=[*verification, *plan.verify_add],
        )
        if moved:
            self._change(plan.intent)
        self._derive()
        known = {(each.kind, each.attempt_id) for each in self.exceptions}
        self.exceptions += [e for e in plan.exceptions if (e.kind, e.attempt_id) not in known]
        self.declines += plan.declines
        self.references_freed += plan.free_reference
        if plan.expire_at_us is not None:
            self.expire_at_us.append(plan.expire_at_us)
        if plan.key is not None:
            assert plan.key.key_digest not in self.keys
            transaction = transaction_of(self.view, plan.key.transaction_id)
            self.keys[plan.key.key_digest] = KeyFinding(
                plan.key.request_hash, plan.key.transaction_id, row_of(self.view, transaction)
            )
        self._check()

    def _insert(self, new: NewTransaction, fingerprint: bytes | None = None) -> None:
        assert all(t.transaction_id != new.transaction_id for t in self.view.transactions)
        assert new.amount_minor > 0 or new.type == "verification"
        view = TransactionView(
            transaction_id=new.transaction_id,
            type=new.type,
            status="pending",
            amount_minor=new.amount_minor,
            currency=new.currency,
            final_capture=new.final_capture,
            request_id=new.request_id,
            created_at_us=self.now_us,
            updated_at_us=self.now_us,
            card_brand="",
            card_last4="",
            card_exp_month=0,
            card_exp_year=0,
            response_code="",
            approval_code="",
            decline_code="",
            advice="",
            approved_minor=0,
            fingerprint=fingerprint,
            intent_version=self.view.version + 1,
        )
        self.view = replace(self.view, transactions=[*self.view.transactions, view])

    def _record(self, new: NewAttempt) -> None:
        assert all(a.attempt_id != new.attempt_id for a in self.view.attempts)
        assert (len(new.stan), len(new.rrn), len(new.de7), len(new.mti)) == (6, 12, 10, 4)
        fields = {name: getattr(new, name) for name in NewAttempt.__struct_fields__}
        view = AttemptView(
            **fields,
            owner="switch-0",
            epoch=1,
            created_at_us=self.now_us,
            result="",
            resolution="",
            response_code="",
            approval_code="",
            approved_minor=0,
        )
        self.view = replace(self.view, attempts=[*self.view.attempts, view])

    def _tell(self, told: NewOutcome) -> None:
        named = "result" if told.phase == 1 else "resolution"
        attempts = [
            replace(
                a,
                response_code=told.response_code,
                approval_code=told.approval_code,
                approved_minor=told.approved_minor,
                **{named: told.result},
            )
            if a.attempt_id == told.attempt_id
            else a
            for a in self.view.attempts
        ]
        transactions = [
            replace(
                t,
                status=told.to_status,
                response_code=told.response_code,
                approval_code=told.approval_code,
                decline_code=told.decline_code,
                advice=told.advice,
                approved_minor=told.approved_minor,
                updated_at_us=told.at_us,
            )
            if t.transaction_id == told.transaction_id and told.from_status != told.to_status
            else t
            for t in self.view.transactions
        ]
        self.view = replace(self.view, attempts=attempts, transactions=transactions)

    def _change(self, columns: dict[str, Any]) -> None:
        self.view = replace(self.view, version=self.view.version + 1, **columns)

    def _derive(self) -> None:
        """A transaction with an open reversal is `reversing`, unless it is over (money.md 1)."""
        open_ = {
            a.transaction_id for a in self.view.attempts if a.kind == "reversal" and not a.result
        }
        transactions = [
            replace(t, status="reversing")
            if t.transaction_id in open_ and t.status not in TRANSACTION_TERMINAL
            else t
            for t in self.view.transactions
        ]
        self.view = replace(self.view, transactions=transactions)

    def _check(self) -> None:
        """The constraints of payment_intents."""
        view = self.view
        assert view.capturable_minor >= 0
        assert view.captured_minor >= 0
        assert view.capturable_minor + view.captured_minor <= view.amount_minor
        assert min(view.refund_pending_minor, view.refunded_minor) >= 0
        assert view.refund_pending_minor + view.refunded_minor <= view.captured_minor
        if view.status in INTENT_LIVE:
            assert view.live_transaction_id is not None
        if view.status in ("succeeded", "canceled"):
            assert view.live_transaction_id is None
        assert not view.reversing or view.live_transaction_id is not None
        assert (view.status == "canceled") == (view.canceled_by is not None)

    # ------------------------------------------------------------------------------------ to look

    def transaction(self, type_: str) -> TransactionView:
        """The latest transaction of a type."""
        return [t for t in self.view.transactions if t.type == type_][-1]

    def attempt(self, attempt_id: bytes) -> AttemptView:
        """An attempt as it stands."""
        [found] = [a for a in self.view.attempts if a.attempt_id == attempt_id]
        return found

    def last(self, kind: str) -> AttemptView:
        """The latest attempt of a kind."""
        return [a for a in self.view.attempts if a.kind == kind][-1]

    def saf(self) -> list[SafRow]:
        """The queue."""
        return self.view.saf

    @property
    def exception_kinds(self) -> list[str]:
        """What a person has been told of."""
        return [each.kind for each in self.exceptions]


def authorized(**intent: Any) -> Book:
    """An intent that was authorized for its whole amount."""
    book = Book(capture_method="manual", **intent)
    book.settle(book.charge().attempt_id, APPROVED)
    assert book.view.status == "authorized"
    return book


def charged(**intent: Any) -> Book:
    """An intent that was charged over a network of single messages."""
    book = Book(**intent)
    book.settle(book.charge(mti="0200").attempt_id, APPROVED)
    assert book.view.status == "succeeded"
    return book
