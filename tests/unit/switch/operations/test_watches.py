"""Queues of other switches: gaining them, working them off, losing them."""

from __future__ import annotations

from typing import Any

import trio

from ledger.ids import UUID7Source
from tests.support.cold_path import Lease, Scene, make_scene
from tests.support.operations import SILENCE, Book, authorized, charged
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
    assert [desk.owner for desk in scene.operations.watches.desks] == ["switch-0", "switch-1"]
    await scene.answer("91")
    scene.operations.on_lost(responsibility())
    await trio.sleep(20)
    assert (scene.messages(), len(book.view.saf)) == ([], 1)
    assert [desk.owner for desk in scene.operations.watches.desks] == ["switch-0"]


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
