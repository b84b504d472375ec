"""Keeping leases: renewed in time, ended by the clock alone, taken over, and given back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from chassis.metrics import Metrics
from chassis.settings import Settings
from ledger.errors import ConnectionLostError, RetryableError
from ledger.leases import LeaseLostError
from ledger.pgdecode import column_decoder, decode_array
from ledger.pgtypes import TIMESTAMPTZ
from ledger.recovery import open_attempts
from switch.lease_keeper import RETRY_S, LeaseKeeper
from switch.metrics import register_lease
from switch.responsibility import Responsibility

SETTINGS = Settings()
SILENCE_S = 14.0  # 10 to live, 2 of margin, 2 of the slowest network
NOW_US = 1_800_000_000_000_000
LOST = ConnectionLostError("gone")

Clock = trio.testing.MockClock


class Rows:
    """A result of these rows."""

    def __init__(self, rows: list[tuple[Any, ...]] | None = None) -> None:
        self._rows = rows or []
        self.row_count = len(self._rows)

    def rows(self) -> list[tuple[Any, ...]]:
        """All of them."""
        return self._rows


@attrs.define
class Row:
    """A row of switch_leases."""

    epoch: int = 1
    expires_at_us: int = NOW_US
    mark: bytes = bytes(16)


class Ledger:
    """The table of leases as ledger/sql/queries/leases.sql treats it; no attempt is ever open."""

    def __init__(self) -> None:
        self.leases: dict[str, Row] = {}
        self.down = False
        self.busy = 0  # how often a row is held by a commit
        self.answers_after_s = 0.0
        self.answers = trio.Event()  # questions wait until it is set
        self.answers.set()
        self.faults: dict[str, Exception] = {}  # by query, raised once
        self.searches: list[tuple[bytes, bytes]] = []  # for open attempts: from, up to
        self.open: bytes | None = None

    async def pipeline(self, steps: Sequence[tuple[Any, Sequence[bytes]]]) -> list[Rows]:
        """Several queries as one transaction."""
        return [await self.run(query, params) for query, params in steps]

    async def run(self, query: Any, params: Sequence[bytes] = ()) -> Rows:
        """Answer one query."""
        await trio.sleep(self.answers_after_s)
        await self.answers.wait()
        if self.down:
            raise LOST
        if (fault := self.faults.pop(query.name, None)) is not None:
            raise fault
        answer: Callable[..., list[tuple[Any, ...]]] = getattr(self, query.name)
        return Rows(answer(*params))

    def know_switch(self, name: bytes) -> list[tuple[Any, ...]]:
        """Make a row if there is none."""
        self.leases.setdefault(name.decode(), Row())
        return []

    def lock_lease(self, name: bytes) -> list[tuple[Any, ...]]:
        """Lock a row that commits may hold."""
        if self.busy:
            self.busy -= 1
            raise RetryableError("locked", sqlstate="55P03")
        return [(self.leases[name.decode()].epoch,)]

    def raise_epoch(self, name: bytes, ttl_ms: bytes) -> list[tuple[Any, ...]]:
        """Begin an epoch."""
        row = self.leases[name.decode()]
        row.epoch += 1
        self._live(row, ttl_ms)
        return [(row.epoch, row.mark)]

    def raise_epoch_of_silent(
        self, name: bytes, ttl_ms: bytes, epoch: bytes, end: bytes
    ) -> list[tuple[Any, ...]]:
        """Begin an epoch if the row is as it was read."""
        row = self.leases[name.decode()]
        (end_us,) = column_decoder(TIMESTAMPTZ)([end])
        if (row.epoch, row.expires_at_us) != (int.from_bytes(epoch), end_us):
            return []
        return self.raise_epoch(name, ttl_ms)

    def renew_leases(self, ttl_ms: bytes, *held: bytes) -> list[tuple[Any, ...]]:
        """Renew those that have no newer epoch."""
        renewed: list[tuple[Any, ...]] = []
        for name, epoch, mark in zip(*map(decode_array, held), strict=True):
            row = self.leases[name]
            if row.epoch == epoch:
                self._live(row, ttl_ms)
                row.mark = max(row.mark, mark)
                renewed.append((name,))
        return renewed

    def read_leases(self) -> list[tuple[Any, ...]]:
        """Every lease."""
        return [(name, *attrs.astuple(row)) for name, row in sorted(self.leases.items())]

    def newest_attempt(self, name: bytes) -> list[tuple[Any, ...]]:
        """Nobody has made one."""
        del name
        return []

    def open_attempts(self, *page: bytes) -> list[tuple[Any, ...]]:
        """None is."""
        del page
        return []

    def lowest_open(
        self, name: bytes, from_id: bytes, up_to: bytes, rows_max: bytes
    ) -> list[tuple[Any, ...]]:
        """Search the attempts of a switch."""
        del name, rows_max
        self.searches.append((from_id, up_to))
        return [(min(up_to, self.open) if self.open else up_to,)]

    def _live(self, row: Row, ttl_ms: bytes) -> None:
        now_us = NOW_US + int(trio.current_time() * 1_000_000)
        row.expires_at_us = now_us + int.from_bytes(ttl_ms) * 1_000


@attrs.define
class Told:
    """A follower that keeps what it hears."""

    heard: list[tuple[str, str, int]] = attrs.field(factory=list)

    def on_gained(self, responsibility: Responsibility) -> None:
        """Note it."""
        self.heard.append(("gained", responsibility.switch, responsibility.epoch))

    def on_lost(self, responsibility: Responsibility) -> None:
        """Note it."""
        self.heard.append(("lost", responsibility.switch, responsibility.epoch))


def make_keeper(ledger: Ledger, owner: str = "switch-1") -> LeaseKeeper:
    """A keeper whose clocks are Trio's."""
    return LeaseKeeper(
        owner,
        SETTINGS,
        heartbeats=ledger,  # type: ignore[arg-type]
        runner=ledger,  # type: ignore[arg-type]
        connect=never,
        recover=lambda held: open_attempts(ledger, held.switch),  # type: ignore[arg-type]
        now_us=lambda: NOW_US + int(trio.current_time() * 1_000_000),
        boot_s=trio.current_time,
    )


async def never() -> Any:
    """No attempt is open, so nothing is committed."""
    raise AssertionError("there is nothing to commit")


@pytest.fixture
def ledger() -> Ledger:
    """A ledger that knows no switch yet."""
    return Ledger()


@pytest.fixture
async def keeper(ledger: Ledger, nursery: trio.Nursery) -> LeaseKeeper:
    """switch-1 at work, its own attempts settled."""
    keeper = make_keeper(ledger)
    own = await keeper.begin()
    nursery.start_soon(keeper.run)
    await keeper.settle(own)
    return keeper


async def test_an_epoch_begins_once_the_commits_of_the_last_one_are_through(
    autojump_clock: Clock, ledger: Ledger
) -> None:
    """A commit holds the row; the new process waits for it."""
    ledger.busy = 3
    keeper = make_keeper(ledger)
    began_s = trio.current_time()
    own = await keeper.begin()
    assert (own.switch, own.epoch) == ("switch-1", 2)
    assert trio.current_time() - began_s == pytest.approx(3 * RETRY_S)
    assert keeper.left_s == pytest.approx(8)


async def test_a_slow_answer_leaves_less_of_the_lease(
    autojump_clock: Clock, ledger: Ledger
) -> None:
    """The lease counts from before the question, or a stopped process would believe in it."""
    ledger.answers_after_s = 1.5  # each of four queries
    keeper = make_keeper(ledger)
    assert not keeper.may_send()
    await keeper.begin()
    assert keeper.may_send()
    assert keeper.left_s == pytest.approx(8 - 4 * 1.5)


async def test_heartbeats_keep_the_lease(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """Every two seconds, for as long as the process lives."""
    for _ in range(100):
        await trio.sleep(1)
        assert keeper.may_send()
        assert keeper.left_s > 5.9
    assert keeper.counts.heartbeats_total == 50
    assert ledger.leases["switch-1"].epoch == 2


async def test_the_lease_ends_by_itself_while_the_ledger_is_away(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """Eight seconds after the last heartbeat that succeeded; a new one brings it back."""
    await trio.sleep(2.5)
    ledger.down = True
    with capture_logs() as logs:
        await trio.sleep(7.4)
        assert keeper.may_send()
        await trio.sleep(0.2)
        assert not keeper.may_send()
        await trio.sleep(60)
        assert not keeper.may_send()
        ledger.down = False
        await trio.sleep(3 * RETRY_S)
    assert keeper.may_send()
    assert [line["event"] for line in logs] == ["lease_lapsed", "lease_renewed"]
    assert ledger.leases["switch-1"].epoch == 2


async def test_a_newer_epoch_of_our_own_ends_the_process(
    autojump_clock: Clock, ledger: Ledger
) -> None:
    """And nothing leaves from the moment it is seen."""
    keeper, told = make_keeper(ledger), Told()
    own = await keeper.begin()
    await keeper.settle(own)
    keeper.follow(told)
    ledger.leases["switch-1"].epoch += 1
    with pytest.RaisesGroup(LeaseLostError):
        await keeper.run()
    assert not keeper.may_send()
    assert keeper.responsibilities == []
    assert told.heard == [("gained", "switch-1", 2), ("lost", "switch-1", 2)]


async def test_a_dead_switch_is_taken_over(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """After its silence, under a new epoch, and from then on its lease is renewed by us."""
    told = Told()
    keeper.follow(told)
    ledger.leases["switch-0"] = Row(epoch=7)
    await trio.sleep(SILENCE_S)
    assert told.heard == [("gained", "switch-1", 2)]
    await trio.sleep(2 * SETTINGS.switch.lease_heartbeat_s)
    assert told.heard[1:] == [("gained", "switch-0", 8)]
    assert [held.switch for held in keeper.responsibilities] == ["switch-1", "switch-0"]
    before_us = ledger.leases["switch-0"].expires_at_us
    await trio.sleep(60)
    assert ledger.leases["switch-0"].expires_at_us - before_us == pytest.approx(60e6, abs=2e6)
    assert (ledger.leases["switch-0"].epoch, keeper.counts.taken_over_total) == (8, 1)


async def test_one_that_comes_back_is_let_go(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """It raises the epoch itself; we notice at the next heartbeat, and live on."""
    told = Told()
    keeper.follow(told)
    ledger.leases["switch-0"] = Row(epoch=7)
    await trio.sleep(SILENCE_S + 4)
    back = make_keeper(ledger, "switch-0")
    await back.begin()
    await trio.sleep(3)
    assert told.heard[1:] == [("gained", "switch-0", 8), ("lost", "switch-0", 8)]
    assert [held.switch for held in keeper.responsibilities] == ["switch-1"]
    assert keeper.may_send()
    assert keeper.counts.handed_back_total == 1


async def test_of_two_that_try_one_takes_over(
    autojump_clock: Clock, ledger: Ledger, nursery: trio.Nursery
) -> None:
    """The other finds the lease changed."""
    keepers = [make_keeper(ledger, f"switch-{index}") for index in (1, 2, 3)]
    for keeper in keepers:
        await keeper.settle(await keeper.begin())
        nursery.start_soon(keeper.run)
    ledger.leases["switch-0"] = Row()
    await trio.sleep(SILENCE_S + 30)
    assert sum(keeper.counts.taken_over_total for keeper in keepers) == 1
    assert ledger.leases["switch-0"].epoch == 2


async def test_the_heir_of_a_dead_heir(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """What a dead switch had taken over is taken over with it."""
    with trio.move_on_after(SILENCE_S + 10):
        other = make_keeper(ledger, "switch-2")
        await other.begin()
        ledger.leases["switch-0"] = Row()
        await other.run()
    held_by_two = {held.switch for held in other.responsibilities}
    held = {each.switch for each in keeper.responsibilities}
    assert ("switch-0" in held) != ("switch-0" in held_by_two)
    await trio.sleep(SILENCE_S + 10)
    assert {each.switch for each in keeper.responsibilities} == {
        "switch-0",
        "switch-1",
        "switch-2",
    }


async def test_a_retired_switch_takes_nothing_over(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """It is about to end, and would only be silent in turn; its own lease it keeps."""
    keeper.retire()
    ledger.leases["switch-0"] = Row()
    await trio.sleep(5 * SILENCE_S)
    assert ledger.leases["switch-0"].epoch == 1
    assert keeper.may_send()


@pytest.mark.parametrize("refuses", [True, False])
async def test_nobody_is_dead_because_the_ledger_was_away(
    autojump_clock: Clock,
    ledger: Ledger,
    keeper: LeaseKeeper,
    refuses: bool,  # noqa: FBT001
) -> None:
    """All leases stood still, whether questions failed or waited; others get time to renew."""
    ledger.leases["switch-0"] = Row()
    await trio.sleep(SILENCE_S - 4)
    ledger.down, ledger.answers = refuses, trio.Event()
    if refuses:
        ledger.answers.set()
    await trio.sleep(60)
    ledger.down = False
    ledger.answers.set()
    await trio.sleep(SILENCE_S - 1)
    assert ledger.leases["switch-0"].epoch == 1
    await trio.sleep(5)
    assert ledger.leases["switch-0"].epoch == 2


@pytest.mark.parametrize("query", ["newest_attempt", "open_attempts"])
async def test_a_takeover_that_fails_half_way_is_done_again(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper, query: str
) -> None:
    """The lease is let go, stands still, and is taken over once more."""
    ledger.leases["switch-0"] = Row()
    ledger.faults[query] = LOST
    await trio.sleep(SILENCE_S + 4)
    assert [held.switch for held in keeper.responsibilities] == ["switch-1"]
    assert ledger.leases["switch-0"].epoch == 2
    await trio.sleep(SILENCE_S + 4)
    assert [held.switch for held in keeper.responsibilities] == ["switch-1", "switch-0"]
    assert ledger.leases["switch-0"].epoch == 3


async def test_a_takeover_waits_for_a_commit_of_the_dead(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """A statement of its that still runs holds the row; the next look tries again."""
    ledger.leases["switch-0"] = Row()
    ledger.busy = 1
    await trio.sleep(SILENCE_S + 6)
    assert ledger.leases["switch-0"].epoch == 2
    assert len(keeper.responsibilities) == 2


async def test_the_mark_follows_what_is_settled(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """It stays behind ids drawn lately, moves with them, and stops at an open attempt."""
    lag_s = SETTINGS.switch.lease_mark_lag_s
    await trio.sleep(lag_s - 1)
    assert ledger.searches == []
    await trio.sleep(20)
    marks = [up_to for _, up_to in ledger.searches]
    assert len(marks) > 5
    assert marks == sorted(set(marks))
    assert ledger.searches[-1][0] == marks[-2]
    assert ledger.leases["switch-1"].mark in marks[-2:]
    ledger.open = marks[-1]
    await trio.sleep(60)
    assert ledger.leases["switch-1"].mark == marks[-1]
    assert ledger.searches[-1][0] == marks[-1]


async def test_the_mark_stays_below_ids_in_hand(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """A payment that waits for its commit cannot be seen in the ledger yet."""
    in_hand = keeper.own.ids.next()
    floors: list[bytes | None] = [in_hand]
    keeper.floors.append(lambda: floors[0])
    await trio.sleep(200)
    assert ledger.leases["switch-1"].mark == in_hand
    floors[0] = None
    await trio.sleep(10)
    assert ledger.leases["switch-1"].mark > in_hand


async def test_metrics_show_the_lease(
    autojump_clock: Clock, ledger: Ledger, keeper: LeaseKeeper
) -> None:
    """For how long it lasts, and what happened to it."""
    metrics, registry = Metrics("switch"), CollectorRegistry()
    register_lease(metrics, keeper)
    registry.register(metrics)
    ledger.leases["switch-0"] = Row()
    await trio.sleep(SILENCE_S + 4.5)
    value = registry.get_sample_value
    assert value("turnout_switch_lease_left_seconds") == pytest.approx(7.5)
    assert value("turnout_switch_leases_held_total") == 2
    assert value("turnout_switch_lease_taken_over_total") == 1
    assert value("turnout_switch_lease_heartbeats_total") == keeper.counts.heartbeats_total == 10
