"""Fixtures of the pipeline's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chassis.settings import Switch
from switch.core.admission import Admission
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies
from tests.support.pipeline import Peer, charge


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
def admit(admission: Admission, replies: Replies, peer: Peer) -> Callable[[int], Payment]:
    """Admit payment `number` as intake would, with its number as the request id."""

    def make(number: int) -> Payment:
        wanted = charge(number)
        assert admission.enter(wanted.merchant_id) == ""
        payment = Payment(charge=wanted, waiter=(peer, number), accepted_at=0.0)
        replies.in_flight[wanted.key_digest] = payment
        return payment

    return make
