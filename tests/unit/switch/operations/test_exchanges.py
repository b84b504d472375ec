"""Messages that are no charges: whatever happens to one ends in one finding, and blocks nobody."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from switch.iso8583.errors import EncodeError, Reason
from switch.link.events import Answered, NotSent
from tests.support.cold_path import Scene, answer_to
from tests.support.operations import Book, authorized


async def test_cards_stay_in_no_memory(scene: Scene, paid: Book) -> None:
    """What is kept for the echo check has no card in it, and repr has neither."""
    scene.order(paid, "refund", 300)
    await scene.settle_down()
    _, frame, exchange = scene.groups["msim"].sent[0]
    assert not {2, 14} & set(exchange.fields)
    assert exchange.frame == frame
    assert "4242" not in repr(exchange)
    scene.take()
    scene.operations.on_event(NotSent(exchange, "link_lost"))
    await scene.settle_down()
    await scene.answer("00")
    assert exchange.frame == b""


async def test_a_message_that_nobody_can_encode_was_not_sent(
    scene: Scene, paid: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refund has failed, and what it reserved is free again."""
    monkeypatch.setattr(type(scene.carriers["msim"]), "encode", fail)
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    assert scene.status(number) == "failed"
    assert paid.view.refund_pending_minor == 0
    assert scene.groups["msim"].window.in_flight == 0
    assert scene.operations.counts.errors_total == 1


async def captured_by_a_switch_that_died(scene: Scene) -> Book:
    """A capture that stands in the ledger and in the queue, and of which nothing more is known."""
    book = authorized(intent_id=b"q" * 16)
    book.now_us = scene.now_us()
    book.admit("capture")
    await trio.sleep(10)  # until it is due
    scene.ledger.add(book)
    scene.operations.wake()
    await scene.settle_down()
    return book


@pytest.mark.parametrize(
    ("error", "put_aside"),
    [(EncodeError(43, 0, Reason.TOO_LONG), True), (ValueError("a fault of ours"), False)],
    ids=["codec", "fault"],
)
async def test_an_advice_goes_to_an_operator_only_where_no_repeat_can_fare_better(
    error: Exception, put_aside: Any, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message itself is at fault; of anything else the next release may know better."""

    def refuse(*_args: Any) -> bytes:
        raise error

    monkeypatch.setattr(type(scene.carriers["msim"]), "encode", refuse)
    book = await captured_by_a_switch_that_died(scene)
    [row] = book.view.saf
    assert (row.manual, scene.operations.counts.advices_rejected_total) == (put_aside, put_aside)
    assert scene.groups["msim"].window.in_flight == 0


async def test_a_request_that_nobody_can_encode_has_failed_whatever_the_reason(
    scene: Scene, paid: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in no queue: nothing was sent, and there is nothing to put aside."""

    def refuse(*_args: Any) -> bytes:
        raise EncodeError(43, 0, Reason.TOO_LONG)

    monkeypatch.setattr(type(scene.carriers["msim"]), "encode", refuse)
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    assert (scene.status(number), paid.view.refund_pending_minor) == ("failed", 0)


async def test_silence_about_a_request_in_the_queue_is_told(scene: Scene) -> None:
    """Its switch died before it could say so; about a repeat of it there is nothing more to say."""
    book = await captured_by_a_switch_that_died(scene)
    sent, _ = await scene.silence()
    assert (sent[0], book.transaction("capture").status) == ("0221", "pending_verification")
    batches = len(scene.ledger.batches)
    await trio.sleep(60)
    sent, _ = await scene.silence()
    assert (sent[0], len(book.view.saf)) == ("0221", 1)
    assert len(scene.ledger.batches) == batches + 1


async def test_silence_about_an_advice_of_ours_needs_no_decision(scene: Scene, held: Book) -> None:
    """Its row in the queue says when the rest of the hold is released again."""
    scene.order(held, "capture", 400)
    await scene.settle_down()
    await scene.answer("00")
    batches = len(scene.ledger.batches)
    sent, _ = await scene.silence()
    assert (sent[0], len(scene.ledger.batches)) == ("0420", batches)
    assert len(held.view.saf) == 1


async def test_an_inquiry_without_an_answer_is_told(scene: Scene, paid: Book) -> None:
    """It stands in no queue, and recovery would find it open for ever."""
    scene.order(paid, "refund", 300)
    await scene.settle_down()
    await scene.silence()
    await trio.sleep(1.3)
    sent, _ = await scene.silence()
    assert (sent[0], paid.last("inquiry").result) == ("0600", "unknown")


async def test_an_answer_in_progress_is_waited_for_without_a_word(scene: Scene, paid: Book) -> None:
    """Nobody is told of a doubt, and the message is still in flight."""
    scene.order(paid, "refund", 300)
    await scene.settle_down()
    sent, token = scene.take()
    scene.operations.on_event(Answered(token, answer_to(sent, "09"), 0))
    await scene.settle_down()
    assert (scene.peer.replies, scene.groups["msim"].doubted) == ({}, [])
    assert scene.operations.exchanges.in_flight("msim") == 1


@pytest.mark.parametrize(
    ("code", "changes"),
    [("09", {"de_4": f"{1:012d}"}), ("68", {})],
    ids=["of another payment", "undecided"],
)
async def test_an_answer_that_decides_nothing_is_not_waited_for(
    code: str, changes: dict[str, str], scene: Scene, paid: Book
) -> None:
    """Only one that says that it is in progress, about this very message."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    await scene.answer(code, **changes)
    assert scene.status(number) == "pending_verification"
    assert scene.groups["msim"].kept_waiting == []


async def test_a_cancel_in_progress_is_repeated_and_not_waited_for(
    scene: Scene, held: Book
) -> None:
    """It goes into the queue, as if nothing had been answered."""
    scene.order(held, "cancel")
    await scene.settle_down()
    await scene.answer("09")
    assert scene.groups["msim"].kept_waiting == []
    assert [message[0] for message in scene.messages()] == ["0420"]


async def test_a_message_keeps_the_age_of_its_order(scene: Scene, paid: Book) -> None:
    """However long the look took: no frame enters the wire too late, on another link either."""
    accepted_at = trio.current_time()
    scene.ledger.held = {paid.view.intent_id}
    scene.order(paid, "refund", 300)
    await trio.sleep(0.5)
    scene.ledger.held = set()
    await trio.sleep(0.1)
    [(_, _, exchange)] = scene.groups["msim"].sent
    assert exchange.accepted_at == accepted_at
    await scene.not_sent("link_lost")
    assert scene.groups["msim"].accepted_at == [accepted_at] * 2


async def test_a_message_that_the_links_choke_on_is_in_doubt(
    scene: Scene, paid: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows how far it came."""
    monkeypatch.setattr(scene.groups["msim"], "send", fail)
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    assert scene.status(number) == "pending_verification"
    assert scene.operations.counts.errors_total == 1


async def test_an_answer_that_nobody_can_judge_is_in_doubt(
    scene: Scene, paid: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours is never a decline."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    monkeypatch.setattr("switch.core.operations.answers.judge_request", fail)
    await scene.answer("00")
    assert scene.status(number) == "pending_verification"
    assert len(scene.groups["msim"].doubted) == 1
    assert scene.operations.counts.errors_total == 1


async def test_without_another_link_a_message_that_did_not_leave_has_failed(
    scene: Scene, paid: Book
) -> None:
    """There is nothing to move it to."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    scene.groups["msim"].window.size = 0
    await scene.not_sent("link_lost")
    assert scene.status(number) == "failed"


async def test_a_late_answer_in_doubt_decides_nothing(scene: Scene, paid: Book) -> None:
    """The links listen on."""
    scene.order(paid, "refund", 300)
    await scene.settle_down()
    sent, token = await scene.silence()
    await scene.late(token, sent, "00", de_4=f"{1:012d}")
    assert paid.view.refund_pending_minor == 300
    assert len(scene.groups["msim"].doubted) == 1


async def test_quiet_is_waited_for(scene: Scene, paid: Book, nursery: trio.Nursery) -> None:
    """Until the last message in flight is answered or given up."""
    quiet = trio.Event()

    async def wait() -> None:
        await scene.operations.exchanges.wait_quiet()
        quiet.set()

    scene.order(paid, "refund", 300)
    await scene.settle_down()
    nursery.start_soon(wait)
    await scene.settle_down()
    assert (scene.operations.exchanges.in_flight("msim"), quiet.is_set()) == (1, False)
    await scene.silence()
    assert (scene.operations.exchanges.in_flight("msim"), quiet.is_set()) == (0, True)


def fail(*_args: Any, **_kwargs: Any) -> Any:
    """Break."""
    raise ValueError("a fault of ours")
