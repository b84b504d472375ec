"""What the links tell: recorded, taken back, tried again, handed over, or told of."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from ledger.records import Lost
from switch.core.findings import not_sent
from switch.core.operations.records import Conclusion
from switch.link.events import (
    Answered,
    Duplicate,
    Elsewhere,
    Late,
    NotSent,
    Unknown,
    Unmatched,
)
from switch.pipeline.orphans import ORPHANS_MAX, Orphan
from switch.pipeline.payment import PipelineCounts
from switch.wire import Refused
from tests.support.hearing import KEY, Scene, answer
from tests.support.pipeline import PAN, transaction_row


async def test_the_card_goes_with_the_event_and_not_with_the_commit(scene: Scene) -> None:
    """Answered, unknown and unsent alike: before anything is durable the card is gone."""
    payments = [scene.sent(number) for number in range(4)]
    payments[2].retried = True
    scene.hear(
        Answered(payments[0], answer(payments[0]), 0),
        Unknown(payments[1], "timeout"),
        NotSent(payments[2], "too_old"),
    )
    scene.hearing.settle(payments[3], not_sent("encode_failed"))
    assert [payment.card for payment in payments] == [None] * 4
    assert scene.committer.batches == []


async def test_an_answer_with_another_card_s_number_is_in_doubt(scene: Scene) -> None:
    """While the card is in memory the echoed PAN counts."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, de_2="4000000000000002"), 0))
    assert scene.results() == [(1, "unknown")]


@pytest.mark.parametrize("late", [False, True])
async def test_an_answer_that_decides_nothing_is_given_back_to_the_links(
    late: bool,  # noqa: FBT001
    scene: Scene,
) -> None:
    """They listen on: the good answer behind a bad one is still told of, and handed over."""
    payment = scene.sent(1)
    bad = answer(payment, de_42="SOMEBODY ELSE  ")
    if late:
        await scene.settle(Unknown(payment, "timeout"), Late(payment, KEY, bad, 1))
    else:
        await scene.settle(Answered(payment, bad, 0))
    assert scene.groups["vsim"].doubted == [(bad, payment)]
    await scene.settle(Late(payment, KEY, answer(payment), 1))
    assert scene.results() == [(1, "unknown")]
    assert [told.finding.result for told in scene.aftermath.told] == ["approved"]
    assert len(scene.groups["vsim"].doubted) == 1


async def test_an_answer_by_another_link_is_told_of_and_settles_nothing(scene: Scene) -> None:
    """Where the dialect does not allow it, the message waits on."""
    payment = scene.sent(1)
    with capture_logs() as lines:
        await scene.settle(Elsewhere(KEY, answer(payment), 1, 0))
    assert scene.results() == []
    assert payment.card is not None
    (line,) = lines
    assert (line["event"], line["link"], line["sent_on"]) == ("answer_on_another_link", 1, 0)


async def test_an_answer_in_progress_starts_the_time_over_once(
    scene: Scene, counts: PipelineCounts
) -> None:
    """AU20: 09 then 00 is one outcome; 09 twice is doubt."""
    payment, slow = scene.sent(1), scene.sent(2)
    waiting = answer(payment, "09")
    await scene.settle(Answered(payment, waiting, 0))
    assert (scene.groups["vsim"].kept_waiting, scene.results()) == ([(waiting, payment)], [])
    assert (counts.waited_total, payment.card is None) == (1, False)
    await scene.settle(Answered(payment, answer(payment), 0))
    await scene.settle(Answered(slow, answer(slow, "09"), 0))
    await scene.settle(Answered(slow, answer(slow, "09"), 0))
    assert scene.results() == [(1, "approved"), (2, "unknown")]


# ------------------------------------------------------------------------------------- sent again


@pytest.mark.parametrize(
    ("reason", "goes_again"),
    [
        ("link_lost", True),
        ("signed_off", True),
        ("no_link", True),
        ("outbox_full", True),
        ("too_old", False),
        ("frame_too_large", False),
        ("duplicate_key", False),
    ],
)
async def test_an_unsent_message_goes_to_another_link_where_that_may_help(
    reason: str,
    goes_again: bool,  # noqa: FBT001
    scene: Scene,
) -> None:
    """What is too old, too large or has a known key would be refused by every link."""
    scene.can_resend = True
    payment = scene.sent(1)
    payment.retried = True
    await scene.settle(NotSent(payment, reason))
    if goes_again:
        assert (scene.resent, scene.results()) == ([payment], [])
        assert payment.card is not None
    else:
        assert (scene.resent, scene.results()) == ([], [(1, "not_sent")])


async def test_an_unsent_message_that_nobody_takes_has_failed(
    scene: Scene, counts: PipelineCounts
) -> None:
    """No byte has left: that is a known outcome, and the merchant may try again."""
    scene.groups["backup"].window.size = 0
    payment = scene.sent(1)
    await scene.settle(NotSent(payment, "link_lost"))
    assert scene.resent == [payment]
    told = scene.peer.replies[1].transaction
    assert (told.status, told.decline_code) == ("failed", "network_unavailable")
    assert counts.not_sent_total == 1


# ------------------------------------------------------------------------------------- handed over


async def test_a_partial_approval_that_nobody_wants_is_taken_back(
    scene: Scene, counts: PipelineCounts
) -> None:
    """AU14: decided under the intent's lock; the merchant hears what that came to."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, "10", de_4="000000000600"), 0))
    assert (scene.results(), payment.card, scene.peer.replies) == ([], None, {})
    (told,) = scene.aftermath.told
    assert (told.finding.result, told.finding.approved_minor) == ("partial", 600)
    assert (told.attempt_id, told.actor) == (b"A" * 15 + b"\x01", "network:vsim")
    told.concluded(Conclusion(transaction_row(1, "reversing"), moved=True))
    assert scene.statuses == {1: "reversing"}
    assert counts.taken_back_total == 1


async def test_a_decision_at_fault_is_told_as_an_error_of_ours(scene: Scene) -> None:
    """What is recorded is found by the repeat."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, "10", de_4="000000000600"), 0))
    scene.aftermath.told[0].concluded(Lost("internal_error"))
    assert scene.peer.replies == {1: Refused("internal_error")}


@pytest.mark.parametrize("code", ["00", "51"])
async def test_a_late_answer_is_handed_over(
    code: str, scene: Scene, counts: PipelineCounts
) -> None:
    """What it does depends on what happened since; the merchant has been answered long ago."""
    payment = scene.sent(1)
    await scene.settle(Unknown(payment, "timeout"), Late(payment, KEY, answer(payment, code), 1))
    assert scene.results() == [(1, "unknown")]
    (told,) = scene.aftermath.told
    assert (told.finding.response_code, told.second) == (code, False)
    told.concluded(Conclusion(transaction_row(1), moved=True))
    assert scene.statuses == {1: "pending_verification"}
    assert (counts.late_adopted_total, counts.approved_total) == (1, 0)


@pytest.mark.parametrize("changes", [{"code": "09"}, {"de_4": "000000002498"}, {"code": "68"}])
async def test_a_late_answer_that_decides_nothing_changes_nothing(
    changes: dict[str, str], scene: Scene, counts: PipelineCounts
) -> None:
    """In progress, a wrong amount, or in doubt itself: the payment stays pending."""
    payment = scene.sent(1)
    await scene.settle(Unknown(payment, "timeout"))
    with capture_logs() as lines:
        await scene.settle(Late(payment, KEY, answer(payment, **changes), 1))
    assert (scene.results(), scene.aftermath.told) == ([(1, "unknown")], [])
    assert counts.late_undecided_total == 1
    assert [line["event"] for line in lines] == ["answer_in_doubt"]


async def test_events_about_other_messages_are_not_the_pipeline_s(scene: Scene) -> None:
    """Whatever is no payment and no completion goes to what follows charges."""
    events: list[Any] = [
        Answered("exchange", {}, 0),
        Late("exchange", KEY, {}, 0),
        Unknown("exchange", "timeout"),
        NotSent("exchange", "no_link"),
    ]
    await scene.settle(*events)
    assert (scene.aftermath.events, scene.results()) == (events, [])


# ------------------------------------------------------------------------------------------ told of


@pytest.mark.parametrize("broken", ["fields", "request"])
async def test_a_fault_in_judging_leaves_that_payment_in_doubt(
    broken: str, scene: Scene, counts: PipelineCounts
) -> None:
    """`on_events` never raises: the faulty one is unknown, the next one approved."""
    first, second = scene.sent(1), scene.sent(2)
    fields: Any = answer(first)
    if broken == "fields":
        fields[38] = None
    else:
        first.request = None
    await scene.settle(Answered(first, fields, 0), Answered(second, answer(second), 0))
    assert scene.results() == [(1, "unknown"), (2, "approved")]
    assert counts.errors_total == (1 if broken == "fields" else 0)


@pytest.mark.parametrize(
    ("code", "events"),
    [
        ("00", []),
        ("05", []),
        ("51", []),
        ("30", ["alarming_response_code"]),
        ("58", ["alarming_response_code"]),
        ("ZZ", ["alarming_response_code"]),
        ("94", ["answer_in_doubt"]),
        ("09", ["answer_in_doubt"]),
    ],
)
async def test_answers_that_a_person_should_see_are_told_of(
    code: str, events: list[str], scene: Scene, counts: PipelineCounts
) -> None:
    """A network that blames us, says what nobody knows, or decides nothing."""
    payment = scene.sent(1)
    with capture_logs() as lines:
        await scene.settle(Answered(payment, answer(payment, code), 0))
    assert [line["event"] for line in lines] == events
    assert counts.alarming_codes_total == events.count("alarming_response_code")
    assert all((line["code"], line["log_level"]) for line in lines)


@pytest.mark.parametrize(("code", "differs"), [("00", False), ("05", True), ("", True)])
async def test_a_second_answer_is_looked_into_only_where_it_differs(
    code: str,
    differs: bool,  # noqa: FBT001
    scene: Scene,
    counts: PipelineCounts,
) -> None:
    """The first stands either way; the ledger knows what it was."""
    payment = scene.sent(1)
    fields = answer(payment, code)
    if not code:
        del fields[39]
    with capture_logs() as lines:
        await scene.settle(Duplicate(KEY, fields, "00", 0))
    assert [line["event"] for line in lines] == ["second_answer_differs"] * differs
    assert counts.contradictions_total == differs
    assert scene.committer.batches == []
    assert PAN not in repr(lines)
    if differs:
        assert await scene.orphans.take(1) == [Orphan("vsim", KEY, fields, second=True)]
    assert len(scene.orphans) == 0


@pytest.mark.parametrize(
    ("mti", "looked_up"),
    [("0210", True), ("0430", True), ("0200", False), ("0420", False), ("0800", False)],
)
async def test_only_responses_that_match_nothing_are_looked_up(
    mti: str,
    looked_up: bool,  # noqa: FBT001
    scene: Scene,
    counts: PipelineCounts,
) -> None:
    """A request, our own sent back for instance, answers nothing; it is counted."""
    fields = answer(scene.sent(1)) | {0: mti}
    await scene.settle(Unmatched(KEY, fields, 0))
    assert counts.unmatched_total == 1
    assert len(scene.orphans) == looked_up
    if looked_up:
        assert await scene.orphans.take(1) == [Orphan("vsim", KEY, fields)]


async def test_a_flood_of_unmatched_answers_is_counted_beyond_what_may_wait(
    scene: Scene, counts: PipelineCounts
) -> None:
    """The inbox is never overfilled, which would end the link that delivers."""
    fields = answer(scene.sent(1))
    await scene.settle(*[Unmatched(KEY, fields, 0)] * (ORPHANS_MAX + 3))
    assert len(scene.orphans) == ORPHANS_MAX
    assert (counts.unmatched_total, counts.orphans_dropped_total) == (ORPHANS_MAX + 3, 3)
