"""Runs of the archive, whole and broken off: by a death at each step, and by a full disk."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chassis.crash_points import ARCHIVE_POINTS, arm, disarm, is_armed
from ledger.archive.errors import ArchiveError
from ledger.archive.manifest import FRAMES, MANIFEST, RECORDS, object_name
from ledger.stream.segments.files import segment_path
from tests.support.archiving import SealedStream

ROOT = Path(__file__).parents[4]
EXIT_FAULT = 1


def _turnout(
    stream: SealedStream, *words: str, preexec: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `turnout archive` on the data directory."""
    return subprocess.run(
        [sys.executable, "-m", "turnout", "archive", *words, "--data-dir", str(stream.data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=preexec,
    )


def test_a_run_archives_what_is_sealed_and_signed_once(tmp_path: Path) -> None:
    """The first run takes every sealed segment, the second one nothing."""
    stream = SealedStream.make(tmp_path / "data")
    done = stream.run()
    assert (done.segments, done.records, done.unsigned) == (3, 407, 0)
    assert len(stream.objects()) == 9
    before = {path: path.stat().st_mtime_ns for path in stream.objects()}
    assert stream.run().segments == 0
    assert {path: path.stat().st_mtime_ns for path in stream.objects()} == before


def test_what_the_log_has_not_signed_waits(tmp_path: Path) -> None:
    """A segment behind the last checkpoint is archived by the run after it was signed."""
    stream = SealedStream.make(tmp_path / "data", counts=(50, 60))
    (stream.data_dir / "later").mkdir()
    audit = stream.data_dir / "audit"
    keys = {path.name: path.read_bytes() for path in audit.glob("log.*")}
    for path in sorted(audit.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    for name, data in keys.items():
        (audit / name).write_bytes(data)
        (audit / name).chmod(0o400)
    with pytest.raises(ArchiveError, match="has signed nothing yet"):
        stream.run()
    stream.sign(109)
    done = stream.run()
    assert (done.segments, done.unsigned) == (1, 1)
    stream.sign(110)
    assert stream.run().segments == 1
    assert stream.verify()[0] == []


def test_a_segment_that_is_not_what_was_signed_is_not_archived(tmp_path: Path) -> None:
    """A stream that differs from the log stops the run at its segment; those before it stand."""
    stream = SealedStream.make(tmp_path / "data", counts=(50, 60))
    other = SealedStream.make(tmp_path / "other", counts=(50, 61))
    path = segment_path(stream.stream, 50)
    path.write_bytes(segment_path(other.stream, 50).read_bytes())
    stream.sign(111)
    log = (stream.data_dir / "audit" / "0" / "levels" / "0").glob("*.hashes")
    kept = next(log)
    data = bytearray(kept.read_bytes())
    data[32 * 70] ^= 1
    kept.write_bytes(data)
    with pytest.raises(ArchiveError, match="segment 50 does not have the records"):
        stream.run()
    assert {path.parent.name for path in stream.objects()} == {f"{0:020}", f"{50:020}"}
    assert not (stream.archive / object_name(0, 50, MANIFEST)).exists()


@pytest.mark.parametrize("kind", [RECORDS, FRAMES])
def test_a_foreign_object_in_the_way_stops_the_run_and_stays(tmp_path: Path, kind: str) -> None:
    """An object is never replaced: one that is not the segment's is named."""
    stream = SealedStream.make(tmp_path / "data", counts=(50,))
    path = stream.archive / object_name(0, 0, kind)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"somebody's")
    with pytest.raises(ArchiveError, match="of segment 0"):
        stream.run()
    assert path.read_bytes() == b"somebody's"
    assert not (stream.archive / object_name(0, 0, MANIFEST)).exists()
    path.unlink()
    assert stream.run().segments == 1
    assert stream.verify()[0] == []


def test_a_segment_damaged_in_the_archive_is_archived_anew(tmp_path: Path) -> None:
    """Without its folder and its line in the catalog a segment is as if it had never been there."""
    stream = SealedStream.make(tmp_path / "data")
    stream.run()
    shutil.rmtree((stream.archive / object_name(0, 130, MANIFEST)).parent)
    assert stream.run().segments == 0
    catalog = stream.archiver().work / "catalog.jsonl"
    lines = catalog.read_text().splitlines(keepends=True)
    catalog.write_text("".join(line for line in lines if '"first_offset":130' not in line))
    assert stream.run().segments == 1
    assert stream.verify()[0] == []


@pytest.mark.parametrize("point", ARCHIVE_POINTS)
def test_a_run_killed_at_any_step_is_taken_up_by_the_next(tmp_path: Path, point: str) -> None:
    """After kill -9 at a step the next run ends as if nothing had been."""
    stream = SealedStream.make(tmp_path / "data", counts=(50, 60))
    armed = tmp_path / "crash"
    disarm(armed)
    arm(armed, point)
    setting = f"testing.crash_point_file={armed}"
    killed = _turnout(stream, "run", "--set", setting)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not is_armed(armed)
    assert stream.run().segments == 2
    assert len(stream.objects()) == 6
    assert stream.verify() == stream.verify(catalog=False)
    assert stream.verify()[0] == []


def test_a_full_disk_stops_a_run_which_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """Where files cannot grow a run says so and leaves nothing half done; the next one ends."""
    stream = SealedStream.make(tmp_path / "data")
    assert _turnout(stream, "status").returncode == 0

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))

    refused = _turnout(stream, "run", preexec=no_room)
    assert refused.returncode == EXIT_FAULT, refused.stderr
    assert "cannot write" in refused.stderr or "cannot store" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(stream.archive.rglob("manifest.note"))
    assert stream.run().segments == 3
    assert stream.verify()[0] == []
