"""Who did what to a payment and when: the facts of its tables as a story.

Theory of operation. A fact is a row of a table. Most raise the intent's version, so that is the
first order of things; what changes no version (an inquiry, the acknowledgment of a completion, a
declined attempt that another one follows) stands behind the version that was current at its time.
Within a version time decides, and for what was committed at once cause comes before effect: what a
message was answered, then what that made of the transaction, then the next message.

An event's type says what changed, the greatest thing first: the intent's status
(`payment_intent.*`, a webhook type of contract 6), or the transaction's (`transaction.*`), or
nothing but that a message was begun or has ended (`attempt.*`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import Final, NamedTuple

from ledger.ids import event_id, outcome_number
from ledger.lifecycle import TRANSACTION_TERMINAL
from ledger.pgtypes import bool_, uuid_
from ledger.records import TimelineEvent
from ledger.statements import QUERIES, Runner

_READ: Final = QUERIES["read_timeline"]

# The status that a change led to → the event's type.
EVENT_TYPES: Final = {
    "created": "payment_intent.created",
    "processing": "payment_intent.processing",
    "authorized": "payment_intent.authorized",
    "succeeded": "payment_intent.succeeded",
    "failed": "payment_intent.payment_failed",
    "pending_verification": "payment_intent.pending_verification",
    "canceled": "payment_intent.canceled",
}
# What is told of a fact besides, by its ledger name, where there is anything to tell.
_TOLD: Final = (
    "transaction_type",
    "transaction_status",
    "kind",
    "amount_minor",
    "currency",
    "network",
    "mti",
    "stan",
    "rrn",
    "de7",
    "sends",
    "manual",
    "result",
    "response_code",
    "approval_code",
    "decline_code",
    "advice",
)
_NO_REQUEST: Final = bytes(16)  # of a transaction that no merchant asked for


class Fact(NamedTuple):
    """A row of `read_timeline`, which says what its columns are."""

    fact: str
    key: bytes | None
    phase: int
    version: int | None
    at_us: int
    status: str
    actor: str
    request_id: bytes | None
    transaction_id: bytes | None
    transaction_type: str
    from_status: str
    transaction_status: str
    kind: str
    amount_minor: int
    currency: str
    network: str | None
    mti: str | None
    stan: str | None
    rrn: str | None
    de7: str | None
    sends: int
    manual: bool
    result: str
    response_code: str
    approval_code: str
    decline_code: str
    advice: str
    captured_minor: int

    @property
    def is_remark(self) -> bool:
        """Whether it is an outcome that left its transaction where it was."""
        return self.fact == "outcome" and self.from_status == self.transaction_status


async def read_timeline(
    runner: Runner, merchant_id: bytes, intent_id: bytes, *, live: bool
) -> list[TimelineEvent] | None:
    """The events of an intent, oldest first; None if this merchant has none such in this mode."""
    result = await runner.run(_READ, [uuid_(merchant_id), uuid_(intent_id), bool_(live)])
    return tell(intent_id, [Fact(*row) for row in result.rows()]) or None


def tell(intent_id: bytes, facts: Sequence[Fact]) -> list[TimelineEvent]:
    """The story of an intent, oldest first, of its facts in any order."""
    story = _Story(intent_id)
    for version, told in groupby(_in_order(facts), key=lambda fact: fact.version or 0):
        story.tell_version(version, list(told))
    return story.events


def _in_order(facts: Sequence[Fact]) -> list[Fact]:
    """The facts in the order in which they happened, each with a version."""
    raising = sorted(
        (fact.at_us, fact.version)
        for fact in facts
        if fact.version is not None and not fact.is_remark
    )
    instants = [at_us for at_us, _ in raising]
    versions = list(accumulate((version for _, version in raising), max, initial=1))
    placed = [
        fact
        if fact.version is not None
        else fact._replace(version=versions[bisect_right(instants, fact.at_us)])
        for fact in facts
    ]
    return sorted(placed, key=_order)


def _number(fact: Fact) -> int:
    """What tells a fact's event from others under its key, as in the stream (`ledger.stream`)."""
    return outcome_number(fact.phase, fact.version or 0) if fact.fact == "outcome" else fact.phase


def _order(fact: Fact) -> tuple[int, int, int, bytes]:
    """Sorts facts that have versions; those of one instant by what causes what."""
    return fact.version or 0, fact.at_us, _rank(fact), fact.key or b""


def _rank(fact: Fact) -> int:
    if fact.fact == "outcome":
        if fact.is_remark:
            return 1
        return 2 if fact.kind == "request" else 3
    return 4 if fact.fact == "attempt" else 0


class _Story:
    """What has been told so far, and where everything stands."""

    def __init__(self, intent_id: bytes) -> None:
        self.events: list[TimelineEvent] = []
        self._intent_id = intent_id
        self._status = ""
        self._transactions: dict[bytes, str] = {}
        self._refunded_minor = 0

    def tell_version(self, version: int, facts: list[Fact]) -> None:
        """Tell what happened while the intent had one version."""
        # A cancel that takes effect at once is one event: that it was asked for is its outcome.
        at_once = {fact.key for fact in facts if fact.fact == "outcome"}
        facts = [f for f in facts if f.fact != "transaction" or f.key not in at_once]
        facts = sorted(_each_move_once(facts), key=_order)
        raised_by = next((fact for fact in facts if not _is_aside(fact)), None)
        for fact in facts:
            self._tell(version, fact, raised=fact is raised_by)

    def _tell(self, version: int, fact: Fact, *, raised: bool) -> None:
        type_ = self._type(fact)
        if raised:
            id_ = event_id("payment_intents", self._intent_id, version)
        else:
            id_ = event_id(f"{fact.fact}s", fact.key or self._intent_id, _number(fact))
        self.events.append(
            TimelineEvent(
                id=id_,
                sequence=version,
                type=type_,
                actor=_actor(fact),
                at_us=fact.at_us,
                transaction_id=fact.transaction_id,
                data=self._data(fact),
            )
        )

    def _type(self, fact: Fact) -> str:
        """What changed by a fact; it has happened when this returns."""
        if fact.is_remark:
            return "attempt.ended"
        moved = self._move(fact)
        if fact.status and fact.status != self._status:
            self._status = fact.status
            return EVENT_TYPES[fact.status]
        if fact.transaction_type == "refund" and moved and fact.transaction_status == "succeeded":
            self._refunded_minor += fact.amount_minor
            # While more may be captured, what is whole today would be a part tomorrow.
            paid = self._status == "succeeded"
            whole = paid and self._refunded_minor >= fact.captured_minor
            return "payment_intent.refunded" if whole else "payment_intent.partially_refunded"
        if moved:
            return f"transaction.{'created' if fact.fact == 'transaction' else self._of(fact)}"
        return "attempt.ended" if fact.fact == "outcome" else "attempt.started"

    def _move(self, fact: Fact) -> bool:
        """Move the fact's transaction, unless it is over or stays where it is."""
        if fact.transaction_id is None or not fact.transaction_status:
            return False
        before = self._transactions.get(fact.transaction_id, "")
        if before in TRANSACTION_TERMINAL:
            return False
        self._transactions[fact.transaction_id] = fact.transaction_status
        return before != fact.transaction_status

    def _of(self, fact: Fact) -> str:
        """Where the fact's transaction stands."""
        return self._transactions.get(fact.transaction_id or b"", "")

    def _data(self, fact: Fact) -> dict[str, str | int]:
        known = fact._replace(transaction_status=self._of(fact))._asdict()
        data: dict[str, str | int] = {name: known[name] for name in _TOLD if known[name]}
        if fact.request_id is not None and fact.request_id != _NO_REQUEST:
            data["request_id"] = fact.request_id.hex()
        return data


def _each_move_once(facts: list[Fact]) -> Iterator[Fact]:
    """The facts, with one outcome at most that moves a transaction.

    The acknowledgment of a reversal moves it and resolves the message that was in doubt; of the two
    outcomes that one tells the story, and the acknowledgment is what it was learnt from.
    """
    movers: dict[bytes | None, Fact] = {}
    for fact in facts:
        if fact.fact == "outcome" and not fact.is_remark:
            known = movers.get(fact.transaction_id)
            if known is None or known.kind != "request":
                movers[fact.transaction_id] = fact
    for fact in facts:
        if fact.fact == "outcome" and movers.get(fact.transaction_id) is not fact:
            yield fact._replace(from_status=fact.transaction_status)
        else:
            yield fact


def _is_aside(fact: Fact) -> bool:
    """Whether a fact raised no version, although it stands behind one."""
    return fact.is_remark or (fact.fact == "attempt" and fact.kind != "reversal")


def _actor(fact: Fact) -> str:
    """Who; a cancel that no merchant asked for is that of the capture time that was over."""
    return "expiry" if fact.actor == "api" and fact.request_id == _NO_REQUEST else fact.actor
