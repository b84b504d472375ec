"""Deaths and disks: kill -9 at every step of an append, a full disk, an fdatasync that fails."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from chassis.crash_points import STREAM_POINTS, arm, disarm, is_armed
from ledger.stream.backend import START, Batch, Cursor
from ledger.stream.errors import StreamFatalError, StreamFullError
from ledger.stream.record import Mark
from ledger.stream.segments.appender import SPARE_RETRY_S
from ledger.stream.segments.files import list_segments, shard_folder
from tests.support.namespaces import filled
from tests.support.stream import SYSTEM, SegmentsBackend, batch, record

# Appends record after record from where the stream ends, and says what is durable.
_WRITER = """
import sys, trio
from pathlib import Path
from chassis.crash_points import follow_arming
from tests.support.stream import SegmentsBackend, batch

async def main():
    writer = SegmentsBackend(Path(sys.argv[1])).writer()
    await writer.open()
    print(writer.next_offset, flush=True)
    while True:
        first = writer.next_offset
        await writer.append(batch(first, 1 + first % 7, known=False))
        print(writer.next_offset, flush=True)

follow_arming(Path(sys.argv[2]))
trio.run(main)
"""


@pytest.fixture
def backend(tmp_path: Path) -> SegmentsBackend:
    """An empty stream of small segments."""
    return SegmentsBackend(tmp_path)


def _write_until_killed(backend: SegmentsBackend, arming: Path, *, after_s: float | None) -> int:
    """Run the writer until it crashes by itself, or is killed; what it last said was durable."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(backend.data_dir), str(arming)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        if after_s is not None:
            time.sleep(after_s)
            process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
        assert process.wait(10) == -signal.SIGKILL
    return int([line for line in said if line.endswith("\n")][-1])


async def _whole_stream(backend: SegmentsBackend) -> list[bytes]:
    found: list[bytes] = []
    cursor: Cursor = START
    async with backend.reader(read_wait_s=0.01) as reader:
        while (page := await reader.read(cursor, 1_000, 10**6)).records:
            found += [data for _, _, data in page.records]
            cursor = page.cursor
    return found


@pytest.mark.slow
async def test_kill_at_any_moment_loses_and_doubles_nothing(
    backend: SegmentsBackend, tmp_path: Path
) -> None:
    """Whatever was acknowledged is there after each of the kills, once, in order."""
    arming = tmp_path / "arming"
    disarm(arming)
    durable = 0
    for seed in range(3):
        after_s = random.Random(seed).uniform(0.01, 0.2)
        durable = max(durable, _write_until_killed(backend, arming, after_s=after_s))
        stream = await _whole_stream(backend)
        assert len(stream) >= durable
        assert stream == [record(number) for number in range(len(stream))]
    assert len(list_segments(shard_folder(backend.data_dir, 0))) > 0


@pytest.mark.slow
@pytest.mark.parametrize("point", STREAM_POINTS)
async def test_a_death_inside_an_append_is_mended(
    backend: SegmentsBackend, tmp_path: Path, point: str
) -> None:
    """Before and after the sync: the next writer goes on where the records end."""
    arming = tmp_path / "arming"
    arm(arming, point)
    durable = _write_until_killed(backend, arming, after_s=None)
    assert not is_armed(arming)
    writer = backend.writer()
    await writer.open()
    assert writer.next_offset >= durable
    await writer.append(batch(writer.next_offset, 1, known=False))
    await writer.aclose()
    stream = await _whole_stream(backend)
    assert stream == [record(number) for number in range(len(stream))]


async def _open_with(backend: SegmentsBackend, device: str) -> tuple[object, int, int]:
    """A writer whose newest segment is a device; its file, kept aside; its descriptor."""
    writer = backend.writer()
    await writer.open()
    await writer.append(batch(0, 2, known=False))
    descriptor = writer._open_appender._segment.descriptor
    kept = os.dup(descriptor)
    opened = os.open(device, os.O_RDWR)
    os.dup2(opened, descriptor)
    os.close(opened)
    return writer, kept, descriptor


async def test_a_full_disk_refuses_and_then_goes_on(backend: SegmentsBackend) -> None:
    """A batch that found no room is appended later, by the same writer."""
    writer, kept, descriptor = await _open_with(backend, "/dev/full")
    for _ in range(2):
        with pytest.raises(StreamFullError):
            await writer.append(batch(2, 2))
    assert writer.next_offset == 2
    os.dup2(kept, descriptor)
    assert await writer.append(batch(2, 2)) == 4
    await writer.aclose()
    os.close(kept)
    assert await _whole_stream(backend) == [record(number) for number in range(4)]


async def test_a_failed_fdatasync_is_final(backend: SegmentsBackend) -> None:
    """Even when a second one would succeed, the writer that saw it fail appends no more."""
    writer, kept, descriptor = await _open_with(backend, "/dev/null")  # takes data, cannot sync
    with pytest.raises(StreamFatalError, match="fdatasync"):
        await writer.append(batch(2, 2))
    os.dup2(kept, descriptor)
    with pytest.raises(StreamFatalError, match="fdatasync"):
        await writer.append(batch(2, 2))
    await writer.aclose()
    os.close(kept)
    assert len(await _whole_stream(backend)) == 2


@pytest.mark.privileged
async def test_a_missing_spare_is_told_of_once_and_so_is_its_return(tmp_path: Path) -> None:
    """However often it is tried in between: once a second."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "turnout", str(tmp_path)]
    await trio.run_process(mount)
    try:
        writer = SegmentsBackend(tmp_path).writer()
        with capture_logs() as lines:
            with filled(tmp_path, leave_bytes=80_000):  # room for the first segment alone
                await writer.open()
                for _ in range(3):
                    await writer.append(batch(writer.next_offset, 1, known=False))
                    await trio.sleep(SPARE_RETRY_S)
            await writer.append(batch(writer.next_offset, 1))
        await writer.aclose()
        assert [line["event"] for line in lines if "spare" in line["event"]] == [
            "disk full: the stream has no spare segment",
            "the stream has a spare segment again",
        ]
    finally:
        await trio.run_process(["umount", str(tmp_path)])


@pytest.mark.privileged
async def test_the_spare_is_what_a_full_disk_leaves(tmp_path: Path) -> None:
    """Without a free block a segment's worth is still taken; then refused; then on."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "turnout", str(tmp_path)]
    await trio.run_process(mount)
    try:
        backend = SegmentsBackend(tmp_path)
        writer = backend.writer()
        await writer.open()
        taken = 0
        with filled(tmp_path, leave_bytes=0), pytest.raises(StreamFullError):  # noqa: PT012
            while True:
                await writer.append(batch(taken, 50, known=taken > 0))
                taken += 50
        assert taken * 100 > 65_536  # more than what was left of the newest segment
        assert await writer.append(batch(taken, 50)) == taken + 50
        assert await writer.append(Batch([], [], Mark(SYSTEM, 1, 10**9))) == taken + 50
        await writer.aclose()
        stream = await _whole_stream(backend)
        assert stream == [record(number) for number in range(taken + 50)]
    finally:
        await trio.run_process(["umount", str(tmp_path)])
