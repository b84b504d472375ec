"""The cold path as a whole: a ledger that is away, faults, draining."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from chassis.settings import Switch
from ledger.errors import ConnectionLostError, DatabaseError
from tests.support.cold_path import Scene, make_scene
from tests.support.operations import NOT_SENT, SILENCE, Book, authorized, charged


def left_behind(scene: Scene) -> Book:
    """A 0420 in a queue."""
    book = authorized(intent_id=b"l" * 16)
    book.now_us = scene.now_us()
    book.settle(book.admit("cancel").letter.attempt_id, SILENCE)
    return scene.ledger.add(book)


async def test_a_ledger_that_is_away_is_asked_again(scene: Scene) -> None:
    """Queues wait; nothing ends."""
    scene.ledger.error = ConnectionLostError("gone")
    left_behind(scene)
    await trio.sleep(5)
    assert scene.messages() == []
    scene.ledger.error = None
    await trio.sleep(0.5)
    assert len(scene.messages()) == 1


async def test_a_fault_of_ours_ends_the_process(jumping_now: Any) -> None:
    """Such as a missing privilege: hiding it would stop every reversal in silence."""
    scene = make_scene(jumping_now)
    scene.ledger.error = DatabaseError("denied", sqlstate="42501")
    with pytest.raises(BaseExceptionGroup) as raised:
        await scene.operations.run()
    assert raised.group_contains(DatabaseError)


async def test_a_lost_lease_of_its_own_is_told_like_any_other(jumping_now: Any) -> None:
    """The keeper ends the process."""
    scene = make_scene(jumping_now)
    scene.ledger.lost = True
    book = scene.ledger.add(Book())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.operations.run)
        scene.order(book, "cancel")
        await scene.settle_down()
        assert [each.switch for each in scene.let_go] == ["switch-0"]
        nursery.cancel_scope.cancel()


async def test_draining_finishes_what_is_under_way(jumping_now: Any) -> None:
    """Orders are answered, answers are decided, queues rest; then `run` returns."""
    scene = make_scene(jumping_now)
    paid = scene.ledger.add(charged())
    done = trio.Event()

    async def run() -> None:
        await scene.operations.run()
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        number = scene.order(paid, "refund", 300)
        await scene.settle_down()
        scene.operations.close()
        scene.operations.close()
        left_behind(scene)
        await trio.sleep(2)
        scene.operations.finish()
        await trio.sleep(2)
        assert ([message[0] for message in scene.messages()], done.is_set()) == (["0200"], False)
        await scene.answer("00")
        await done.wait()
    assert scene.status(number) == "succeeded"
    assert scene.operations.desk.undecided == 0


async def test_draining_waits_for_the_message_of_the_last_decision(jumping_now: Any) -> None:
    """What was still being decided when nothing else was left may send, and is answered too."""
    scene = make_scene(jumping_now)
    paid = scene.ledger.add(charged())
    scene.ledger.held.add(paid.view.intent_id)
    done = trio.Event()

    async def run() -> None:
        await scene.operations.run()
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        number = scene.order(paid, "refund", 300)
        await scene.settle_down()
        scene.operations.close()
        scene.operations.finish()
        await scene.settle_down()
        assert (scene.messages(), done.is_set()) == ([], False)
        scene.ledger.held.clear()
        await trio.sleep(2)
        assert ([message[0] for message in scene.messages()], done.is_set()) == (["0200"], False)
        await scene.answer("00")
        await done.wait()
    assert scene.status(number) == "succeeded"


async def test_a_switch_without_links_ends_at_once(jumping_now: Any) -> None:
    """There is nothing to wait for."""
    scene = make_scene(jumping_now)
    scene.operations.close()
    scene.operations.finish()
    with trio.fail_after(1):
        await scene.operations.run()


async def test_the_sweeper_leaves_room_for_orders(scene: Scene) -> None:
    """It names the rest again."""
    scene.operations._settings = replace(
        scene.operations._settings, switch=Switch(credits_max=2, merchant_credits_max=2)
    )
    books = [scene.ledger.add(authorized(intent_id=bytes([n]) * 16)) for n in range(4)]
    await scene.operations.expire([book.view.intent_id for book in books])
    await scene.settle_down()
    assert len(scene.messages()) == 2


async def test_sweeping_while_the_ledger_is_away_fails(scene: Scene) -> None:
    """The sweeper tries again."""
    scene.ledger.error = ConnectionLostError("gone")
    with pytest.raises(ConnectionLostError):
        await scene.operations.expire([b"i" * 16])


async def test_retries_are_decided_here_too(scene: Scene) -> None:
    """An attempt that moved nothing is replaced by another one."""
    book = scene.ledger.add(Book())
    attempt = book.charge(mti="0200")
    heard: list[Any] = []
    spare = scene.operations.spare("vsim")
    scene.operations.try_again(
        book.view.intent_id, attempt.attempt_id, "0200", NOT_SENT, spare, heard.append
    )
    assert scene.operations.lowest_attempt() == spare.attempt_id
    await scene.settle_down()
    assert [type(answer).__name__ for answer in heard] == ["Again"]
    assert [a.network for a in book.view.attempts] == ["msim", "vsim"]
    assert scene.operations.lowest_attempt() is None


async def test_findings_of_charges_are_decided_in_this_switch_s_name(scene: Scene) -> None:
    """Those of the pipeline that the hot statements do not cover."""
    book = scene.ledger.add(Book())
    attempt = book.charge(mti="0200")
    heard: list[Any] = []
    scene.operations.tell(
        book.view.intent_id, attempt.attempt_id, "msim", SILENCE, "switch", heard.append
    )
    await scene.settle_down()
    assert heard[0].transaction.status == "pending_verification"
