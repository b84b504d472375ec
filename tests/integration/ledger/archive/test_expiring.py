"""What was archived long enough leaves the archive: in order, held to what was signed, for good."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from chassis.crash_points import ARCHIVE_BEGIN, EXPIRY_POINTS
from ledger.archive.begin import BEGIN
from ledger.archive.catalog import EXPIRED, EXPIRING, noted, read_catalog
from ledger.archive.entries import ArchivedRecords
from ledger.archive.errors import ArchiveError
from ledger.archive.holds import Line
from ledger.archive.manifest import FRAMES, MANIFEST, RECORDS, object_name
from ledger.archive.restoring import Restored, restore_segments
from ledger.audit.findings import Findings
from ledger.ids import public_id
from tests.support.archiving import SealedStream, killed_at
from tests.support.s3_server import ENVIRONMENT, S3Server, s3_server

EXPIRE = """
import sys
from pathlib import Path
from chassis.crash_points import follow_arming
from tests.support.archiving import SealedStream
follow_arming(Path(sys.argv[2]))
SealedStream(Path(sys.argv[1]), []).expire()
"""


@pytest.fixture
def stream(tmp_path: Path) -> SealedStream:
    """Segments from 0, 130 and 207 on are archived; the stream has the last of them alone."""
    made = SealedStream.make(tmp_path / "data")
    made.run()
    made.trim()
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """One server for all tests here."""
    with s3_server() as running:
        yield running


def _firsts(stream: SealedStream) -> set[int]:
    return {int(path.parent.name) for path in stream.objects() if path.name == MANIFEST}


def test_old_segments_leave_the_archive_which_is_whole_without_them(stream: SealedStream) -> None:
    """What is left is verified from there alone: begin, manifests, objects, the log's roots."""
    done = stream.expire()
    assert (done.segments, done.end_offset, done.kept) == ([0, 130], 207, "")
    assert _firsts(stream) == {207}
    assert {path.name for path in stream.objects()} == {RECORDS, FRAMES, MANIFEST, BEGIN}
    for catalog in (True, False):
        found, verified = stream.verify(catalog=catalog)
        assert (found, verified.segments, verified.records) == ([], 1, 200)
    entries = read_catalog(stream.archiver().work)
    assert noted(entries, EXPIRING) == noted(entries, EXPIRED) == {0, 130}
    assert stream.expire().segments == []
    assert stream.run().segments == 0


def test_nothing_expires_before_its_time(stream: SealedStream) -> None:
    """A segment stays for as many days as are set, by what its manifest says."""
    done = stream.expire(days=2.5)
    assert (done.segments, "less than 2.5 days ago" in done.kept) == ([], True)


def test_what_the_stream_still_has_stays(tmp_path: Path) -> None:
    """A segment that has not left the stream does not leave the archive."""
    stream = SealedStream.make(tmp_path / "data")
    stream.run()
    assert "segment 0 is still in the stream" in stream.expire().kept
    assert _firsts(stream) == {0, 130, 207}


def test_what_the_tables_still_have_stays(stream: SealedStream) -> None:
    """Rows that nobody has dropped must be held to something: their records stay, and those behind.

    Where nobody can tell which those are, everything stays.
    """
    done = stream.expire(is_gone="no stack runs")
    assert (done.segments, "what the tables still have: no stack" in done.kept) == ([], True)
    for dry in (True, False):
        done = stream.expire(is_gone=lambda payment: payment < (150).to_bytes(16), dry=dry)
        why = f"segment 130 tells of {public_id('pi', (150).to_bytes(16))}, which the tables still"
        assert (done.segments, done.kept.startswith(why)) == ([0], True)
    assert _firsts(stream) == {130, 207}


def test_a_hold_keeps_a_segment_and_those_behind(stream: SealedStream) -> None:
    """What is held stays; released, it goes."""
    line = Line(
        number=0, action="add", at_us=1, operator="ada", reason="r", intent=(150).to_bytes(16).hex()
    )
    number = stream.holds.add(stream.pair, line).number
    done = stream.expire()
    assert (done.segments, f"legal hold {number} on" in done.kept) == ([0], True)
    assert stream.verify()[0] == []
    over = Line(number=number, action="release", at_us=2, operator="bo", reason="over")
    stream.holds.release(stream.pair, over)
    assert stream.expire().segments == [130]


def test_a_dry_run_removes_nothing(stream: SealedStream) -> None:
    """It tells what would go, and every file is as before."""
    files = [path for path in stream.data_dir.rglob("*") if path.is_file()]
    before = {path: sha256(path.read_bytes()).digest() for path in files}
    done = stream.expire(dry=True)
    assert done.segments == [0, 130]
    files = [path for path in stream.data_dir.rglob("*") if path.is_file()]
    assert {path: sha256(path.read_bytes()).digest() for path in files} == before


def test_what_is_not_as_it_was_signed_stays(stream: SealedStream) -> None:
    """Evidence of a change is not removed by its age."""
    path = stream.archive / object_name(0, 130, RECORDS)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArchiveError, match="does not have the SHA-256"):
        stream.expire()
    assert _firsts(stream) == {130, 207}


@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_begin_that_nobody_signed_is_named(stream: SealedStream, how: str) -> None:
    """Without the archive's word an archive that does not begin with record 0 has a gap."""
    stream.expire()
    path = stream.archive / object_name(0, 207, BEGIN)
    path.chmod(0o600)
    if how == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text().replace('"first_offset": 207', '"first_offset": 206'))
    found, _ = stream.verify(catalog=False)
    assert found
    assert str(path.parent) in found[0]
    if how == "flipped":
        with pytest.raises(ArchiveError, match=r"begin\.note"):
            stream.expire()


def test_a_segment_that_went_without_a_word_is_missed(stream: SealedStream) -> None:
    """What the catalog knows, and nobody has begun to remove, must be there."""
    stream.expire()
    for path in stream.objects():
        path.unlink()
    assert "is missing: segment 207 was archived" in stream.verify()[0][0]


def test_reading_begins_with_what_is_left(stream: SealedStream) -> None:
    """The others are not missed."""
    stream.expire()
    archiver = stream.archiver()
    findings = Findings()
    records = ArchivedRecords(archiver.store, 0, archiver.pair.public, archiver.log_key)
    assert [one.first_offset for one in records.read(407, findings)] == [207]
    assert findings.found == []


@pytest.mark.parametrize(
    ("begin", "end"), [(150, None), (0, None), (0, 300), (None, 150), (None, 207), (206, 300)]
)
def test_what_expired_is_not_restored_in_part(
    stream: SealedStream, tmp_path: Path, begin: int | None, end: int | None
) -> None:
    """A range of which something went is refused as a whole; what is left is restored."""
    stream.expire()
    archiver = stream.archiver()

    def restore(begin: int | None, end: int | None) -> Restored:
        return restore_segments(
            archiver.store,
            tmp_path / "back",
            shard=0,
            key=archiver.pair.public,
            log_key=archiver.log_key,
            begin=begin,
            end=end,
            progress=lambda _done, _of: None,
        )

    with pytest.raises(ArchiveError, match="from 207 on: the others expired"):
        restore(begin, end)
    assert not (tmp_path / "back").exists()
    for whole in ((None, None), (None, 208), (207, None)):
        assert (restore(*whole).segments, restore(*whole).first_offset) == (1, 207)


@pytest.mark.parametrize("point", EXPIRY_POINTS)
def test_an_expiry_killed_at_any_step_is_taken_up(
    stream: SealedStream, tmp_path: Path, point: str
) -> None:
    """After kill -9 at a step the archive is whole, and the next run ends it."""
    killed_at(point, EXPIRE, tmp_path / "crash", str(stream.data_dir))
    assert stream.verify()[0] == []
    stream.expire()
    assert (_firsts(stream), stream.verify()[0]) == ({207}, [])
    entries = read_catalog(stream.archiver().work)
    assert noted(entries, EXPIRING) == noted(entries, EXPIRED) == {0, 130}


def test_a_hold_that_comes_after_a_death_keeps_what_is_left(
    stream: SealedStream, tmp_path: Path
) -> None:
    """The next run asks before it takes up: the objects of the held segment stay, all of them."""
    killed_at(ARCHIVE_BEGIN, EXPIRE, tmp_path / "crash", str(stream.data_dir))
    line = Line(
        number=0, action="add", at_us=1, operator="ada", reason="r", intent=(5).to_bytes(16).hex()
    )
    number = stream.holds.add(stream.pair, line).number
    before = stream.objects()
    for dry in (True, False):
        done = stream.expire(dry=dry)
        assert (done.segments, f"segment 0: legal hold {number} on" in done.kept) == ([], True)
    assert (stream.objects(), stream.verify()[0]) == (before, [])
    over = Line(number=number, action="release", at_us=2, operator="bo", reason="over")
    stream.holds.release(stream.pair, over)
    assert stream.expire().segments == [130]
    assert _firsts(stream) == {207}


def test_a_take_up_that_a_store_refuses_is_left_to_the_next(
    stream: SealedStream, tmp_path: Path
) -> None:
    """A run without the right to delete says so, and ends like any other."""
    killed_at(ARCHIVE_BEGIN, EXPIRE, tmp_path / "crash", str(stream.data_dir))
    path = stream.archive / object_name(0, 0, RECORDS)
    path.rename(tmp_path / "aside")
    path.mkdir()
    (path / "in the way").touch()
    assert stream.expire().kept.startswith(f"segment 0: cannot remove {path}")
    (path / "in the way").unlink()
    path.rmdir()
    (tmp_path / "aside").rename(path)
    assert stream.expire().segments == [130]
    assert (_firsts(stream), stream.verify()[0]) == ({207}, [])


def test_a_bucket_forgets_as_a_folder_does(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trimming reads back from a bucket, and expiring removes from it."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    stream = SealedStream.make(tmp_path / "data")
    store = server.store("expiring")
    stream.run(store)
    assert stream.trim(store=store, url="s3://bucket").segments == [0, 130]
    assert stream.expire(store).segments == [0, 130]
    assert stream.verify(store)[0] == []
    assert len(store.names("0/")) == 4
    server.replace("expiring", object_name(0, 207, RECORDS), b"other")
    assert "does not have the SHA-256" in stream.verify(store)[0][0]
