"""A matter to decide: a finding about one attempt, beside all that it is judged by.

A handler takes a matter and returns a plan. What a plan says of the attempt, of its transaction and
of the network is said here, so that the handlers are left with what differs between them.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from ledger.deciding.records import (
    AttemptView,
    IntentView,
    NewDecline,
    NewException,
    NewOutcome,
    Plan,
    TransactionView,
    VerificationRow,
)
from switch.core.findings import Finding
from switch.core.operations.reading import doubts_of, final_result
from switch.core.operations.records import Context
from switch.core.operations.writing import concluded


class Matter(Struct, frozen=True):
    """What was found out, about what, and who may use what to decide on it.

    Attributes:
        view: the intent, as it stands under its lock.
        transaction: what the attempt belongs to.
        attempt: the message that the finding is about.
        finding: what was found out.
        context: by whom and when, and the numbers for another message.
    """

    view: IntentView
    transaction: TransactionView
    attempt: AttemptView
    finding: Finding
    context: Context

    @property
    def result(self) -> str:
        """Of the finding."""
        return self.finding.result

    @property
    def held(self) -> str:
        """What the attempt came to so far; empty if nothing is known."""
        return final_result(self.attempt)

    @property
    def by_operator(self) -> bool:
        """Whether a person decided, not the network."""
        return self.context.actor.startswith("operator:")

    @property
    def is_failure(self) -> bool:
        """Whether the network says no, or has never been asked."""
        return self.result == "declined" or (self.result == "not_sent" and not self.attempt.result)

    @property
    def as_approved(self) -> str:
        """The result of an approval: a part that resolves a doubt is an approval like another."""
        return "approved" if self.attempt.result else self.result

    @property
    def approved_minor(self) -> int:
        """What the network says it has approved, or else what the attempt asked for."""
        return self.finding.approved_minor or self.attempt.amount_minor

    def telling(self, decline_code: str, advice: str) -> Matter:
        """The same, with other words for the merchant."""
        return replace(
            self, finding=replace(self.finding, decline_code=decline_code, advice=advice)
        )

    # ------------------------------------------------------------------------------- rows of plans

    def outcome(self, result: str, *, to_status: str, of: AttemptView | None = None) -> NewOutcome:
        """The next result of the attempt, or of another one that this decides too."""
        attempt, finding = self.attempt if of is None else of, self.finding
        return NewOutcome(
            attempt_id=attempt.attempt_id,
            transaction_id=self.transaction.transaction_id,
            phase=2 if attempt.result else 1,
            result=result,
            from_status=self.transaction.status,
            to_status=to_status,
            actor=self.context.actor,
            request_id=self.transaction.request_id,
            at_us=self.context.now_us,
            response_code=finding.response_code,
            approval_code=finding.approval_code,
            decline_code=finding.decline_code,
            advice=finding.advice,
            approved_minor=finding.approved_minor,
            settles_on=finding.settles_on,
        )

    def remark(self, result: str) -> NewOutcome:
        """A first result that moves nothing: the transaction stays what it is."""
        return self.outcome(result, to_status=self.transaction.status)

    def exception(self, kind: str, **detail: str | int) -> NewException:
        """Something about the attempt that a person has to look into."""
        attempt, code = self.attempt, self.finding.response_code
        known: dict[str, str | int] = {"rrn": attempt.rrn, "response_code": code}
        return NewException(
            kind,
            network=attempt.network,
            transaction_id=attempt.transaction_id,
            attempt_id=attempt.attempt_id,
            detail=known | detail,
        )

    def declines(self) -> list[NewDecline]:
        """What is remembered of the card, if this is a decline of one."""
        fingerprint, decline_class = self.transaction.fingerprint, self.finding.decline_class
        if not decline_class or fingerprint is None:
            return []
        return [
            NewDecline(
                self.attempt.attempt_id,
                fingerprint,
                self.attempt.network,
                decline_class,
                self.context.now_us,
            )
        ]

    def doubt(self) -> VerificationRow:
        """The window of inquiries, if the attempt's outcome is unknown from now on."""
        window = self.context.rules.doubt.open(self.context.steady_us)
        return VerificationRow(
            self.attempt.attempt_id,
            self.attempt.transaction_id,
            self.attempt.network,
            due_at_us=window.due_at_us,
            window_ends_at_us=window.ends_at_us,
        )

    def doubts(self) -> list[bytes]:
        """The attempts of the transaction whose windows of inquiries are open."""
        return doubts_of(self.view, self.transaction.transaction_id)

    def queue_rows(self) -> list[bytes]:
        """The attempt, if it has a place in store-and-forward."""
        return [
            row.attempt_id for row in self.view.saf if row.attempt_id == self.attempt.attempt_id
        ]

    # --------------------------------------------------------------------------------- whole plans

    def concluded(self, plan: Plan) -> Plan:
        """The plan with its conclusion as value."""
        return concluded(self.view, self.transaction, plan)

    def nothing(self) -> Plan:
        """All stays as it is."""
        return self.concluded(Plan())

    def doubted(self, *, intent_status: str = "") -> Plan:
        """Nobody knows: the network is asked, unless it is being asked already."""
        if self.attempt.result:
            return self.nothing()
        return self.concluded(
            Plan(
                intent={"status": intent_status} if intent_status else {},
                outcomes=[self.outcome("unknown", to_status="pending_verification")],
                verify_add=[self.doubt()],
            )
        )
