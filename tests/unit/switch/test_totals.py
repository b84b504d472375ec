"""When totals are compared, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from chassis.settings import Network
from ledger.deciding.records import NewException
from ledger.errors import ConnectionLostError
from ledger.rows import NetworkTotals, Total
from switch.carriers import Carrier
from switch.core.numbers import StanAllocator, StanBlock
from switch.core.reconciliation import Fields
from switch.iso8583 import load_dialect
from switch.totals import AGAIN_S, Books, Totals

Clock = trio.testing.MockClock
NOON_S = 1_800_000_000
DELAY_S = 60.0


class FakeLedger:
    """Days that are over, and what was noted of them."""

    def __init__(self) -> None:
        self.days = [("2026-11-21", "eur"), ("2026-11-21", "usd")]
        self.noted: list[tuple[str, str, str, bool]] = []
        self.exceptions: list[NewException] = []
        self.failures = 0

    async def days_to_balance(self, _network: str) -> list[tuple[str, str]]:
        """Those not noted yet."""
        await trio.sleep(0.01)
        if self.failures:
            self.failures -= 1
            raise ConnectionLostError("gone")
        done = {(day, currency) for _, day, currency, _ in self.noted}
        return [day for day in self.days if day not in done]

    async def network_totals(self, _network: str, currency: str, _day: str) -> NetworkTotals:
        """Two sales in dollars, one in euros."""
        await trio.sleep(0.01)
        return NetworkTotals(sales=Total(2 if currency == "usd" else 1, 5_000))

    async def note_balance(
        self,
        network: str,
        day: str,
        currency: str,
        in_balance: bool,  # noqa: FBT001
    ) -> None:
        """Keep it."""
        await trio.lowlevel.checkpoint()
        self.noted.append((network, day, currency, in_balance))

    async def open_exceptions(self, batch: Sequence[NewException]) -> None:
        """Keep them."""
        await trio.lowlevel.checkpoint()
        self.exceptions += batch


class FakeGroup:
    """A network that answers as the test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, Fields]] = []
        self.changes: dict[int, str] = {}
        self.silent = False

    async def ask(self, fields: Fields) -> Fields | None:
        """As `LinkGroup.ask`."""
        await trio.sleep(0.1)
        self.asked.append((trio.current_time(), fields))
        if self.silent:
            return None
        return fields | {0: "0510", 39: "00", 66: "1"} | self.changes


@attrs.frozen
class Scene:
    """All of it."""

    totals: Totals
    ledger: FakeLedger
    group: FakeGroup


@pytest.fixture
def scene(nursery: trio.Nursery) -> Scene:
    """One network, whose days are compared in the background."""
    ledger, group, stans = FakeLedger(), FakeGroup(), StanAllocator()
    stans.add(StanBlock(first=1, count=100, floor_s=NOON_S, ceiling_s=NOON_S + 9_999))
    carrier: Any = Carrier(Network(), load_dialect("net87b"), group, stans)  # type: ignore[arg-type]
    books = Books(
        days_to_balance=ledger.days_to_balance,
        network_totals=ledger.network_totals,
        note_balance=ledger.note_balance,
        open_exceptions=ledger.open_exceptions,
    )
    totals = Totals({"vsim": carrier}, books, delay_s=DELAY_S, now_us=lambda: NOON_S * 1_000_000)
    nursery.start_soon(totals.run)
    return Scene(totals, ledger, group)


async def test_what_was_left_is_compared_after_the_start(
    autojump_clock: Clock, scene: Scene
) -> None:
    """Once for each currency, after the delay, and never again."""
    await trio.sleep(DELAY_S - 1)
    assert scene.group.asked == []
    await trio.sleep(3_600)
    assert [fields[50] for _, fields in scene.group.asked] == ["978", "840"]
    assert [fields[11] for _, fields in scene.group.asked] == ["000001", "000002"]
    assert scene.ledger.noted == [
        ("vsim", "2026-11-21", "eur", True),
        ("vsim", "2026-11-21", "usd", True),
    ]
    assert (scene.totals.in_balance_total, scene.ledger.exceptions) == (2, [])


async def test_a_cutover_has_the_day_before_compared(autojump_clock: Clock, scene: Scene) -> None:
    """A while later, so that doubts of that day are resolved."""
    await trio.sleep(3_600)
    scene.ledger.days.append(("2026-11-22", "usd"))
    scene.totals.day_is_over("vsim")
    began_at = trio.current_time()
    await trio.sleep(3_600)
    at, fields = scene.group.asked[-1]
    assert fields[15] == "1122"
    assert DELAY_S <= at - began_at < DELAY_S + 1
    assert len(scene.ledger.noted) == 3


async def test_out_of_balance_is_an_exception_and_stops_nothing(
    autojump_clock: Clock, scene: Scene
) -> None:
    """One each, with both sides' figures; it is not asked again."""
    scene.group.changes = {66: "2", 76: "0000000009"}
    await trio.sleep(3_600)
    assert [each[-1] for each in scene.ledger.noted] == [False, False]
    exception = scene.ledger.exceptions[1]
    assert (exception.kind, exception.network) == ("totals_out_of_balance", "vsim")
    assert exception.detail == {
        "settles_on": "2026-11-21",
        "currency": "usd",
        "our_debits": "0000000002",
        "their_debits": "0000000009",
    }
    assert (len(scene.group.asked), scene.totals.out_of_balance_total) == (2, 2)


async def test_a_network_that_does_not_answer_is_asked_again(
    autojump_clock: Clock, scene: Scene
) -> None:
    """Every few minutes, with numbers of their own."""
    scene.group.silent = True
    await trio.sleep(DELAY_S + 1 + 2 * AGAIN_S + 1)
    assert len(scene.group.asked) == 6
    assert len({fields[11] for _, fields in scene.group.asked}) == 6
    assert scene.ledger.noted == []
    scene.group.silent = False
    await trio.sleep(AGAIN_S + 1)
    assert len(scene.ledger.noted) == 2


async def test_a_ledger_that_is_away_is_waited_for(autojump_clock: Clock, scene: Scene) -> None:
    """It knows what there is to compare."""
    scene.ledger.failures = 20
    await trio.sleep(3_600)
    assert len(scene.ledger.noted) == 2
