"""Fixtures of the pipeline's tests."""

from __future__ import annotations

import pytest
import trio

from chassis.settings import Switch
from switch.core.admission import Admission
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies
from tests.support.hearing import Scene, make_scene
from tests.support.pipeline import Admit, Peer, charge


@pytest.fixture
def counts() -> PipelineCounts:
    """Counters at zero."""
    return PipelineCounts()


@pytest.fixture
def admission() -> Admission:
    """Eight credits."""
    return Admission(Switch(credits_max=8, merchant_credits_max=8))


@pytest.fixture
def replies(admission: Admission, counts: PipelineCounts) -> Replies:
    """Replies over that admission, remembering four answers."""
    return Replies(admission, counts, Switch(recent_keys_max=4))


@pytest.fixture
def peer() -> Peer:
    """A fresh peer."""
    return Peer()


@pytest.fixture
def anomalies() -> Anomalies:
    """Log lines on a clock that stands."""
    return Anomalies(lambda: 0.0)


@pytest.fixture
def scene(
    replies: Replies,
    counts: PipelineCounts,
    anomalies: Anomalies,
    admission: Admission,
    admit: Admit,
    peer: Peer,
) -> Scene:
    """Hearing and commit 2 with all their neighbors."""
    return make_scene(
        replies=replies,
        counts=counts,
        anomalies=anomalies,
        admission=admission,
        admit=admit,
        peer=peer,
    )


@pytest.fixture
def admit(admission: Admission, replies: Replies, peer: Peer) -> Admit:
    """Admit payments as intake would, each with its number as the request id."""

    def make(number: int, *, age_s: float = 0.0) -> Payment:
        wanted = charge(number)
        assert admission.enter(wanted.merchant_id) == ""
        now = trio.current_time() if trio.lowlevel.in_trio_run() else 0.0
        payment = Payment(charge=wanted, waiter=(peer, number), accepted_at=now - age_s)
        replies.in_flight[wanted.key_digest] = payment
        return payment

    return make
