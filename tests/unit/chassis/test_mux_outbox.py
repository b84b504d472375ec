from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing

from chassis.mux.errors import MuxOverloadError
from chassis.mux.outbox import Outbox
from chassis.settings.tree import MuxLimits


class Wire(trio.abc.SendStream):
    """Keeps every send apart, and can be stalled."""

    def __init__(self) -> None:
        self.sends: list[list[object]] = []
        self.open = trio.Event()
        self.open.set()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Take one frame, and check its length."""
        await self.open.wait()
        assert int.from_bytes(data[:4], "big") == len(data) - 4
        self.sends.append(msgspec.msgpack.decode(data[4:]))

    async def wait_send_all_might_not_block(self) -> None:
        """Part of the interface."""
        await self.open.wait()

    async def aclose(self) -> None:
        """Part of the interface."""
        await trio.lowlevel.checkpoint()


def _message(number: int, *, size: int = 0) -> bytes:
    return msgspec.msgpack.encode((number, b"x" * size))


async def test_what_is_queued_in_one_tick_leaves_in_one_send(nursery: trio.Nursery) -> None:
    """Messages of many tasks share one frame and one send."""
    outbox, wire = Outbox(MuxLimits()), Wire()
    nursery.start_soon(outbox.write_to, wire)
    await trio.testing.wait_all_tasks_blocked()
    for number in range(100):
        outbox.put(_message(number))
    await trio.testing.wait_all_tasks_blocked()
    assert [len(batch) for batch in wire.sends] == [100]
    outbox.put(_message(100))
    await trio.testing.wait_all_tasks_blocked()
    assert [len(batch) for batch in wire.sends] == [100, 1]
    assert outbox.frames_total == 2


async def test_what_arrives_during_a_send_gathers_for_the_next(nursery: trio.Nursery) -> None:
    """A slow peer makes batches bigger, not sends more numerous."""
    outbox, wire = Outbox(MuxLimits()), Wire()
    wire.open = trio.Event()
    nursery.start_soon(outbox.write_to, wire)
    outbox.put(_message(0))
    await trio.testing.wait_all_tasks_blocked()
    for number in range(1, 10):
        outbox.put(_message(number))
        await trio.testing.wait_all_tasks_blocked()
    wire.open.set()
    await trio.testing.wait_all_tasks_blocked()
    assert [len(batch) for batch in wire.sends] == [1, 9]


@pytest.mark.parametrize(
    ("limits", "sizes", "batches"),
    [
        (MuxLimits(messages_per_frame_max=4), [0] * 10, [4, 4, 2]),
        (MuxLimits(frame_bytes_max=100), [30] * 7, [2, 2, 2, 1]),
        (MuxLimits(frame_bytes_max=100), [90, 1, 1, 90], [1, 2, 1]),
    ],
)
async def test_frames_are_bounded_in_messages_and_bytes(
    limits: MuxLimits, sizes: list[int], batches: list[int], nursery: trio.Nursery
) -> None:
    """A burst is cut into frames the peer accepts, in order."""
    outbox, wire = Outbox(limits), Wire()
    for number, size in enumerate(sizes):
        outbox.put(_message(number, size=size))
    nursery.start_soon(outbox.write_to, wire)
    await trio.testing.wait_all_tasks_blocked()
    assert [len(batch) for batch in wire.sends] == batches
    numbers = [message[0] for batch in wire.sends for message in batch]  # type: ignore[index]
    assert numbers == list(range(len(sizes)))
    assert len(outbox) == 0


@pytest.mark.parametrize(
    "limits", [MuxLimits(outbox_messages_max=3), MuxLimits(outbox_bytes_max=3 * 12)]
)
def test_a_full_outbox_refuses_and_keeps_what_it_holds(limits: MuxLimits) -> None:
    """Neither messages nor bytes may pile up for a peer that does not read."""
    outbox = Outbox(limits)
    for number in range(3):
        outbox.put(_message(number, size=8))
    with pytest.raises(MuxOverloadError, match="holds 3 messages"):
        outbox.put(_message(3, size=8))
    assert len(outbox) == 3


async def test_a_canceled_writer_leaves_the_outbox_usable() -> None:
    """Stopping the writer while it waits does not leave a dead task to wake."""
    outbox, wire = Outbox(MuxLimits()), Wire()
    with trio.move_on_after(0):
        await outbox.write_to(wire)
    outbox.put(_message(1))
    with trio.move_on_after(0.001):
        await outbox.write_to(wire)
    assert [len(batch) for batch in wire.sends] == [1]
