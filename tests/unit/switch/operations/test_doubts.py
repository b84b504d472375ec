"""Doubts: asked about at their times, ended by whoever knows, reversed when their windows close."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace

from ledger.errors import RetryableError
from switch.core.doubt import SECOND_US
from switch.link.events import Answered
from tests.support.cold_path import PAN, Scene, answer_to, running
from tests.support.operations import AMOUNT, APPROVED, SILENCE, Book

APPROVED_62 = f"00A1B2C3{AMOUNT:012d}0"
DECLINED_62 = f"51      {0:012d}0"
REVERSED_62 = f"00A1B2C3{AMOUNT:012d}1"


@pytest.fixture
async def doubted(scene: Scene) -> Book:
    """A charge that was not answered."""
    return in_doubt(scene, Book())


def in_doubt(scene: Scene, book: Book) -> Book:
    """Charge, and hear nothing."""
    book.now_us = scene.now_us()
    attempt = book.charge(mti="0200")
    book.settle(attempt.attempt_id, SILENCE, rules=scene.operations.rules["msim"])
    assert book.view.status == "pending_verification"
    return scene.ledger.add(book)


async def pass_seconds(scene: Scene, seconds: float) -> None:
    """Let time pass, and everything due then happen."""
    await trio.sleep(seconds)
    await scene.settle_down()


async def test_an_inquiry_that_finds_the_approval_ends_the_doubt(
    scene: Scene, doubted: Book
) -> None:
    """IQ01: 0600 with the original's RRN and DE 90, its own numbers, a card by purpose."""
    original = doubted.view.attempts[0]
    await pass_seconds(scene, 0.9)
    assert scene.messages() == []
    await pass_seconds(scene, 0.4)
    sent = await scene.answer("00", de_62=APPROVED_62)
    assert (sent[0], sent[2], sent[37]) == ("0600", PAN, original.rrn)
    assert sent[11] != original.stan
    assert sent[90][:20] == f"0200{original.stan}{original.de7}"
    assert scene.vault.purposes == ["inquiry"]
    assert (doubted.view.status, doubted.view.verification) == ("succeeded", [])
    counts = scene.operations.counts
    assert (counts.inquiries_total, counts.inquiries_conclusive_total) == (1, 1)


async def test_an_inquiry_that_finds_a_decline_ends_the_doubt(scene: Scene, doubted: Book) -> None:
    """IQ02."""
    await pass_seconds(scene, 1.3)
    await scene.answer("00", de_62=DECLINED_62)
    assert doubted.view.status == "failed"
    assert doubted.transaction("charge").decline_code == "insufficient_funds"


async def test_an_inquiry_that_finds_it_reversed_ends_nothing(scene: Scene, doubted: Book) -> None:
    """Somebody has reversed it, perhaps not for good: the window closes, and a 0420 says so too."""
    await pass_seconds(scene, 1.3)
    await scene.answer("00", de_62=REVERSED_62)
    assert len(doubted.view.verification) == 1


async def test_silence_is_asked_about_three_times_and_then_reversed(
    scene: Scene, doubted: Book
) -> None:
    """IQ05, RV01: at 1, 3 and 8 seconds, then a 0420 at 30, sent in the round that wrote it."""
    asked_at: list[float] = []
    began = trio.current_time()
    for _ in range(3):
        while not scene.messages():
            await trio.sleep(0.05)
        asked_at.append(trio.current_time() - began)
        await scene.silence()
    assert asked_at == pytest.approx([1.1, 3.1, 8.1], abs=0.2)
    await pass_seconds(scene, 21)
    assert scene.messages() == []
    while not scene.messages():
        await trio.sleep(0.05)
    assert trio.current_time() - began == pytest.approx(30.1, abs=0.2)
    (reversal,) = scene.messages()
    assert reversal[0] == "0420"
    assert doubted.transaction("charge").status == "reversing"
    await scene.answer("00")
    assert (doubted.view.status, doubted.view.saf) == ("failed", [])
    counts = scene.operations.counts
    assert (counts.inquiries_total, counts.reversals_begun_total) == (3, 1)
    assert counts.inquiries_conclusive_total == 0


@pytest.mark.parametrize("code", ["25", "12"], ids=["not_found", "not_supported"])
async def test_an_inquiry_without_findings_ends_nothing(
    code: str, scene: Scene, doubted: Book
) -> None:
    """IQ03: it may be under way still; the next one asks again."""
    await pass_seconds(scene, 1.3)
    await scene.answer(code)
    assert len(doubted.view.verification) == 1
    await pass_seconds(scene, 2.1)
    assert [message[0] for message in scene.messages()] == ["0600"]


async def test_a_late_answer_ends_the_doubt_and_the_inquiry_changes_nothing(
    scene: Scene, doubted: Book
) -> None:
    """IQ06: whoever commits first; the inquiry that says the same is taken note of."""
    attempt = doubted.view.attempts[0]
    await pass_seconds(scene, 1.3)
    doubted.settle(attempt.attempt_id, APPROVED)
    version = doubted.view.version
    await scene.answer("00", de_62=APPROVED_62)
    assert (doubted.view.status, doubted.view.version) == ("succeeded", version)
    assert doubted.exceptions == []
    await pass_seconds(scene, 60)
    assert scene.messages() == []


async def test_while_a_network_is_down_nothing_is_asked_and_the_window_still_closes(
    scene: Scene, doubted: Book
) -> None:
    """The reversal waits in the queue for a link."""
    scene.groups["msim"].up_count = 0
    await pass_seconds(scene, 31)
    assert (scene.messages(), scene.operations.counts.inquiries_total) == ([], 0)
    assert doubted.transaction("charge").status == "reversing"
    assert doubted.view.saf[0].repeats == 0
    scene.groups["msim"].up_count = 1
    await pass_seconds(scene, 0.5)
    assert [message[0] for message in scene.messages()] == ["0420"]


async def test_an_inquiry_that_is_not_answered_by_the_hsm_is_left_for_the_next_round(
    scene: Scene, doubted: Book
) -> None:
    """Nothing is recorded, no number is used up, no inquiry is missed."""
    scene.vault.connected = False
    await pass_seconds(scene, 1.5)
    assert [a.kind for a in doubted.view.attempts] == ["request"]
    scene.vault.connected = True
    await pass_seconds(scene, 0.3)
    assert [message[0] for message in scene.messages()] == ["0600"]


async def test_a_doubt_that_is_being_decided_is_not_asked_about_twice(
    scene: Scene, doubted: Book
) -> None:
    """Its row is due as long as somebody sits on the intent."""
    scene.ledger.held = {doubted.view.intent_id}
    await pass_seconds(scene, 2.6)
    scene.ledger.held = set()
    await pass_seconds(scene, 0.2)
    assert [message[0] for message in scene.messages()] == ["0600"]
    assert doubted.view.verification[0].inquiries == 1
    assert scene.groups["msim"].window.in_flight == 1


async def test_a_doubt_that_ends_while_it_is_equipped_is_not_asked_about(
    scene: Scene, doubted: Book
) -> None:
    """The decision finds it gone; the slot goes back."""
    scene.ledger.held = {doubted.view.intent_id}
    await pass_seconds(scene, 1.4)
    doubted.settle(doubted.view.attempts[0].attempt_id, APPROVED)
    scene.ledger.held = set()
    await pass_seconds(scene, 0.2)
    assert (scene.messages(), scene.groups["msim"].window.in_flight) == ([], 0)
    counts = scene.operations.counts
    assert (counts.inquiries_total, counts.errors_total) == (0, 0)


async def test_a_doubt_that_ends_while_it_is_reversed_is_left_alone(
    scene: Scene, doubted: Book
) -> None:
    """The decision finds it gone: no reversal has begun, and none is counted."""
    scene.groups["msim"].up_count = 0
    await pass_seconds(scene, 29.0)
    scene.ledger.held = {doubted.view.intent_id}
    await pass_seconds(scene, 2.0)
    doubted.settle(doubted.view.attempts[0].attempt_id, APPROVED)
    scene.ledger.held = set()
    await pass_seconds(scene, 0.2)
    assert (doubted.view.status, doubted.view.saf) == ("succeeded", [])
    counts = scene.operations.counts
    assert (counts.reversals_begun_total, counts.errors_total) == (0, 0)


async def test_what_could_not_be_decided_about_a_doubt_is_tried_again(
    scene: Scene, doubted: Book
) -> None:
    """Its inquiry and its reversal alike: it is still due."""
    scene.ledger.at_fault = {doubted.view.intent_id}
    await pass_seconds(scene, 1.3)
    assert (scene.messages(), scene.groups["msim"].window.in_flight) == ([], 0)
    scene.ledger.at_fault = set()
    await pass_seconds(scene, 0.3)
    assert [message[0] for message in scene.messages()] == ["0600"]
    await scene.silence()
    scene.ledger.at_fault = {doubted.view.intent_id}
    await pass_seconds(scene, 30.0)
    assert doubted.view.status == "pending_verification"
    scene.ledger.at_fault = set()
    await pass_seconds(scene, 0.3)
    assert [message[0] for message in scene.messages()] == ["0420"]
    counts = scene.operations.counts
    assert (counts.reversals_begun_total, counts.errors_total) == (1, 0)


async def test_no_more_questions_are_asked_than_the_settings_say(
    scene: Scene, doubted: Book
) -> None:
    """Fewer, perhaps, than when the doubt began: what is due then waits for its window to close."""
    [row] = doubted.view.verification
    doubted.view = replace(doubted.view, verification=[replace(row, inquiries=3)])
    await pass_seconds(scene, 29.0)
    assert scene.messages() == []
    await pass_seconds(scene, 1.3)
    assert [message[0] for message in scene.messages()] == ["0420"]


async def test_doubts_of_a_network_that_is_down_hide_none_of_another() -> None:
    """However many are due there: what a round takes is looked for among the others."""
    async with running() as scene:
        limit = scene.operations._settings.switch.queue_batch_max
        scene.groups["vsim"].up_count = 0
        for number in range(limit):
            lonely = in_doubt(scene, Book(intent_id=number.to_bytes(16)))
            rows = [replace(row, network="vsim") for row in lonely.view.verification]
            lonely.view = replace(lonely.view, verification=rows)
        await trio.sleep(0.01)
        in_doubt(scene, Book(intent_id=b"l" * 16))
        await pass_seconds(scene, 1.3)
        assert [message[0] for message in scene.messages()] == ["0600"]


async def test_without_numbers_a_doubt_stays_due(scene: Scene, doubted: Book) -> None:
    """Neither inquiry nor reversal; and nothing is held meanwhile."""
    stans = scene.carriers["msim"].stans
    stans.forget_expired(10**11)
    await pass_seconds(scene, 31)
    assert [a.kind for a in doubted.view.attempts] == ["request"]
    assert scene.groups["msim"].window.in_flight == 0


async def test_no_more_is_asked_than_the_share_of_the_window_takes() -> None:
    """Live traffic goes first."""
    async with running(saf_window_share=0.25) as scene:
        for number in range(12):
            in_doubt(scene, Book(intent_id=number.to_bytes(16)))
        await pass_seconds(scene, 1.3)
        assert len(scene.messages()) == 8
        for _ in range(8):
            await scene.answer("00", de_62=APPROVED_62)
        await pass_seconds(scene, 0.3)
        assert len(scene.messages()) == 4


async def test_under_the_policy_reverse_nothing_is_asked() -> None:
    """The window closes when it opens."""
    async with running(unknown_policy="reverse") as scene:
        doubted = in_doubt(scene, Book())
        await pass_seconds(scene, 0.3)
        assert [message[0] for message in scene.messages()] == ["0420"]
        assert scene.operations.counts.inquiries_total == 0
        assert len(doubted.view.saf) == 1


async def test_doubts_of_a_network_that_is_gone_disturb_nobody(scene: Scene) -> None:
    """Somebody has taken it out of the settings too early; the others are looked after."""
    lonely = in_doubt(scene, Book(intent_id=b"?" * 16))
    [row] = lonely.view.verification
    past = replace(row, network="gone", due_at_us=1, window_ends_at_us=1)
    lonely.view = replace(lonely.view, verification=[past])
    in_doubt(scene, Book())
    await pass_seconds(scene, 1.3)
    assert [message[0] for message in scene.messages()] == ["0600"]


async def test_an_inquiry_answered_in_a_wrong_shape_ends_nothing(
    scene: Scene, doubted: Book
) -> None:
    """An answer that is not an echo of the inquiry, or whose DE 62 nobody can read."""
    await pass_seconds(scene, 1.3)
    sent, token = scene.take()
    scene.operations.on_event(Answered(token, answer_to(sent, "00", de_62="?"), 0))
    await scene.settle_down()
    assert len(doubted.view.verification) == 1


@pytest.mark.parametrize("step_s", [3_600, -3_600])
async def test_a_step_of_the_wall_clock_moves_no_inquiry(
    scene: Scene, doubted: Book, step_s: int
) -> None:
    """Asked after one second, three and eight, and reversed after thirty, neither later nor now."""
    scene.wall.step_us = step_s * SECOND_US
    for seconds in (1.3, 2.0, 5.0):
        await pass_seconds(scene, seconds)
        await scene.answer("25")
    await pass_seconds(scene, 21.0)
    assert (scene.messages(), doubted.view.status) == ([], "pending_verification")
    await pass_seconds(scene, 1.3)
    assert [message[0] for message in scene.messages()] == ["0420"]


@pytest.mark.parametrize("step_s", [3_600, -3_600])
async def test_a_doubt_that_begins_after_a_step_is_asked_about_in_time(
    scene: Scene, paid: Book, step_s: int
) -> None:
    """What is written then goes by the clock that it is read by."""
    scene.wall.step_us = step_s * SECOND_US
    scene.order(paid, "refund")
    await scene.settle_down()
    await scene.silence()
    await pass_seconds(scene, 1.3)
    assert [message[0] for message in scene.messages()] == ["0600"]


async def test_what_an_earlier_clock_has_written_is_mended_once(scene: Scene) -> None:
    """As soon as the queues are taken up, by the clock that they come due by, per network."""
    assert {reach.network for reach in scene.ledger.reaches} == set(scene.carriers)
    for reach in scene.ledger.reaches:
        assert reach.doubts_us == reach.now_us + 30 * SECOND_US
        assert (reach.questions, reach.advices_us[0]) == (3, reach.now_us)
    await pass_seconds(scene, 5.0)
    assert len(scene.ledger.reaches) == len(scene.carriers)


async def test_queues_are_taken_up_when_the_ledger_is_back() -> None:
    """They are mended when it can be asked again."""
    async with running(ledger_error=RetryableError("busy", sqlstate="57014")) as scene:
        assert scene.ledger.reaches == []
        scene.ledger.error = None
        await pass_seconds(scene, 0.3)
        assert len(scene.ledger.reaches) == len(scene.carriers)
