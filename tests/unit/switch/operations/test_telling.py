"""Findings that cannot be decided on for want of a number wait for one; none is lost."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from ledger.records import Lost
from switch.core.numbers import NumbersExhaustedError, StanBlock
from switch.operations import telling
from switch.operations.telling import About
from tests.support.cold_path import Scene
from tests.support.operations import APPROVED, DECLINED, SECOND_US, Book


@pytest.fixture
async def charging(scene: Scene) -> tuple[Book, About]:
    """A charge under way, and what findings about it are told of."""
    book = scene.ledger.add(Book())
    attempt = book.charge(mti="0200")
    about = About(book.view.intent_id, attempt.attempt_id, "msim", scene.operations.desk)
    return book, about


def run_out(scene: Scene) -> None:
    """Leave no STAN on the dual-message network."""
    scene.carriers["msim"].stans.forget_expired(10**11)


def restock(scene: Scene) -> None:
    """Have STANs again."""
    seconds = scene.now_us() // SECOND_US
    block = StanBlock(first=1, count=9, floor_s=seconds, ceiling_s=seconds + 10**6)
    scene.carriers["msim"].stans.add(block)


async def test_a_finding_is_decided_on_in_the_name_of_who_found_it(
    scene: Scene, charging: tuple[Book, About]
) -> None:
    """And whoever told it hears what was decided once that is durable."""
    book, about = charging
    heard: list[Any] = []
    scene.operations.telling.tell(about, APPROVED, "network:msim", heard.append)
    assert heard == []
    await scene.settle_down()
    assert [answer.transaction.status for answer in heard] == ["succeeded"]
    assert book.view.status == "succeeded"


async def test_without_numbers_a_finding_waits_for_them(
    scene: Scene, charging: tuple[Book, About]
) -> None:
    """Told again each round."""
    book, about = charging
    run_out(scene)
    heard: list[Any] = []
    scene.operations.telling.tell(about, DECLINED, "network:msim", heard.append)
    await trio.sleep(5)
    assert (heard, scene.operations.telling.postponed) == ([], 1)
    restock(scene)
    await trio.sleep(0.3)
    assert (len(heard), scene.operations.telling.postponed) == (1, 0)
    assert book.view.status == "failed"


async def test_so_many_wait_and_no_more(
    scene: Scene, charging: tuple[Book, About], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that is away for that long has stopped the intake before."""
    _, about = charging
    run_out(scene)
    monkeypatch.setattr(telling, "POSTPONED_MAX", 2)
    for _ in range(2):
        scene.operations.telling.tell(about, DECLINED, "network:msim")
    with pytest.raises(NumbersExhaustedError):
        scene.operations.telling.tell(about, DECLINED, "network:msim")


async def test_an_answer_that_cannot_be_told_ends_nobody_else(
    scene: Scene, paid: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its attempt stays open for recovery; whoever waits hears of a fault, and credits go back."""
    number = scene.order(paid, "refund", 300)
    await scene.settle_down()
    monkeypatch.setattr(telling, "POSTPONED_MAX", 0)
    run_out(scene)
    await scene.answer("00")
    assert scene.peer.replies[number].code == "internal_error"
    assert scene.operations.counts.errors_total == 1
    assert scene.admission.inside == 0
    assert paid.view.refund_pending_minor == 300


async def test_exceptions_are_counted(scene: Scene, charging: tuple[Book, About]) -> None:
    """An approval after a decline was adopted is one for a person."""
    book, about = charging
    scene.operations.telling.tell(about, DECLINED, "network:msim")
    await scene.settle_down()
    scene.operations.telling.tell(about, APPROVED, "network:msim", second=True)
    await scene.settle_down()
    assert len(book.exception_kinds) == 1
    assert scene.operations.counts.exceptions_total == 1


async def test_what_nobody_could_decide_is_heard_too(
    scene: Scene, charging: tuple[Book, About]
) -> None:
    """A step at fault is answered by `internal_error`."""
    _, about = charging
    heard: list[Any] = []

    async def run(steps: Any, *, lane: str) -> list[Any]:
        await trio.lowlevel.checkpoint()
        return [Lost("internal_error")] * len(steps)

    scene.ledger.run = run  # type: ignore[method-assign]
    scene.operations.telling.tell(about, APPROVED, "network:msim", heard.append)
    await scene.settle_down()
    assert heard == [Lost("internal_error")]
