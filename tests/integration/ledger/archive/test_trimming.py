"""Archived segments leave the stream: when they may, whole, and taken up after every death."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from chassis.crash_points import ARCHIVE_HEAD, TRIM_POINTS
from chassis.settings.tree import Settings
from ledger.archive.catalog import REMOVED, REMOVING, noted, read_catalog
from ledger.archive.errors import ArchiveError
from ledger.archive.holds import Line
from ledger.archive.manifest import FRAMES, MANIFEST, RECORDS, object_name
from ledger.stream.open import stream_reader, stream_writer
from ledger.stream.segments.files import list_segments, segment_path
from ledger.stream.segments.trim import NAME, StreamRemovedError, read_head
from tests.support.archiving import SealedStream, killed_at

MERCHANT = b"\x07" * 16
ALL = {"postings": 407, "audit": 407}
TRIM = """
import sys
from pathlib import Path
from chassis.crash_points import follow_arming
from tests.support.archiving import SealedStream
follow_arming(Path(sys.argv[2]))
SealedStream(Path(sys.argv[1]), []).trim()
"""


@pytest.fixture
def stream(tmp_path: Path) -> SealedStream:
    """Three archived segments: records 0 to 129, to 206, to 406; and an empty one."""
    made = SealedStream.make(tmp_path / "data")
    made.run()
    return made


def _tree(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): sha256(path.read_bytes()).hexdigest() for path in files}


def _hold(stream: SealedStream, **what: Any) -> int:
    line = Line(number=0, action="add", at_us=1, operator="ada", reason="case 1", **what)
    return stream.holds.add(stream.pair, line).number


def test_what_everybody_has_read_leaves_the_stream(stream: SealedStream) -> None:
    """All but the newest two segments go; the head tells from where on records are here."""
    done = stream.trim()
    assert (done.segments, done.end_offset, done.kept) == ([0, 130], 207, "")
    assert list_segments(stream.stream) == [207, 407]
    head = read_head(stream.stream)
    assert head is not None
    assert (head.first_offset, head.archive) == (207, str(stream.archive))
    entries = read_catalog(stream.archiver().work)
    assert noted(entries, REMOVING) == noted(entries, REMOVED) == {0, 130}
    assert stream.trim().segments == []
    assert stream.run().segments == 0
    assert stream.verify()[0] == []


async def test_readers_below_the_head_are_told_where_it_is(stream: SealedStream) -> None:
    """An offset that left the stream is an error of its own kind; the others are read."""
    stream.trim()
    async with stream_reader(Settings(), stream.data_dir) as reader:
        with pytest.raises(StreamRemovedError) as caught:
            await reader.read({0: 206}, 10, 10_000)
        assert (caught.value.first_offset, caught.value.archive) == (207, str(stream.archive))
        page = await reader.read({0: 207}, 3, 10_000)
        assert [offset for _, offset, _ in page.records] == [207, 208, 209]


async def test_a_writer_goes_on_behind_what_was_removed(stream: SealedStream) -> None:
    """The mark and the next offset are those of before: the newest sealed segment stays."""
    writer = stream_writer(Settings(), stream.data_dir)
    before = await writer.open()
    await writer.aclose()
    stream.trim()
    writer = stream_writer(Settings(), stream.data_dir)
    assert await writer.open() == before
    assert writer.next_offset == 407
    await writer.aclose()


def test_nothing_goes_before_its_time(stream: SealedStream) -> None:
    """A segment stays for as many days as are set, from when it was archived."""
    done = stream.trim(days=2.5)
    assert done.segments == []
    assert "less than 2.5 days ago" in done.kept


@pytest.mark.parametrize(("needed", "gone"), [(129, []), (130, [0]), (206, [0]), (207, [0, 130])])
def test_a_consumer_that_lags_keeps_what_it_needs(
    stream: SealedStream, needed: int, gone: list[int]
) -> None:
    """A segment goes only when every consumer is past its last record."""
    needs = {"audit": 407, "postings": needed}
    done = stream.trimmer().run(needs, lambda _done, _of: None, dry=False)
    assert done.segments == gone
    assert ("postings still needs" in done.kept) == (len(gone) < 2)
    assert list_segments(stream.stream) == [0, 130, 207, 407][len(gone) :]


def test_nothing_goes_while_nobody_knows_the_consumers(stream: SealedStream) -> None:
    """Without a running stack, everything stays."""
    done = stream.trimmer().run("no stack runs", lambda _done, _of: None, dry=False)
    assert (done.segments, done.kept) == (
        [],
        "nobody can tell how far the consumers are: no stack runs",
    )


def test_a_segment_that_is_not_archived_stays(tmp_path: Path) -> None:
    """What no run has archived does not go."""
    stream = SealedStream.make(tmp_path / "data")
    assert "segment 0 is not archived yet" in stream.trim().kept
    assert list_segments(stream.stream) == [0, 130, 207, 407]


@pytest.mark.parametrize("kind", [RECORDS, FRAMES, MANIFEST])
@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_tampered_object_stops_the_removal(stream: SealedStream, kind: str, how: str) -> None:
    """Objects are read back before their segment goes: one that is not as it was keeps it."""
    path = stream.archive / object_name(0, 130, kind)
    if how == "gone":
        path.unlink()
    else:
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"00000000000000000130|segment 130|and 130 should"):
        stream.trim()
    assert list_segments(stream.stream) == [130, 207, 407]


def test_a_segment_that_is_not_the_archived_one_stays(stream: SealedStream) -> None:
    """What the stream holds must be what the archive has, to the byte."""
    path = segment_path(stream.stream, 0)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ArchiveError, match="is not the segment 0 that was archived"):
        stream.trim()
    assert list_segments(stream.stream) == [0, 130, 207, 407]


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ({"intent": (5).to_bytes(16).hex()}, []),
        ({"intent": (150).to_bytes(16).hex()}, [0]),
        ({"intent": (300).to_bytes(16).hex()}, [0, 130]),
        ({"merchant": MERCHANT.hex()}, []),
        ({"begin_us": 0, "end_us": 2**60}, []),
        ({"begin_us": 0, "end_us": 1}, [0, 130]),
    ],
)
def test_a_hold_keeps_its_segment_and_those_behind(
    stream: SealedStream, what: dict[str, Any], gone: list[int]
) -> None:
    """A payment, a merchant, a time: what has a record of it stays until the hold is released."""
    number = _hold(stream, **what)
    done = stream.trim()
    assert done.segments == gone
    assert (f"legal hold {number} on" in done.kept) == (len(gone) < 2)
    line = Line(number=number, action="release", at_us=2, operator="bo", reason="over")
    stream.holds.release(stream.pair, line)
    stream.trim()
    assert list_segments(stream.stream) == [207, 407]


def test_a_merchant_hold_asks_whose_payments_they_are(stream: SealedStream) -> None:
    """Payments of another merchant, as the ledger knows them, are not held."""
    _hold(stream, merchant=MERCHANT.hex())
    others = {number.to_bytes(16): b"\x08" * 16 for number in range(407)}
    assert stream.trim(owners=others).segments == [0, 130]


def test_a_hold_that_was_taken_out_is_missed(stream: SealedStream) -> None:
    """Holds are chained and sealed: without a line, or with another, nothing goes."""
    _hold(stream, begin_us=0, end_us=1)
    _hold(stream, begin_us=0, end_us=2)
    path = stream.holds.folder / "holds.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for spoiled in (lines[1], lines[0].replace(b"case 1", b"case 2")):
        path.write_bytes(spoiled)
        with pytest.raises(ArchiveError, match=r"holds\.jsonl line 1"):
            stream.trim()
    assert list_segments(stream.stream) == [0, 130, 207, 407]


def test_a_dry_run_changes_nothing(stream: SealedStream) -> None:
    """It tells what would go, and every file of the data directory is as before."""
    before = _tree(stream.data_dir)
    done = stream.trimmer().run(ALL, lambda _done, _of: None, dry=True)
    assert (done.segments, done.end_offset) == ([0, 130], 207)
    assert _tree(stream.data_dir) == before


@pytest.mark.parametrize("point", TRIM_POINTS)
def test_a_removal_killed_at_any_step_is_taken_up(
    stream: SealedStream, tmp_path: Path, point: str
) -> None:
    """After kill -9 at a step the stream is readable, and the next run ends it."""
    killed_at(point, TRIM, tmp_path / "crash", str(stream.data_dir))
    head = read_head(stream.stream)
    assert list_segments(stream.stream)[-3:] == [130, 207, 407]
    assert head is None or head.first_offset == 130
    stream.trim()
    assert list_segments(stream.stream) == [207, 407]
    entries = read_catalog(stream.archiver().work)
    assert noted(entries, REMOVING) == noted(entries, REMOVED) == {0, 130}


def test_a_hold_that_comes_after_a_death_keeps_what_is_left(
    stream: SealedStream, tmp_path: Path
) -> None:
    """The next run asks before it takes up: the held file stays, and those behind it."""
    killed_at(ARCHIVE_HEAD, TRIM, tmp_path / "crash", str(stream.data_dir))
    number = _hold(stream, intent=(5).to_bytes(16).hex())
    done = stream.trim()
    assert (done.segments, f"segment 0: legal hold {number} on" in done.kept) == ([], True)
    assert list_segments(stream.stream) == [0, 130, 207, 407]
    line = Line(number=number, action="release", at_us=2, operator="bo", reason="over")
    stream.holds.release(stream.pair, line)
    assert stream.trim().segments == [130]
    assert list_segments(stream.stream) == [207, 407]


def test_a_head_that_somebody_else_wrote_stops_the_removal(stream: SealedStream) -> None:
    """A head is believed by its signature alone."""
    stream.trim()
    path = stream.stream / NAME
    path.write_text(path.read_text().replace("207", "206"))
    with pytest.raises(ArchiveError, match=r"head\.note"):
        stream.trim()
