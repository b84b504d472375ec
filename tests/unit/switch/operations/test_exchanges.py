"""Messages that are no charges: whatever happens to one ends in one finding, and blocks nobody."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from switch.link.events import NotSent
from tests.support.cold_path import Scene
from tests.support.operations import Book


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
    monkeypatch.setattr("switch.operations.exchanges.judge_request", fail)
    await scene.answer("00")
    assert scene.status(number) == "pending_verification"
    assert len(scene.groups["msim"].doubted) == 1


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
