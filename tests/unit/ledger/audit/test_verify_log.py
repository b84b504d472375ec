"""A small log over three segments: every kind of change to every kind of file is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from ledger.audit.findings import FINDINGS_MAX, Findings
from ledger.audit.keys import load_or_make, make_pair
from ledger.audit.level_files import LevelFiles
from ledger.audit.levels import Edge
from ledger.audit.log import CHECKPOINT, HISTORY, LEVELS, AuditLog
from ledger.audit.merkle import leaf_hash
from ledger.audit.notes import COSIGNATURE, ED25519, Checkpoint, cosign, sign_note
from ledger.audit.segment_entries import Entries, read_entries
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
from ledger.stream.segments.high_water import HighWater, HighWaterFile

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
    _publish(folder, len(records))


def _publish(folder: Path, records: int) -> None:
    """All that there is counts."""
    (folder / "high-water").touch()
    size = segment_path(folder, SEGMENTS[-1]).stat().st_size
    file = HighWaterFile.to_publish(folder)
    file.publish(HighWater(1, records, SEGMENTS[-1], size))
    file.close()


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


def _line_at(path: Path, number: int) -> int:
    """The byte at which a line begins."""
    return sum(len(line) for line in path.read_bytes().splitlines(keepends=True)[:number])


def _byte_of(place: Path, offset: int) -> tuple[Path, int]:
    """Where a record stands, found by searching for it."""
    path = segment_path(place / "stream", max(first for first in SEGMENTS if first <= offset))
    return path, path.read_bytes().index(RECORDS[offset])


def test_what_was_signed_is_found_as_it_was(place: Path) -> None:
    """The control: nothing is wrong, all but the last records are under a signature."""
    verified, findings = _verify(place)
    assert findings.found == []
    assert verified == Verified(leaves=900, signed=850, checkpoints=6)


def test_a_stream_that_grows_meanwhile_is_found_well(place: Path) -> None:
    """A frame half written behind what was published is the writer at work, and nothing else."""
    path = segment_path(place / "stream", SEGMENTS[-1])
    end = len(path.read_bytes().rstrip(b"\0"))
    file = HighWaterFile.to_publish(place / "stream")
    file.publish(HighWater(1, 900, SEGMENTS[-1], end))
    file.close()
    torn = encode_frame(
        first_offset=900, records=[b"z" * 60], descriptors=[], last=None, epoch=1, mark=MARK
    )[:-7]
    data = path.read_bytes()
    path.write_bytes(data[:end] + torn + bytes(64))
    assert _verify(place)[1].found == []
    path.write_bytes(data[: end - 40] + bytes(64))
    assert _verify(place)[1].found[0].where.startswith(f"{path}:")


def test_a_log_that_signs_meanwhile_is_found_well(place: Path) -> None:
    """What is signed once the verification has begun is the next one's to judge."""
    findings = Findings()
    log = AuditLog.open(place / "log", "turnout.example/0", PAIR.public, PAIR)

    def entries() -> Iterator[Entries]:
        for number, batch in enumerate(read_entries(place / "stream", 0, findings)):
            if number == 1:
                log.append([*RECORDS[850:], b"a record that came meanwhile" * 3])
                log.checkpoint(NOW)
            yield batch

    verified = verify_log(place / "log", PAIR.public, entries(), findings)
    log.close()
    assert findings.found == []
    assert verified == Verified(leaves=900, signed=850, checkpoints=6)


@pytest.mark.parametrize(
    ("spoil", "where", "reason"),
    [
        (lambda path: _flip(path, 20), ":0", "does not match its CRC"),
        (lambda path: path.unlink(), "", "is missing"),
        (lambda path: path.write_bytes(path.read_bytes() + b"!"), ":44", "stands behind its end"),
        (lambda path: _publish(path.parent, 901), "", "901 records were published, and there are"),
    ],
    ids=["flip", "gone", "longer", "more"],
)
def test_what_was_published_is_held_to_the_segments(
    place: Path, spoil: Callable[[Path], None], where: str, reason: str
) -> None:
    """The small file that readers go by is evidence, too."""
    path = place / "stream" / "high-water"
    spoil(path)
    (finding,) = _verify(place)[1].found
    assert finding.where == f"{path}{where}"
    assert reason in finding.detail


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
    assert findings.count == 1
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
    path = place / "log" / HISTORY
    assert {finding.where for finding in findings.found} == {
        f"{path}:{_line_at(path, number)}" for number in (2, 3, 4)
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
    (folder / "log.pub").write_text(f"{PAIR.public}\n")
    text = Checkpoint("turnout.example/0", size, root).text
    note = cosign(sign_note(text, PAIR.public, PAIR), pair.public, pair, 1_900_000_000)
    (folder / "checkpoint").write_bytes(bytes(note))
    return folder


def test_what_a_witness_saw_is_held_to_the_stream(place: Path) -> None:
    """It is one of those that the history has; no witness yet is nothing wrong."""
    assert _verify(place, place / "nobody")[0].checkpoints == 6
    verified, findings = _verify(place, _witness(place, 510))
    assert findings.found == []
    assert (verified.checkpoints, verified.witnessed) == (7, 510)


def test_what_a_witness_saw_and_the_history_lacks_is_named(place: Path) -> None:
    """A line was taken out of the history together with everything that told of it."""
    folder = _witness(place, 500)
    verified, findings = _verify(place, folder)
    (finding,) = findings.found
    assert (finding.kind, finding.where) == ("witness", str(folder / "checkpoint"))
    assert "the history does not have this checkpoint, of 500 records" in finding.detail
    assert verified.checkpoints == 7


def test_a_witness_that_is_gone_or_another_s_is_named(place: Path) -> None:
    """Its note, its key, the key that it pinned; or the one that the auditor kept."""
    folder = _witness(place, 510)
    _flip(folder / "witness.pub", 60)
    assert {one.where for one in _verify(place, folder)[1].found} == {str(folder / "witness.pub")}
    _flip(folder / "witness.pub", 60)
    other = make_pair("turnout.example/0", ED25519, bytes(range(1, 33)))
    (folder / "log.pub").chmod(0o600)
    (folder / "log.pub").write_text(f"{other.public}\n")
    assert {one.where for one in _verify(place, folder)[1].found} == {str(folder / "log.pub")}
    (folder / "log.pub").write_text(f"{PAIR.public}\n")
    note = folder / "checkpoint"
    note.unlink()
    (finding,) = _verify(place, folder)[1].found
    assert (finding.where, finding.detail) == (str(note), "is missing")


def test_a_past_that_a_witness_saw_and_the_log_denies_is_named(place: Path) -> None:
    """Log and stream agree with each other, and not with what was cosigned."""
    folder = _witness(place, 510, bytes(32))
    _, findings = _verify(place, folder)
    assert {finding.where for finding in findings.found} == {str(folder / "checkpoint")}
    assert any("the stream does not lead to the root" in one.detail for one in findings.found)


def test_a_witness_s_note_changed_is_named(place: Path) -> None:
    """It is not what the witness cosigned."""
    folder = _witness(place, 510)
    path = folder / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n510\n", b"\n511\n"))
    _, findings = _verify(place, folder)
    assert [(one.kind, one.where) for one in findings.found] == [("witness", str(path))]


def test_a_history_line_changed_is_named(place: Path) -> None:
    """By its first byte: a note, a date that nobody signed, a line that is none, no history."""
    path = place / "log" / HISTORY
    text = path.read_text()
    second = f"{path}:{_line_at(path, 1)}"
    for old, new in (("\\n340\\n", "\\n341\\n"), ("2030", "2031"), ('"size":', '"room":')):
        lines = text.splitlines(keepends=True)
        lines[1] = lines[1].replace(old, new)
        path.write_text("".join(lines))
        assert [finding.where for finding in _verify(place)[1].found] == [second]
    path.write_text("{" + text)
    assert f"{path} has no signed note at byte 0" in _verify(place)[1].found[0].detail
    path.unlink()
    assert [str(finding) for finding in _verify(place)[1].found] == [f"{path}: is missing"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [lines[0], *lines[2:]], 1),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 0),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 2),
        (lambda lines: lines[1:], 0),
    ],
    ids=["removed", "exchanged", "put in", "beginning cut off"],
)
def test_a_history_of_other_lines_is_named(
    place: Path, change: Callable[[list[str]], list[str]], line: int
) -> None:
    """Each line says which one it was written after."""
    path = place / "log" / HISTORY
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    found = _verify(place)[1].found
    assert found[0].where == f"{path}:{_line_at(path, line)}"
    assert found[0].detail == "the line before it is not the one that it was written after"


def test_a_history_cut_at_its_end_is_named(place: Path) -> None:
    """What was published is no longer in it; half a line is no line."""
    path = place / "log" / HISTORY
    lines = path.read_text().splitlines(keepends=True)
    for rest in ("", lines[-1][:-1]):
        path.write_text("".join(lines[:-1]) + rest)
        (finding,) = _verify(place)[1].found
        assert finding.where == f"{path}:{_line_at(path, len(lines) - 1)}"
        assert f"the checkpoint of 850 records that {place / 'log'}" in finding.detail
