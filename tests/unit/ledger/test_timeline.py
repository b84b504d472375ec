"""The story that a payment's rows make, in whatever order they are read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.ids import event_id
from ledger.lifecycle import INTENT_STATUSES
from ledger.timeline import EVENT_TYPES, Fact, tell

INTENT = bytes(16)
REQUEST = b"r" * 16


class History:
    """The rows that a payment leaves behind, written one second after the other."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.version = 1
        self._seconds: Iterator[int] = count(1)
        self._at_us = 0
        self._types: dict[bytes, str] = {}
        self._later()
        self._add("created", status="created")

    def _later(self) -> None:
        self._at_us = next(self._seconds) * 1_000_000

    def _add(self, fact: str, **changes: Any) -> None:
        fields: dict[str, Any] = dict.fromkeys(Fact._fields, "")
        fields |= {"fact": fact, "key": None, "phase": 0, "version": self.version}
        fields |= {"at_us": self._at_us, "actor": "api", "request_id": REQUEST, "sends": 0}
        fields |= {"transaction_id": None, "amount_minor": 2499, "currency": "usd"}
        fields |= {"manual": False, "captured_minor": 2499}
        self.facts.append(Fact(**fields | changes))

    def begin(self, id_: bytes, type_: str, status: str, **changes: Any) -> None:
        """A transaction and the message that asks for it, in a version of their own."""
        self._later()
        self.version += 1
        self._types[id_] = type_
        fields = {"key": id_, "transaction_id": id_, "transaction_type": type_, "status": status}
        self._add("transaction", **fields | {"transaction_status": "pending"} | changes)

    def attempt(self, id_: bytes, of: bytes, kind: str, *, raises: bool, at_once: bool) -> None:
        """A further message, alone or in the commit of what was written last."""
        if not at_once:
            self._later()
            self.version += raises
        self._add(
            "attempt",
            key=id_,
            version=self.version if raises else None,
            at_us=self._at_us + 1,
            actor="switch",
            request_id=None,
            transaction_id=of,
            transaction_type=self._types[of],
            transaction_status="reversing" if kind == "reversal" else "",
            kind=kind,
            mti={"inquiry": "0600", "reversal": "0420"}.get(kind, "0220"),
        )

    def outcome(
        self,
        id_: bytes,
        of: bytes,
        step: tuple[str, str],
        status: str,
        *,
        at_once: bool = False,
        **changes: Any,
    ) -> None:
        """What a message was answered."""
        if not at_once:
            self._later()
            self.version += step[0] != step[1]
        fields: dict[str, Any] = {
            "key": id_,
            "phase": 1,
            "status": status,
            "actor": "network:vsim",
            "transaction_id": of,
            "transaction_type": self._types[of],
            "from_status": step[0],
            "transaction_status": step[1],
            "kind": "request",
        }
        self._add("outcome", **fields | changes)

    def types(self) -> list[str]:
        """What the events are called, in order."""
        return [event.type for event in tell(INTENT, self.facts)]


def in_doubt() -> History:
    """A charge that nothing is known of."""
    history = History()
    history.begin(b"t", "charge", "processing")
    doubt = ("pending", "pending_verification")
    history.outcome(b"a", b"t", doubt, "pending_verification", result="unknown")
    return history


def inquired() -> History:
    """The network was asked twice, and said at last that it had approved."""
    history = in_doubt()
    stays = ("pending_verification", "pending_verification")
    history.attempt(b"i1", b"t", "inquiry", raises=False, at_once=False)
    history.outcome(b"i1", b"t", stays, "pending_verification", kind="inquiry", result="unknown")
    history.attempt(b"i2", b"t", "inquiry", raises=False, at_once=False)
    resolved = ("pending_verification", "succeeded")
    history.outcome(b"a", b"t", resolved, "succeeded", phase=2, result="approved")
    history.outcome(
        b"i2", b"t", stays, "succeeded", kind="inquiry", result="approved", at_once=True
    )
    return history


def reversed_() -> History:
    """The network said nothing, and the charge was undone at the third sending."""
    history = in_doubt()
    history.attempt(b"v", b"t", "reversal", raises=True, at_once=False)
    undone = ("reversing", "reversed")
    history.outcome(b"a", b"t", undone, "failed", phase=2, result="reversed")
    history.outcome(
        b"v", b"t", undone, "failed", kind="reversal", result="approved", sends=3, at_once=True
    )
    return history


def given_back() -> History:
    """A partial approval that the merchant does not take."""
    history = History()
    history.begin(b"t", "charge", "processing")
    step = ("pending", "reversing")
    history.outcome(b"a", b"t", step, "pending_verification", result="partial")
    history.attempt(b"v", b"t", "reversal", raises=True, at_once=True)
    undone = ("reversing", "reversed")
    history.outcome(b"v", b"t", undone, "failed", kind="reversal", result="approved")
    return history


def captured() -> History:
    """Held, captured in two parts, the rest released."""
    history = History()
    history.begin(b"t", "charge", "processing")
    history.outcome(b"a", b"t", ("pending", "succeeded"), "authorized", result="approved")
    for id_, then in ((b"c1", "authorized"), (b"c2", "succeeded")):
        history.begin(id_, "capture", "processing")
        history.outcome(id_ + b"a", id_, ("pending", "succeeded"), then, result="approved")
    history.attempt(b"e", b"c2", "release", raises=False, at_once=True)
    stays = ("succeeded", "succeeded")
    history.outcome(b"e", b"c2", stays, "succeeded", kind="release", result="approved", sends=2)
    return history


def refunded() -> History:
    """Paid, given back in two parts, the second after a doubt."""
    history = History()
    history.begin(b"t", "charge", "processing")
    history.outcome(b"a", b"t", ("pending", "succeeded"), "succeeded", result="approved")
    history.begin(b"r1", "refund", "", amount_minor=500)
    done = ("pending", "succeeded")
    history.outcome(b"r1a", b"r1", done, "succeeded", result="approved", amount_minor=500)
    history.begin(b"r2", "refund", "", amount_minor=1999)
    doubt = ("pending", "pending_verification")
    history.outcome(b"r2a", b"r2", doubt, "succeeded", result="unknown", amount_minor=1999)
    found = ("pending_verification", "succeeded")
    history.outcome(b"r2a", b"r2", found, "succeeded", phase=2, amount_minor=1999)
    return history


def refunded_early() -> History:
    """All that was captured was given back while the rest was held, which was captured then."""
    history = History()
    history.begin(b"t", "charge", "processing")
    history.outcome(b"a", b"t", ("pending", "succeeded"), "authorized", result="approved")
    history.begin(b"c", "capture", "processing")
    history.outcome(b"ca", b"c", ("pending", "succeeded"), "authorized", result="approved")
    history.begin(b"r", "refund", "", amount_minor=2499)
    done = ("pending", "succeeded")
    history.outcome(b"ra", b"r", done, "authorized", result="approved", amount_minor=2499)
    return history


def canceled_in_doubt() -> History:
    """A cancel that waited until the charge turned out declined."""
    history = in_doubt()
    history.begin(b"x", "cancel", "")
    declined = ("pending_verification", "failed")
    history.outcome(b"a", b"t", declined, "canceled", phase=2, result="declined")
    done = ("pending", "succeeded")
    history.outcome(b"x", b"x", done, "canceled", kind="", at_once=True, result="approved")
    return history


def canceled_at_once() -> History:
    """A cancel of what nobody had paid."""
    history = History()
    history.begin(b"x", "cancel", "")
    done = ("pending", "succeeded")
    history.outcome(b"x", b"x", done, "canceled", kind="", at_once=True, result="approved")
    return history


def tried_again() -> History:
    """Declined with 91, and approved the second time."""
    history = History()
    history.begin(b"t", "charge", "processing")
    stays = ("pending", "pending")
    history.outcome(b"a", b"t", stays, "processing", result="declined")
    history.attempt(b"b", b"t", "request", raises=False, at_once=True)
    history.outcome(b"b", b"t", ("pending", "succeeded"), "succeeded", result="approved")
    return history


def verified() -> History:
    """A card was looked at, then charged."""
    history = History()
    history.begin(b"v", "verification", "", amount_minor=0)
    history.outcome(b"va", b"v", ("pending", "succeeded"), "created", result="approved")
    history.begin(b"t", "charge", "processing")
    history.outcome(b"a", b"t", ("pending", "succeeded"), "succeeded", result="approved")
    return history


STORIES = {
    inquired: [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.pending_verification",
        "attempt.started",
        "attempt.ended",
        "attempt.started",
        "attempt.ended",
        "payment_intent.succeeded",
    ],
    reversed_: [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.pending_verification",
        "transaction.reversing",
        "attempt.ended",
        "payment_intent.payment_failed",
    ],
    given_back: [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.pending_verification",
        "attempt.started",
        "payment_intent.payment_failed",
    ],
    captured: [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.authorized",
        "payment_intent.processing",
        "payment_intent.authorized",
        "payment_intent.processing",
        "payment_intent.succeeded",
        "attempt.started",
        "attempt.ended",
    ],
    refunded_early: [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.authorized",
        "payment_intent.processing",
        "payment_intent.authorized",
        "transaction.created",
        "payment_intent.partially_refunded",
    ],
    refunded: [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.succeeded",
        "transaction.created",
        "payment_intent.partially_refunded",
        "transaction.created",
        "transaction.pending_verification",
        "payment_intent.refunded",
    ],
    canceled_in_doubt: [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.pending_verification",
        "transaction.created",
        "payment_intent.canceled",
        "transaction.succeeded",
    ],
    canceled_at_once: ["payment_intent.created", "payment_intent.canceled"],
    tried_again: [
        "payment_intent.created",
        "payment_intent.processing",
        "attempt.ended",
        "attempt.started",
        "payment_intent.succeeded",
    ],
    verified: [
        "payment_intent.created",
        "transaction.created",
        "transaction.succeeded",
        "payment_intent.processing",
        "payment_intent.succeeded",
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_a_story_names_what_changed(story: Any) -> None:
    """The status of the intent first, then that of a transaction, then messages."""
    assert story().types() == STORIES[story]


@given(st.sampled_from(sorted(STORIES, key=lambda story: story.__name__)), st.randoms())
def test_the_order_of_rows_does_not_matter(story: Any, random: Any) -> None:
    """The database gives them as it likes."""
    facts = story().facts
    told = tell(INTENT, facts)
    random.shuffle(facts)
    assert tell(INTENT, facts) == told


@pytest.mark.parametrize("story", STORIES)
def test_every_event_has_an_id_of_its_own(story: Any) -> None:
    """One a version is the intent's own, the one that webhooks carry; sequences never fall."""
    events = tell(INTENT, story().facts)
    ids = [event.id for event in events]
    assert len(set(ids)) == len(ids)
    sequences = [event.sequence for event in events]
    assert sequences == sorted(sequences)
    own = {event_id("payment_intents", INTENT, version) for version in sequences}
    assert own <= set(ids)
    for event in events:
        if event.type.startswith("payment_intent."):
            assert event.id == event_id("payment_intents", INTENT, event.sequence)


def test_a_transaction_s_status_is_told_with_every_event() -> None:
    """As it stands after the event, a remark included."""
    told = [event.data.get("transaction_status") for event in tell(INTENT, reversed_().facts)]
    assert told == [
        None,
        "pending",
        "pending_verification",
        "reversing",
        "reversing",
        "reversed",
    ]


def test_repeats_are_counted() -> None:
    """How often an advice was sent until it was taken."""
    [ended] = [e for e in tell(INTENT, captured().facts) if e.type == "attempt.ended"]
    assert (ended.data["kind"], ended.data["sends"]) == ("release", 2)
    assert all("sends" not in e.data for e in tell(INTENT, tried_again().facts))


def test_a_reversal_of_what_is_over_moves_nothing() -> None:
    """A second answer that contradicts a decline is undone; the transaction stays failed."""
    history = History()
    history.begin(b"t", "charge", "processing")
    history.outcome(b"a", b"t", ("pending", "failed"), "failed", result="declined")
    history.attempt(b"v", b"t", "reversal", raises=False, at_once=False)
    events = tell(INTENT, history.facts)
    assert events[-1].type == "attempt.started"
    assert events[-1].data["transaction_status"] == "failed"


def test_a_cancel_that_nobody_asked_for_is_that_of_time() -> None:
    """The capture time was over: expiry, and no request to name."""
    history = History()
    history.begin(b"t", "charge", "processing")
    history.outcome(b"a", b"t", ("pending", "succeeded"), "authorized", result="approved")
    history.begin(b"x", "cancel", "processing", request_id=bytes(16))
    event = tell(INTENT, history.facts)[-1]
    assert (event.type, event.actor) == ("payment_intent.processing", "expiry")
    assert "request_id" not in event.data


def test_a_clock_that_steps_back_does_not_change_the_order_of_versions() -> None:
    """Versions come first; instants only tell what happened within one."""
    history = inquired()
    history.facts = [
        fact._replace(at_us=fact.at_us - 3_600_000_000) if (fact.version or 0) > 3 else fact
        for fact in history.facts
    ]
    sequences = [event.sequence for event in tell(INTENT, history.facts)]
    assert sequences == sorted(sequences)
    assert history.types()[:3] == STORIES[inquired][:3]


def test_no_rows_are_no_story() -> None:
    """Which is how an absent intent shows."""
    assert tell(INTENT, []) == []


def test_every_status_has_an_event_type() -> None:
    """Whatever an intent becomes, its timeline can say so."""
    assert EVENT_TYPES.keys() == set(INTENT_STATUSES)
