"""Second attempts: when there is one, where it goes, and what becomes of the first."""

from __future__ import annotations

import pytest

from ledger.deciding.records import NewAttempt
from ledger.records import Lost
from switch.core.admission import Admission
from switch.core.operations.retrying import Again
from switch.core.settlements import HELD, VERIFIED
from switch.link.events import Answered, NotSent, Unknown
from switch.pipeline.payment import PipelineCounts
from tests.support.hearing import Scene, answer
from tests.support.pipeline import Tried


def again(tried: Tried) -> Again:
    """The attempt that stands for the charge now."""
    spare = tried.spare
    return Again(
        NewAttempt(
            attempt_id=spare.attempt_id,
            transaction_id=b"T" * 16,
            kind="request",
            network=spare.network,
            acquirer_id=spare.acquirer_id,
            mti=tried.mti,
            stan=spare.stan,
            rrn=spare.rrn,
            de7=spare.de7,
            amount_minor=2499,
            currency="usd",
            deadline_at_us=spare.deadline_at_us,
        )
    )


@pytest.mark.parametrize("code", ["91", "96"])
async def test_an_issuer_that_is_away_is_asked_once_more(
    code: str, scene: Scene, counts: PipelineCounts
) -> None:
    """New STAN and RRN on the same network, the CVC from memory; the merchant hears of neither."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, code), 0))
    (tried,) = scene.aftermath.tried
    assert (scene.results(), scene.peer.replies) == ([], {})
    assert (tried.spare.network, tried.mti, tried.finding.response_code) == ("vsim", "0200", code)
    assert payment.card is not None
    tried.decided(again(tried))
    assert scene.sent_again == [payment]
    record = payment.record
    assert record is not None
    assert (record.attempt_id, record.stan, record.rrn) == (
        tried.spare.attempt_id,
        tried.spare.stan,
        tried.spare.rrn,
    )
    assert (payment.slot is not None, counts.retried_total) == (True, 1)


async def test_nobody_is_asked_a_third_time(scene: Scene) -> None:
    """The second 91 is the merchant's answer."""
    payment = scene.sent(1)
    payment.retried = True
    await scene.settle(Answered(payment, answer(payment, "91"), 0))
    assert (scene.aftermath.tried, scene.results()) == ([], [(1, "declined")])


@pytest.mark.parametrize("code", ["05", "51", "41", "90"])
async def test_no_other_decline_is_tried_again(code: str, scene: Scene) -> None:
    """They are the issuer's answer."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, code), 0))
    assert (scene.aftermath.tried, scene.results()) == ([], [(1, "declined")])


async def test_silence_is_never_tried_again(scene: Scene) -> None:
    """A byte has left: never a second attempt, here or elsewhere."""
    payment = scene.sent(1)
    await scene.settle(Unknown(payment, "timeout"))
    assert (scene.aftermath.tried, scene.results()) == ([], [(1, "unknown")])


async def test_what_could_not_leave_goes_over_another_network(
    scene: Scene, admission: Admission
) -> None:
    """With its own acquirer id; the share of the first network is given back."""
    payment = scene.sent(1)
    await scene.settle(NotSent(payment, "no_link"))
    (tried,) = scene.aftermath.tried
    assert tried.spare.network == "backup"
    tried.decided(again(tried))
    assert (payment.network, scene.sent_again) == ("backup", [payment])
    assert admission._by_network == {"vsim": 0, "backup": 1}


async def test_an_issuer_that_is_away_is_not_asked_over_another_network(scene: Scene) -> None:
    """The first network answered; only one that took nothing is passed over."""
    payment = scene.sent(1)
    scene.groups["vsim"].window.size = 0
    await scene.settle(Answered(payment, answer(payment, "91"), 0))
    assert (scene.aftermath.tried, scene.results()) == ([], [(1, "declined")])


@pytest.mark.parametrize("obstacle", ["age", "card", "numbers", "share"])
async def test_without_time_card_numbers_or_room_there_is_no_second_attempt(
    obstacle: str, scene: Scene, admission: Admission
) -> None:
    """The first result stands, and nothing is held."""
    payment = scene.sent(1, age_s=2.1 if obstacle == "age" else 0.0)
    if obstacle == "card":
        payment.card = None
    elif obstacle == "numbers":
        scene.aftermath.out_of_numbers = True
    elif obstacle == "share":
        for _ in range(4):
            assert admission.enter_network("backup")
    await scene.settle(NotSent(payment, "no_link"))
    assert (scene.aftermath.tried, scene.results()) == ([], [(1, "not_sent")])
    assert scene.groups["backup"].window.in_flight == 0
    assert admission._by_network.get("backup", 0) == (4 if obstacle == "share" else 0)


async def test_a_charge_that_waits_no_more_keeps_its_first_result(
    scene: Scene, admission: Admission
) -> None:
    """The decision was lost: slot and share are free, and the finding is recorded as it was."""
    payment = scene.sent(1)
    await scene.settle(NotSent(payment, "no_link"))
    scene.aftermath.tried[0].decided(Lost("not_waiting"))
    assert scene.groups["backup"].window.in_flight == 0
    assert admission._by_network == {"vsim": 1, "backup": 0}
    await scene.settle()
    assert scene.results() == [(1, "not_sent")]


async def test_what_is_captured_later_never_goes_over_a_single_message(scene: Scene) -> None:
    """It would be captured at once; a sale may go either way."""
    later = scene.sent(1, network="msim", settlements=HELD)
    await scene.settle(NotSent(later, "no_link"), network="msim")
    assert scene.aftermath.tried == []


async def test_a_verification_is_tried_again_as_one(scene: Scene) -> None:
    """By a 0100, on a network that charges by 0200 too."""
    payment = scene.sent(1, settlements=VERIFIED)
    await scene.settle(Answered(payment, answer(payment, "91"), 0))
    assert scene.aftermath.tried[0].mti == "0100"
