"""The cold path as a whole: queues of other switches, losing them, draining."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from chassis.settings import Switch
from ledger.errors import ConnectionLostError, DatabaseError
from ledger.ids import UUID7Source
from tests.support.cold_path import Lease, Scene, make_scene
from tests.support.operations import NOT_SENT, SECOND_US, SILENCE, Book, authorized, charged
from tests.support.pipeline import NOW_US


def responsibility(switch: str = "switch-1") -> Any:
    """For the queues of a switch."""
    return Lease(switch, 4, UUID7Source(lambda: NOW_US, bytes))


def left_behind(scene: Scene) -> Book:
    """A 0420 in a queue."""
    book = authorized(intent_id=b"l" * 16)
    book.now_us = scene.now_us()
    book.settle(book.admit("cancel").letter.attempt_id, SILENCE)
    return scene.ledger.add(book)


async def test_queues_of_a_switch_that_died_are_worked_off(scene: Scene) -> None:
    """From when it is gained until it is lost, in its name."""
    scene.ledger.owner = "switch-1"
    book = left_behind(scene)
    await trio.sleep(1)
    assert scene.messages() == []
    scene.operations.on_gained(responsibility())
    await trio.sleep(1)
    assert [message[0] for message in scene.messages()] == ["0420"]
    assert [desk.owner for desk in scene.operations.desks] == ["switch-0", "switch-1"]
    await scene.answer("91")
    scene.operations.on_lost(responsibility())
    await trio.sleep(20)
    assert (scene.messages(), len(book.view.saf)) == ([], 1)
    assert [desk.owner for desk in scene.operations.desks] == ["switch-0"]


async def test_its_own_queues_are_gained_and_lost_by_nobody_else(scene: Scene) -> None:
    """The keeper tells of every responsibility; this one ends with the process."""
    own = responsibility("switch-0")
    scene.operations.on_gained(own)
    scene.operations.on_lost(own)
    left_behind(scene)
    await trio.sleep(1)
    assert [message[0] for message in scene.messages()] == ["0420"]


async def test_a_commit_that_finds_a_responsibility_lost_gives_it_up(scene: Scene) -> None:
    """Its owner is back; the keeper is told, and this switch goes on."""
    scene.ledger.owner = "switch-1"
    scene.operations.on_gained(responsibility())
    book = left_behind(scene)
    await trio.sleep(1)
    scene.ledger.lost = True
    await scene.answer("00")
    assert [each.switch for each in scene.let_go] == ["switch-1"]
    scene.ledger.lost = False
    scene.operations.on_lost(responsibility())
    other = scene.ledger.add(charged(intent_id=b"o" * 16))
    number = scene.order(other, "refund", 100)
    await scene.settle_down()
    await scene.answer("00")
    assert scene.status(number) == "succeeded"
    assert len(book.view.saf) == 1


async def test_queues_that_are_handed_back_leave_no_slot_taken(scene: Scene) -> None:
    """One inquiry waits for a lock when the owner is back; its slot is for others again."""
    scene.ledger.owner = "switch-1"
    book = scene.ledger.add(Book())
    book.now_us = scene.now_us()
    book.settle(book.charge().attempt_id, SILENCE, rules=scene.operations.rules["msim"])
    scene.ledger.held.add(book.view.intent_id)
    scene.operations.on_gained(responsibility())
    await trio.sleep(2)
    window = scene.groups["msim"].window
    assert window.in_flight == 1
    scene.operations.on_lost(responsibility())
    await scene.settle_down()
    assert window.in_flight == 0


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


async def test_a_switch_without_links_ends_at_once(jumping_now: Any) -> None:
    """There is nothing to wait for."""
    scene = make_scene(jumping_now)
    scene.operations.close()
    scene.operations.finish()
    with trio.fail_after(1):
        await scene.operations.run()


async def test_responsibilities_may_come_before_the_start(jumping_now: Any) -> None:
    """The keeper recovers before the links are up."""
    scene = make_scene(jumping_now)
    scene.ledger.owner = "switch-1"
    scene.operations.on_gained(responsibility())
    left_behind(scene)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.operations.run)
        await trio.sleep(1)
        assert len(scene.messages()) == 1
        nursery.cancel_scope.cancel()


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


@pytest.fixture
def jumping_now() -> Any:
    """Microseconds since 1970, on the clock that jumps."""
    return lambda: NOW_US + int(trio.current_time() * SECOND_US)
