"""Segments come back from the archive byte for byte, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ledger.archive.errors import ArchiveError
from ledger.archive.manifest import FRAMES, MANIFEST, RECORDS, object_name
from ledger.archive.restoring import Restored, restore_segments
from ledger.audit.findings import Findings
from ledger.audit.folders import log_folder
from ledger.audit.segment_entries import read_entries
from ledger.audit.verify_log import verify_log
from ledger.stream.segments.files import list_segments, segment_path
from tests.support.archiving import SealedStream


@pytest.fixture
def stream(tmp_path: Path) -> SealedStream:
    """Three archived segments: records 0 to 129, to 206, to 406."""
    made = SealedStream.make(tmp_path / "data")
    made.run()
    return made


def _restore(stream: SealedStream, folder: Path, **wanted: Any) -> Restored:
    archiver = stream.archiver()
    return restore_segments(
        archiver.store,
        folder,
        shard=0,
        key=archiver.pair.public,
        log_key=archiver.log_key,
        begin=wanted.get("begin", 0),
        end=wanted.get("end"),
        progress=lambda _done, _of: None,
    )


def test_segments_are_restored_byte_for_byte(stream: SealedStream, tmp_path: Path) -> None:
    """Every restored file has the bytes and the mode of the sealed segment it was."""
    done = _restore(stream, tmp_path / "back")
    assert (done.segments, done.first_offset, done.end_offset) == (3, 0, 407)
    for first in stream.firsts:
        back = segment_path(tmp_path / "back", first)
        assert back.read_bytes() == segment_path(stream.stream, first).read_bytes()
        assert back.stat().st_mode & 0o777 == 0o440


@pytest.mark.parametrize(
    ("begin", "end", "firsts"),
    [
        (0, 130, [0]),
        (0, 131, [0, 130]),
        (129, 130, [0]),
        (130, 131, [130]),
        (206, None, [130, 207]),
        (406, 407, [207]),
    ],
)
def test_a_range_is_restored_in_whole_segments(
    stream: SealedStream, tmp_path: Path, begin: int, end: int | None, firsts: list[int]
) -> None:
    """Whatever has a wanted record is restored, and nothing else."""
    _restore(stream, tmp_path / "back", begin=begin, end=end)
    assert list_segments(tmp_path / "back") == firsts


@pytest.mark.parametrize(("begin", "end"), [(407, None), (0, 408), (5, 5)])
def test_what_the_archive_does_not_hold_is_refused(
    stream: SealedStream, tmp_path: Path, begin: int, end: int | None
) -> None:
    """A range that is not there as a whole restores nothing, and is told so."""
    with pytest.raises(ArchiveError, match="holds the records before 407"):
        _restore(stream, tmp_path / "back", begin=begin, end=end)
    assert not (tmp_path / "back").exists()


def test_a_restored_stream_is_the_one_that_was_signed(stream: SealedStream) -> None:
    """Segments that were lost are put back from the archive; then the log finds nothing wrong."""
    newest = list_segments(stream.stream)[-1]
    for first in stream.firsts:
        segment_path(stream.stream, first).unlink()
    _restore(stream, stream.stream)
    findings = Findings()
    entries = read_entries(stream.stream, 0, findings)
    verified = verify_log(log_folder(stream.data_dir), stream.archiver().log_key, entries, findings)
    assert list_segments(stream.stream) == [*stream.firsts, newest]
    assert (verified.leaves, verified.signed) == (407, 407)
    assert [str(one) for one in findings.found if not one.where.endswith("high-water")] == []


@pytest.mark.parametrize("kind", [RECORDS, FRAMES, MANIFEST])
def test_nothing_is_restored_from_a_damaged_object(
    stream: SealedStream, tmp_path: Path, kind: str
) -> None:
    """A flipped byte stops the restore before its segment; the object is named."""
    path = stream.archive / object_name(0, 130, kind)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError) as caught:
        _restore(stream, tmp_path / "back")
    assert str(caught.value).startswith(str(path))
    assert not segment_path(tmp_path / "back", 130).exists()


def test_a_missing_segment_stops_a_restore_behind_it(stream: SealedStream, tmp_path: Path) -> None:
    """What follows a gap cannot be held to the log, and is not restored."""
    shutil.rmtree((stream.archive / object_name(0, 130, MANIFEST)).parent)
    with pytest.raises(ArchiveError, match="begins at record 207, and 130 should follow"):
        _restore(stream, tmp_path / "back", begin=207)


def test_another_file_in_the_way_stays(stream: SealedStream, tmp_path: Path) -> None:
    """A restore repeats itself harmlessly, and never replaces what differs."""
    folder = tmp_path / "back"
    _restore(stream, folder)
    assert _restore(stream, folder).segments == 3
    path = segment_path(folder, 130)
    path.chmod(0o600)
    path.write_bytes(b"somebody's")
    with pytest.raises(ArchiveError, match="is another file"):
        _restore(stream, folder)
    assert path.read_bytes() == b"somebody's"
