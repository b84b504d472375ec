"""When a flow looks at the socket, and when it appends: a server and a stream by the clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import count, pairwise
from typing import cast

import msgspec
import trio
import trio.testing

from chassis.bell import Bell
from chassis.settings.tree import Relay as Limits
from ledger.relay.connection import ReplicationSession
from ledger.relay.flow import FULL_SOCKET, HURRIED_PAUSE_S, Flow
from ledger.relay.health import Health
from ledger.relay.transactions import Assembler, Tampering
from ledger.stream.backend import Batch
from ledger.stream.record import Mark, Position
from tests.support.pgoutput import begin, commit, insert, relation

SOCKET_HOLDS = 165  # messages
INTERVAL_S = 0.025
SYNC_S = 0.004  # what an append takes
LIMITS = Limits(batch_interval_ms=1_000 * INTERVAL_S)


class Server:
    """A walsender with a socket that holds so many messages; notes when it was looked at."""

    def __init__(self) -> None:
        self.committed: deque[bytes] = deque([relation()])
        self.looked_at: list[float] = []
        self._socket: list[bytes] = []
        self._readable = Bell()
        self._lsn = count(1_000, 100)

    def commits(self, changes: int) -> None:
        """One transaction."""
        lsn = next(self._lsn)
        self.committed += [begin(lsn), *[insert()] * changes, commit(lsn, lsn + 50)]
        self._send()

    def _send(self) -> None:
        while self.committed and len(self._socket) < SOCKET_HOLDS:
            self._socket.append(self.committed.popleft())
        self._readable.ring()

    def take(self, count_max: int) -> list[bytes]:
        """What the socket holds; then there is room again."""
        assert count_max >= SOCKET_HOLDS
        taken, self._socket = self._socket, []
        if taken:
            self.looked_at.append(trio.current_time())
            self._send()
        return taken

    async def receive(self, count_max: int) -> list[bytes]:
        """Likewise, once there is something."""
        while not (taken := self.take(count_max)):
            await self._readable.wait()
        return taken

    async def send(self, message: bytes) -> None:
        """Hear a status update."""
        del message
        await trio.lowlevel.checkpoint()


class Disk:
    """A stream's writer; notes when it was asked to append, and how many records."""

    def __init__(self) -> None:
        self.appended: list[tuple[float, int]] = []
        self.next_offset = 0
        self.last: Position | None = None

    async def open(self) -> Mark | None:
        """Be an empty stream."""
        await trio.lowlevel.checkpoint()
        return None

    async def append(self, batch: Batch) -> int:
        """Take as long as a disk."""
        self.appended.append((trio.current_time(), len(batch.records)))
        await trio.sleep(SYNC_S)
        self.next_offset += len(batch.records)
        return self.next_offset

    async def aclose(self) -> None:
        """Do nothing."""
        await trio.lowlevel.checkpoint()


async def _nothing_to_tell(found: Sequence[Tampering]) -> None:
    assert not found
    await trio.lowlevel.checkpoint()


def _flow(server: Server, disk: Disk, limits: Limits = LIMITS) -> Flow:
    return Flow(
        cast("ReplicationSession", server),
        disk,
        Mark(1, 1, 0),
        Assembler(after_lsn=0, last=None, portion_records_max=4_096),
        set(),
        limits=limits,
        health=Health(),
        now_us=lambda: 0,
        on_tampering=_nothing_to_tell,
    )


async def test_the_first_change_after_silence_waits_for_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is appended at the look that finds it, although nothing follows."""
    server, disk = Server(), Disk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_flow(server, disk).run)
        for _ in range(3):
            await trio.sleep(1.0)
            server.commits(2)
            committed_at = trio.current_time()
            await trio.sleep(0.5)
            assert disk.appended[-1][0] - committed_at < SYNC_S
        assert [records for _, records in disk.appended] == [2, 2, 2]
        nursery.cancel_scope.cancel()


async def test_while_there_is_traffic_a_look_is_a_batch(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Commits every 5 ms are looked at, and appended, once an interval; the last ones too."""
    server, disk = Server(), Disk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_flow(server, disk).run)
        for _ in range(100):
            await trio.sleep(0.005)
            server.commits(4)
        await trio.sleep(2 * INTERVAL_S)
        assert sum(records for _, records in disk.appended) == 400
        assert len(server.looked_at) <= 0.5 / INTERVAL_S + 2
        assert len(disk.appended) == len(server.looked_at)
        nursery.cancel_scope.cancel()


async def test_a_server_that_waits_for_room_is_relieved_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What does not fit into the socket is taken within milliseconds, and appended as one."""
    server, disk = Server(), Disk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_flow(server, disk).run)
        await trio.sleep(1.0)
        server.commits(1)
        await trio.sleep(INTERVAL_S / 2)
        for _ in range(10):
            server.commits(48)
        await trio.sleep(INTERVAL_S)
        assert not server.committed
        looks = server.looked_at[-4:]  # for 500 messages
        assert looks[-1] - looks[0] < len(looks) * HURRIED_PAUSE_S
        assert [records for _, records in disk.appended[1:]] == [480]
        nursery.cancel_scope.cancel()


async def test_a_server_that_always_waits_does_not_hold_up_the_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Where each look finds a full socket, batches are appended all the same, and no more often."""
    server, disk = Server(), Disk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_flow(server, disk).run)
        for _ in range(1_000):
            server.commits(FULL_SOCKET)
            await trio.sleep(HURRIED_PAUSE_S / 2)
        gaps = [late - early for (early, _), (late, _) in pairwise(disk.appended)]
        assert max(gaps) < 2 * INTERVAL_S
        assert len(disk.appended) < 1.0 / INTERVAL_S
        nursery.cancel_scope.cancel()


async def test_a_buffer_below_a_batch_is_emptied(autojump_clock: trio.testing.MockClock) -> None:
    """Once it is full nothing else asks for an append, and what comes later is appended, too."""
    server, disk = Server(), Disk()
    limits = msgspec.structs.replace(LIMITS, buffer_records_max=10, batch_records_max=4_096)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_flow(server, disk, limits).run)
        await trio.sleep(1.0)
        server.commits(1)
        await trio.sleep(INTERVAL_S / 4)
        server.commits(100)
        server.commits(100)  # so that the server waits, and the look comes before its batch
        with trio.fail_after(4 * INTERVAL_S):
            while disk.next_offset < 201:
                await trio.sleep(INTERVAL_S / 4)
        nursery.cancel_scope.cancel()
