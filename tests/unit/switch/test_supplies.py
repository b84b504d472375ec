"""What runs on timers: numbers never run dry, whatever the clock does; nothing ends on a fault."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from chassis.settings import Network, Switch
from chassis.tls import TLSFilesError
from ledger.errors import ConnectionLostError
from ledger.numbers import BLOCK_USE_S, take_stans
from switch import supplies
from switch.carriers import Carrier
from switch.core.numbers import NumbersExhaustedError, StanAllocator, StanBlock
from switch.iso8583 import load_dialect
from tests.support.pipeline import Group
from tests.support.protocols import same_parameters

NOON_S = 1_800_000_000
BLOCK = 100
LOST = ConnectionLostError("gone")


@attrs.define
class Wall:
    """A wall clock that runs with Trio's and can be stepped."""

    offset_s: float = NOON_S

    def now_us(self) -> int:
        """Microseconds since 1970."""
        return int((self.offset_s + trio.current_time()) * 1_000_000)


@attrs.define
class Blocks:
    """The ledger's STAN blocks, taken as ledger/sql/queries/numbers.sql takes them."""

    floors: deque[tuple[int, int]] = attrs.field(
        factory=lambda: deque((1 + BLOCK * n, 0) for n in range(50))
    )
    taken: int = 0
    down: bool = False

    async def take(self, network: str, acquirer_id: str, now_s: int) -> StanBlock:
        """Take the block with the lowest floor and move its floor past the ceiling."""
        await trio.sleep(0.02)
        assert (network, acquirer_id) == ("vsim", "400001")
        if self.down:
            raise LOST
        self.taken += 1
        first, floor_s = self.floors.popleft()
        ceiling_s = max(floor_s, now_s) + BLOCK_USE_S
        self.floors.append((first, ceiling_s + 1))
        return StanBlock(first=first, count=BLOCK, floor_s=floor_s, ceiling_s=ceiling_s)


@pytest.fixture
def wall() -> Wall:
    """A clock at noon."""
    return Wall()


@pytest.fixture
def blocks() -> Blocks:
    """Fifty blocks."""
    return Blocks()


@pytest.fixture
def stans() -> StanAllocator:
    """The numbers of the one network."""
    return StanAllocator()


@pytest.fixture
async def kept(nursery: trio.Nursery, stans: StanAllocator, blocks: Blocks, wall: Wall) -> None:
    """Numbers are kept at hand in the background, from the first block on."""
    carrier = Carrier(Network(acquirer_id="400001"), load_dialect("net87b"), Group(), stans)  # type: ignore[arg-type]
    carriers = {"vsim": carrier}
    await supplies.reserve_first(carriers, blocks.take, wall.now_us)
    settings = Switch(stan_block_count=BLOCK)
    nursery.start_soon(supplies.keep_stans, carriers, blocks.take, settings, wall.now_us)


def test_the_ledger_s_function_takes_the_same_arguments() -> None:
    """What the switch hands in here is `take_stans` with its runner bound."""
    assert same_parameters(take_stans, ("runner", "network", "acquirer_id", "now_s", "use_s"))


async def test_a_quiet_switch_never_runs_dry(
    autojump_clock: trio.testing.MockClock, kept: None, stans: StanAllocator, wall: Wall
) -> None:
    """One number every 0.7 s for ten minutes: no moment without, though every block expires."""
    for _ in range(850):
        stans.next(wall.now_us() // 1_000_000)
        await trio.sleep(0.7)


async def test_a_busy_switch_never_runs_dry(
    autojump_clock: trio.testing.MockClock, kept: None, stans: StanAllocator, wall: Wall
) -> None:
    """A tenth of a block every 10 ms leaves time to fetch the next."""
    for _ in range(100):
        for _ in range(4):
            stans.next(wall.now_us() // 1_000_000)
        await trio.sleep(0.01)


async def test_blocks_that_nobody_uses_are_let_go(
    autojump_clock: trio.testing.MockClock, kept: None, stans: StanAllocator, blocks: Blocks
) -> None:
    """Ten quiet minutes leave two blocks at hand and cost about one a minute."""
    await trio.sleep(600)
    assert stans.blocks <= 3
    assert blocks.taken <= 14


async def test_a_clock_that_was_ahead_for_a_moment_stops_nothing(
    autojump_clock: trio.testing.MockClock,
    kept: None,
    stans: StanAllocator,
    blocks: Blocks,
    wall: Wall,
) -> None:
    """DE 7 stays at the latest second used, and blocks are reserved from that second on."""
    wall.offset_s += 3_600
    with trio.fail_after(5):
        await _drawn(stans, wall)
    wall.offset_s -= 3_600
    await trio.sleep(1)
    before = blocks.taken
    for _ in range(60):
        stans.next(wall.now_us() // 1_000_000)
        await trio.sleep(1)
    assert blocks.taken - before <= 3


async def _drawn(stans: StanAllocator, wall: Wall) -> tuple[str, str]:
    """The next numbers, as soon as there are some."""
    while True:
        try:
            return stans.next(wall.now_us() // 1_000_000)
        except NumbersExhaustedError:
            await trio.sleep(0.1)


async def test_a_ledger_that_is_down_is_told_of_once_and_asked_again(
    autojump_clock: trio.testing.MockClock,
    kept: None,
    stans: StanAllocator,
    blocks: Blocks,
    wall: Wall,
) -> None:
    """Ten seconds without a ledger are one line, not one a tick, and numbers come afterwards."""
    blocks.down = True
    with capture_logs() as lines:
        await trio.sleep(70)
        with pytest.raises(NumbersExhaustedError):
            stans.next(wall.now_us() // 1_000_000)
        blocks.down = False
        await trio.sleep(1)
    stans.next(wall.now_us() // 1_000_000)
    assert [line["event"] for line in lines] == ["stan_block_not_reserved", "stan_block_reserved"]


async def test_acceptors_are_forgotten_every_minute(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A merchant's changed data is used within a minute."""
    forgotten: list[float] = []
    nursery.start_soon(
        supplies.refresh_acceptors, lambda: forgotten.append(round(trio.current_time() - began))
    )
    began = trio.current_time()
    await trio.sleep(130)
    assert forgotten == [60, 120]


async def test_a_sweep_goes_on_while_batches_are_full_and_survives_a_fault(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Full batches follow each other at once; a failed sweep waits for the next turn."""
    answers: deque[int | Exception] = deque([3, 3, 1, LOST, 0])
    asked: list[tuple[int, int]] = []
    began = trio.current_time()

    async def sweep(limit: int) -> int:
        await trio.lowlevel.checkpoint()
        asked.append((round(trio.current_time() - began), limit))
        answer = answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    settings = Switch(sweep_interval_s=5.0, sweep_batch_max=3)
    nursery.start_soon(supplies.sweep_expired, sweep, settings)
    await trio.sleep(17)
    assert asked == [(5, 3), (5, 3), (5, 3), (10, 3), (15, 3)]


async def _answer(value: object) -> object:
    await trio.lowlevel.checkpoint()
    if isinstance(value, Exception):
        raise value
    return value


@pytest.mark.parametrize(
    ("made", "strays", "events"),
    [
        (0, [], []),
        (5, [], ["partitions_made"]),
        (0, ["attempts_default"], ["rows_outside_partitions"]),
        (LOST, [], ["partitions_not_made"]),
        (LOST, ["attempts_default"], ["rows_outside_partitions", "partitions_not_made"]),
    ],
)
async def test_partitions_are_made_and_strays_alarmed_of(
    made: object,
    strays: object,
    events: list[str],
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
) -> None:
    """At once and every six hours; strays are alarmed of though they stop the months' making."""
    ensure: Callable[..., object] = partial(_answer, made)
    with capture_logs() as lines:
        nursery.start_soon(supplies.keep_partitions, ensure, partial(_answer, strays))
        await trio.sleep(1)
        assert [line["event"] for line in lines] == events
        await trio.sleep(6 * 3_600)
    assert [line["event"] for line in lines] == events * 2


class Certificates:
    """Files that are as the test says."""

    def __init__(self) -> None:
        self.changed = False
        self.fault = ""
        self.expires_at_s = NOON_S + 30 * 86_400

    def refresh(self) -> bool:
        """As `Credentials.refresh`."""
        if self.fault:
            raise TLSFilesError(self.fault)
        changed, self.changed = self.changed, False
        return changed


class Renewals:
    """A link group that counts how often it was to make its connections anew."""

    def __init__(self) -> None:
        self.count = 0

    def renew(self) -> None:
        """As `LinkGroup.renew`."""
        self.count += 1


@pytest.fixture
async def certificates(nursery: trio.Nursery) -> tuple[Certificates, Renewals]:
    """One network's files, looked at every five seconds."""
    files, group = Certificates(), Renewals()
    carrier = Carrier(
        Network(),
        load_dialect("net87b"),
        group,  # type: ignore[arg-type]
        StanAllocator(),
        files,  # type: ignore[arg-type]
    )
    wall = Wall()
    settings = Switch(certificates_check_s=5.0)
    nursery.start_soon(supplies.keep_credentials, {"vsim": carrier}, settings, wall.now_us)
    return files, group


async def test_replaced_certificates_renew_the_links(
    autojump_clock: trio.testing.MockClock, certificates: tuple[Certificates, Renewals]
) -> None:
    """Once for each time they were replaced."""
    files, group = certificates
    await trio.sleep(20)
    assert group.count == 0
    files.changed = True
    await trio.sleep(20)
    assert group.count == 1


async def test_files_in_the_middle_of_being_replaced_are_no_fault(
    autojump_clock: trio.testing.MockClock, certificates: tuple[Certificates, Renewals]
) -> None:
    """What is still wrong at the second look is told of, once; what changed in it, again."""
    files, group = certificates
    with capture_logs() as lines:
        files.fault = "switch-vsim.pem with switch-vsim.key: key values mismatch"
        await trio.sleep(6)
        files.fault, files.changed = "", True
        await trio.sleep(6)
        assert [line["event"] for line in lines] == ["certificate_loaded"]
        files.fault = "switch-vsim.pem: expired"
        await trio.sleep(60)
        files.fault = ""
        await trio.sleep(6)
        files.fault = "switch-vsim.pem: expired"
        await trio.sleep(60)
    told = [line for line in lines if line["event"] == "certificate_not_loaded"]
    assert [line["error"] for line in told] == ["switch-vsim.pem: expired"] * 2
    assert group.count == 1


async def test_a_certificate_near_its_end_is_told_of_daily(
    autojump_clock: trio.testing.MockClock, certificates: tuple[Certificates, Renewals]
) -> None:
    """A week is enough to have another one issued."""
    files, _ = certificates
    files.expires_at_s = NOON_S + 7 * 86_400 + 60
    with capture_logs() as lines:
        await trio.sleep(50)
        assert lines == []
        await trio.sleep(600)
        files.expires_at_s -= 86_400  # a day has passed
        await trio.sleep(600)
    assert [line["days"] for line in lines] == [6, 5]
