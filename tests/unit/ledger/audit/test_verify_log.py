"""A small log over three segments: every kind of change to every kind of file is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.audit.findings import FINDINGS_MAX, Findings
from ledger.audit.history import HistoryError
from ledger.audit.keys import load_or_make, make_pair
from ledger.audit.level_files import LevelFiles
from ledger.audit.levels import Edge
from ledger.audit.log import CHECKPOINT, HISTORY, LEVELS, AuditLog
from ledger.audit.merkle import leaf_hash
from ledger.audit.notes import COSIGNATURE, ED25519, Checkpoint, cosign, sign_note
from ledger.audit.segment_entries import read_entries
from ledger.audit.verify_log import Verified, verify_log
from ledger.stream.record import Mark, Position
from ledger.stream.segments.files import segment_path
from ledger.stream.segments.format import (
    HEADER_BYTES,
    NO_PREDECESSOR,
    SEAL,
    Header,
    encode_frame,
    encode_header,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PAIR = make_pair("turnout.example/0", ED25519, bytes(range(32)))
MARK = Mark(1, 1, 1)
DESCRIPTOR = b"a relation message"
RECORDS = [bytes([number % 251]) * 60 + str(number).encode() for number in range(900)]
SEGMENTS = (0, 300, 600)
FRAME_RECORDS = 100
UNSIGNED = 50  # records behind the last checkpoint


def _write_segment(folder: Path, first: int, records: list[bytes], *, sealed: bool) -> None:
    """One segment after another, each with the digest of the one before it."""
    before = [path for path in folder.glob("*.seg") if int(path.stem) < first]
    digest = sha256(max(before).read_bytes()).digest() if before else NO_PREDECESSOR
    frames = [
        encode_frame(
            first_offset=first + at,
            records=records[at : at + FRAME_RECORDS],
            descriptors=[] if at else [DESCRIPTOR],
            last=Position(1, at),
            epoch=1,
            mark=MARK,
        )
        for at in range(0, len(records), FRAME_RECORDS)
    ]
    parts = [encode_header(Header(0, first, 0, digest)), *frames]
    end = first + len(records)
    if sealed:
        frame = {"first_offset": end, "records": [], "descriptors": [], "kind": SEAL}
        parts.append(encode_frame(**frame, last=Position(1, 1), epoch=1, mark=MARK))  # type: ignore[arg-type]
    segment_path(folder, first).write_bytes(b"".join(parts) + bytes(0 if sealed else 4_096))


def _write_stream(folder: Path, records: list[bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.seg"):
        path.unlink()
    for first, end in zip(SEGMENTS, (*SEGMENTS[1:], len(records)), strict=True):
        _write_segment(folder, first, records[first:end], sealed=end != len(records))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A stream of 900 records and a log with a checkpoint every 170 of them."""
    _write_stream(tmp_path / "stream", RECORDS)
    log = AuditLog.open(tmp_path / "log", "turnout.example/0", PAIR.public, PAIR)
    for size in range(170, len(RECORDS) - UNSIGNED + 1, 170):
        log.append(RECORDS[log.size : size])
        log.checkpoint(NOW)
    log.close()
    return tmp_path


def _verify(place: Path, witness: Path | None = None) -> tuple[Verified, Findings]:
    findings = Findings()
    entries = read_entries(place / "stream", 0, findings)
    verified = verify_log(place / "log", PAIR.public, entries, findings, witness=witness)
    return verified, findings


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def _byte_of(place: Path, offset: int) -> tuple[Path, int]:
    """Where a record stands, found by searching for it."""
    path = segment_path(place / "stream", max(first for first in SEGMENTS if first <= offset))
    return path, path.read_bytes().index(RECORDS[offset])


def test_what_was_signed_is_found_as_it_was(place: Path) -> None:
    """The control: nothing is wrong, all but the last records are under a signature."""
    verified, findings = _verify(place)
    assert findings.found == []
    assert verified == Verified(leaves=900, signed=850, checkpoints=6)


def test_progress_is_told(place: Path) -> None:
    """Up to the last signed leaf, never beyond."""
    told: list[tuple[int, int]] = []
    findings = Findings()
    entries = read_entries(place / "stream", 0, findings)
    verify_log(
        place / "log", PAIR.public, entries, findings, progress=lambda *seen: told.append(seen)
    )
    assert told[0] == (100, 850)
    assert told[-1] == (850, 850)


@pytest.mark.parametrize("offset", [0, 299, 300, 512, 849])
def test_a_flip_that_its_frame_shows_names_the_frame(place: Path, offset: int) -> None:
    """The CRC of the frame does not fit; the rest of the segment is named as unread."""
    path, at = _byte_of(place, offset)
    _flip(path, at + 3)
    _, findings = _verify(place)
    frame = path.read_bytes().rindex(b"TBF1", 0, at)
    assert findings.found[0].where in {f"{path}:{frame}", f"{path}"} | {
        f"{segment_path(place / 'stream', first)}:28" for first in SEGMENTS
    }
    assert any(finding.where == f"{path}:{frame}" for finding in findings.found)


@pytest.mark.parametrize("offset", [0, 255, 256, 299, 300, 849])
def test_a_record_rewritten_with_care_is_named(place: Path, offset: int) -> None:
    """With new CRCs and new digests the stream fits itself, and not what was signed."""
    forged = [*RECORDS]
    forged[offset] = RECORDS[offset][:-1] + b"!"
    _write_stream(place / "stream", forged)
    _, findings = _verify(place)
    path = segment_path(place / "stream", max(first for first in SEGMENTS if first <= offset))
    at = path.read_bytes().index(forged[offset])
    assert [str(finding) for finding in findings.found] == [
        f"{path}:{at}: this record is not the one that was signed"
    ]


@pytest.mark.parametrize(
    "forge",
    [
        lambda records: records[:400] + records[401:],
        lambda records: [*records[:400], b"\xff" * 60, *records[400:]],
        lambda records: [*records[:400], records[401], records[400], *records[402:]],
    ],
    ids=["removed", "put in", "exchanged"],
)
def test_records_removed_put_in_or_exchanged_are_named(
    place: Path, forge: Callable[[list[bytes]], list[bytes]]
) -> None:
    """The first one that stands where another was signed."""
    forged = forge(RECORDS)
    _write_stream(place / "stream", forged)
    _, findings = _verify(place)
    path = segment_path(place / "stream", 300)
    at = path.read_bytes().index(forged[400])
    assert str(findings.found[0]) == f"{path}:{at}: this record is not the one that was signed"
    assert len(findings.found) <= FINDINGS_MAX


def test_a_record_behind_the_last_signature_is_not_judged(place: Path) -> None:
    """Nobody signed it yet; the limit of the proof is said, and here seen."""
    _write_stream(place / "stream", [*RECORDS[:-1], b"y" * 60])
    _, findings = _verify(place)
    assert findings.found == []


def test_a_stream_cut_short_is_named(place: Path) -> None:
    """More was signed than there is."""
    _write_stream(place / "stream", RECORDS[:840])
    _, findings = _verify(place)
    (finding,) = {str(finding) for finding in findings.found if "signed" in finding.detail}
    assert "850 records were signed, and the stream has" in finding


def test_a_segment_that_is_gone_is_named(place: Path) -> None:
    """By the gap, and by the digest that the next one carries."""
    segment_path(place / "stream", 300).unlink()
    _, findings = _verify(place)
    places = [finding.where for finding in findings.found]
    assert places[:2] == [
        str(segment_path(place / "stream", 600)),
        f"{segment_path(place / 'stream', 600)}:28",
    ]


def test_a_header_changed_is_named(place: Path) -> None:
    """Its CRC does not fit."""
    path = segment_path(place / "stream", 600)
    _flip(path, 20)
    _, findings = _verify(place)
    assert findings.found[0].where.startswith(str(path))
    assert path.stat().st_size > HEADER_BYTES


@pytest.mark.parametrize("index", [0, 255, 400, 849])
def test_a_leaf_s_hash_changed_is_named(place: Path, index: int) -> None:
    """The records lead to the signed roots, so the kept hash is the one that is wrong."""
    path = place / "log" / LEVELS / "0" / f"{0:020d}.hashes"
    _flip(path, index * 32 + 7)
    _, findings = _verify(place)
    assert [str(finding) for finding in findings.found] == [
        f"{path}:{index * 32}: this hash is not of the record that was signed"
    ]


def test_a_hash_above_changed_is_named(place: Path) -> None:
    """It does not follow from those below it."""
    path = place / "log" / LEVELS / "1" / f"{0:020d}.hashes"
    _flip(path, 2 * 32)
    _, findings = _verify(place)
    assert [str(finding) for finding in findings.found] == [
        f"{path}:64: this hash does not follow from those below it"
    ]


def test_levels_cut_short_are_named(place: Path) -> None:
    """With the file and where it ends."""
    path = place / "log" / LEVELS / "0" / f"{0:020d}.hashes"
    path.write_bytes(path.read_bytes()[: 32 * 500])
    _, findings = _verify(place)
    assert any("ends at byte 16000" in finding.detail for finding in findings.found)


def test_a_forged_record_and_its_forged_hash_are_both_named(place: Path) -> None:
    """Whoever changes both, and the levels above, still has no signature for the root."""
    forged = [*RECORDS]
    forged[400] = RECORDS[400][:-1] + b"!"
    _write_stream(place / "stream", forged)
    edge = Edge()
    levels = LevelFiles(place / "log" / LEVELS)
    for level, hashes in enumerate(edge.append(leaf_hash(record) for record in forged[:850])):
        levels.append(level, 0, hashes)
    levels.close()
    _, findings = _verify(place)
    assert {finding.where for finding in findings.found} == {
        f"{place / 'log' / HISTORY}:line {number}" for number in (3, 4, 5)
    } | {str(place / "log" / CHECKPOINT)}
    assert "does not lead to the root signed at 510" in findings.found[0].detail


def test_a_checkpoint_changed_missing_or_another_s_is_named(place: Path) -> None:
    """The published note is held to the log's key like those of the history."""
    path = place / "log" / CHECKPOINT
    note = path.read_bytes()
    path.write_bytes(note.replace(b"850", b"851"))
    assert [finding.where for finding in _verify(place)[1].found] == [str(path)]
    path.unlink()
    assert [str(finding) for finding in _verify(place)[1].found] == [f"{path}: is missing"]


def test_a_fork_that_the_log_itself_signed_is_named(place: Path) -> None:
    """With the log's key in hand: the history then holds two pasts."""
    forked = Checkpoint("turnout.example/0", 170, bytes(32))
    line = sign_note(forked.text, PAIR.public, PAIR)
    (place / "log" / CHECKPOINT).write_bytes(bytes(line))
    places = [finding.where for finding in _verify(place)[1].found]
    assert places == [str(place / "log" / CHECKPOINT)] * len(places)
    assert places


def _witness(place: Path, size: int, root: bytes | None = None) -> Path:
    """A witness that cosigned a tree of the log."""
    folder = place / "witness"
    folder.mkdir()
    pair = load_or_make(folder / "witness", "witness.turnout.example/0", COSIGNATURE)
    edge = Edge()
    edge.append(leaf_hash(record) for record in RECORDS[:size])
    root = root or edge.root()
    text = Checkpoint("turnout.example/0", size, root).text
    note = cosign(sign_note(text, PAIR.public, PAIR), pair.public, pair, 1_900_000_000)
    (folder / "checkpoint").write_bytes(bytes(note))
    return folder


def test_what_a_witness_saw_is_held_to_the_stream(place: Path) -> None:
    """A size that the history does not name counts too; no cosignature yet is nothing wrong."""
    assert _verify(place, place / "nobody")[0].checkpoints == 6
    verified, findings = _verify(place, _witness(place, 500))
    assert findings.found == []
    assert verified.checkpoints == 7


def test_a_past_that_a_witness_saw_and_the_log_denies_is_named(place: Path) -> None:
    """Log and stream agree with each other, and not with what was cosigned."""
    folder = _witness(place, 500, bytes(32))
    _, findings = _verify(place, folder)
    assert [finding.where for finding in findings.found] == [str(folder / "checkpoint")]


def test_a_witness_s_note_changed_is_named(place: Path) -> None:
    """It is not what the witness cosigned."""
    folder = _witness(place, 500)
    path = folder / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n500\n", b"\n501\n"))
    _, findings = _verify(place, folder)
    assert [(one.kind, one.where) for one in findings.found] == [("witness", str(path))]


def test_a_history_line_changed_is_named(place: Path) -> None:
    """By its number, and a line that is none by its byte."""
    path = place / "log" / HISTORY
    text = path.read_text()
    path.write_text(text.replace("\\n340\\n", "\\n341\\n"))
    assert [finding.where for finding in _verify(place)[1].found] == [f"{path}:line 2"]
    path.write_text("{" + text)
    assert f"{path} has no signed note at byte 0" in _verify(place)[1].found[0].detail
    assert issubclass(HistoryError, Exception)
